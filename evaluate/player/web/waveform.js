"use strict";

/**
 * @typedef {ArrayLike<number>} Peaks The lowest and the highest sample of equally long pieces of
 *     a song, two numbers each.
 */

/**
 * A picture over the time of a song: a cursor, the time under the pointer, and a click or a drag
 * moves to a place. The cursor follows --at, a share of the song, which the player sets.
 */
class TimeArea {
  /**
   * @param {HTMLElement} container
   * @param {object} actions
   * @param {(share: number) => void} actions.seek
   * @param {(share: number) => string} actions.format The time at a share of the song.
   */
  constructor(container, { seek, format }) {
    this.container = container;
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
}

/** The waveform of one lane, in two shades: what was played, and what will be. */
class Waveform extends TimeArea {
  /**
   * @param {HTMLElement} container
   * @param {Peaks} peaks
   * @param {number} scale What fills the height.
   * @param {{seek: (share: number) => void, format: (share: number) => string}} actions
   */
  constructor(container, peaks, scale, actions) {
    super(container, actions);
    this.peaks = peaks;
    this.scale = scale;
    this.canvases = ["rest", "played"].map((name) =>
      container.insertBefore(fromHtml(`<canvas class="${name}"></canvas>`), this.cursor),
    );
    this.observer = new ResizeObserver(() => this.paint());
    this.observer.observe(container);
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
      const pen = canvas.getContext("2d");
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
