"use strict";

/**
 * @typedef {ArrayLike<number>} Peaks The lowest and the highest sample of equally long pieces of
 *     a song, two numbers each.
 */

/**
 * @typedef {object} Time What pictures over a song's time need of their player.
 * @property {(share: number) => void} seek Moves to a share of the song.
 * @property {(share: number) => string} format The time at a share of the song.
 * @property {Set<TimeArea>} areas All pictures, which the player moves.
 */

/**
 * A picture over the time of a song: a cursor, the time under the pointer, and a click or a drag
 * moves to a place.
 */
class TimeArea {
  /**
   * @param {HTMLElement} container
   * @param {Time} time
   */
  constructor(container, { seek, format, areas }) {
    this.container = container;
    areas.add(this);
    this.cursor = container.appendChild(fromHtml('<i class="cursor"></i>'));
    this.pointer = container.appendChild(fromHtml('<i class="pointer"><b></b></i>'));
    container.classList.add("time-area");
    const share = (/** @type {PointerEvent} */ event) => {
      const { left, width } = container.getBoundingClientRect();
      return Math.min(Math.max((event.clientX - left) / width, 0), 1);
    };
    const point = (/** @type {PointerEvent} */ event) => {
      const place = share(event);
      this.pointer.style.left = `${100 * place}%`;
      this.pointer.classList.toggle("late", place > 0.5);
      find("b", this.pointer).textContent = format(place);
    };
    container.addEventListener("pointermove", point);
    container.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      container.setPointerCapture(event.pointerId);
      point(event);
    });
    container.addEventListener("pointerup", (event) => {
      if (container.hasPointerCapture(event.pointerId)) seek(share(event));
    });
  }

  /**
   * Moves the cursor. Each element is moved by itself: a property that all inherit would cost
   * megabytes of styles a second.
   *
   * @param {number} share How much of the song has passed.
   */
  follow(share) {
    this.cursor.style.transform = `translateX(${100 * share}%)`;
  }
}

/** The waveform of one lane, in two shades: what was played, and what will be. */
class Waveform extends TimeArea {
  /**
   * @param {HTMLElement} container
   * @param {Peaks} peaks
   * @param {number} scale What fills the height.
   * @param {Time} time
   */
  constructor(container, peaks, scale, time) {
    super(container, time);
    this.peaks = peaks;
    this.scale = scale;
    container.insertBefore(fromHtml('<canvas class="rest"></canvas>'), this.cursor);
    this.window = fromHtml('<div class="window"><canvas class="played"></canvas></div>');
    container.insertBefore(this.window, this.cursor);
    this.canvases = [...container.querySelectorAll("canvas")];
    this.observer = new ResizeObserver(() => this.paint());
    this.observer.observe(container);
  }

  /** @param {number} share */
  follow(share) {
    super.follow(share);
    this.window.style.transform = `translateX(${100 * share - 100}%)`;
    this.canvases[1].style.transform = `translateX(${100 - 100 * share}%)`;
  }

  /** Draws anew: the size, the peaks or the colours are others. */
  paint() {
    const ratio = devicePixelRatio || 1;
    const width = Math.round(this.container.clientWidth * ratio);
    const height = Math.round(this.container.clientHeight * ratio);
    if (!width || !height) return;
    for (const canvas of this.canvases) {
      canvas.width = width;
      canvas.height = height;
      const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
      pen.fillStyle = getComputedStyle(canvas).color;
      this.#draw(pen, width, height);
    }
  }

  /**
   * @param {CanvasRenderingContext2D} pen
   * @param {number} width
   * @param {number} height
   */
  #draw(pen, width, height) {
    const pieces = this.peaks.length / 2;
    const middle = height / 2;
    const tall = (0.94 * middle) / (this.scale || 1);
    for (let x = 0; x < width; x++) {
      const from = Math.floor((x * pieces) / width);
      const to = Math.max(from + 1, Math.floor(((x + 1) * pieces) / width));
      let low = 0;
      let high = 0;
      for (let piece = from; piece < Math.min(to, pieces); piece++) {
        low = Math.min(low, this.peaks[2 * piece]);
        high = Math.max(high, this.peaks[2 * piece + 1]);
      }
      const top = Math.max(middle - high * tall, 0);
      const bottom = Math.min(middle - low * tall, height);
      pen.fillRect(x, Math.min(top, middle - 0.5), 1, Math.max(bottom - top, 1));
    }
  }

  close() {
    this.observer.disconnect();
  }
}

/**
 * Puts labels below a song's time axis.
 *
 * @param {HTMLElement} container
 * @param {number} start Seconds.
 * @param {number} duration Seconds.
 */
function drawTimeline(container, start, duration) {
  const steps = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600];
  const most = Math.max(container.clientWidth / 72, 2);
  const step = steps.find((each) => duration / each <= most) ?? 7200;
  container.replaceChildren();
  for (let time = Math.ceil(start / step) * step; time < start + duration; time += step) {
    const label = container.appendChild(document.createElement("span"));
    label.textContent = tickClock(time);
    label.style.left = `${(100 * (time - start)) / duration}%`;
  }
}
