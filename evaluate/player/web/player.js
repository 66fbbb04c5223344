"use strict";

/**
 * @typedef {object} Song What a player shows.
 * @property {number} rate Frames a second, of every lane's source.
 * @property {number} duration Seconds.
 * @property {number} [start] The song's time at the first frame, in seconds.
 * @property {(LaneData & {source: Source})[]} lanes
 */

const CONTROLS = `
<div class="controls">
<div class="transport">
<button type="button" id="play" aria-label="Play" aria-keyshortcuts="Space"><svg viewBox="0 0 24 24" aria-hidden="true"><path class="to-play" d="M8 5.2v13.6a.8.8 0 0 0 1.2.7l11-6.8a.8.8 0 0 0 0-1.4l-11-6.8a.8.8 0 0 0-1.2.7z"/><path class="to-pause" d="M6.5 4.5h3.4v15H6.5zM14.1 4.5h3.4v15h-3.4z"/></svg></button>
<input type="range" id="seek" min="0" max="1" step="any" value="0" aria-label="Position">
<output id="time" aria-live="off"></output>
</div>
</div>`;

/**
 * Plays the lanes of one song: a clock, a mixer and a row for each lane.
 *
 * Fires "show" (another song), "mix" (what is heard has changed), "follow" (the time has moved; its
 * detail is the song's time in seconds) and "fail" (a lane could not be read; its detail is the error).
 */
class Player extends EventTarget {
  /** @param {HTMLElement} root Where it is made. */
  constructor(root) {
    super();
    this.root = root;
    /** Whether a solo ends the others. */
    this.oneSolo = true;
    /** @type {Time} */
    this.time = {
      areas: new Set(),
      seek: (/** @type {number} */ share) => {
        if (this.mixer) this.mixer.currentTime = share * this.mixer.duration;
      },
      format: (/** @type {number} */ share) =>
        clock((this.song?.start ?? 0) + share * (this.mixer?.duration ?? 0)),
    };
    this.looped = false;
    /** @type {Lane[]} */
    this.lanes = [];
    /** How much of the song has passed, as it is shown. */
    this.share = -1;
    /** Tells the mixer again what is heard, after a change to the lanes. */
    this.mix = () => {};
    /** @type {Mixer | null} */
    this.mixer = null;
    /** @type {Song | null} */
    this.song = null;
    this.controls = root.appendChild(fromHtml(CONTROLS));
    this.timeline = root.appendChild(fromHtml('<div id="timeline" aria-hidden="true"></div>'));
    this.list = root.appendChild(fromHtml('<div id="lanes"></div>'));
    this.seek = find("#seek", root);
    this.button = find("#play", root);
    this.button.addEventListener("click", () => this.toggle());
    this.seek.addEventListener("input", () => {
      if (this.mixer) this.mixer.currentTime = Number(this.seek.value);
    });
    document.addEventListener("keydown", (event) => this.#pressed(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.paint());
    new ResizeObserver(() => this.#resize()).observe(this.list);
    const tick = () => {
      if (this.mixer && !this.mixer.paused) this.follow();
      requestAnimationFrame(tick);
    };
    tick();
  }

  /**
   * Shows a song, still and at its beginning.
   *
   * @param {Song} song
   */
  show(song) {
    this.close();
    this.song = song;
    const mixer = new Mixer(song, song.lanes.map((lane) => lane.source));
    mixer.loop = this.looped;
    this.mixer = mixer;
    for (const name of ["play", "pause", "seek"]) {
      mixer.addEventListener(name, () => this.mixer === mixer && this.follow());
    }
    mixer.addEventListener("fail", (event) => {
      const detail = /** @type {CustomEvent} */ (event).detail;
      if (this.mixer === mixer) this.dispatchEvent(new CustomEvent("fail", { detail }));
    });
    this.#rows(song, mixer);
    this.seek.max = mixer.duration;
    this.share = -1;
    this.mix = mixLanes(
      this.lanes,
      () => this.oneSolo,
      () => this.dispatchEvent(new Event("mix")),
    );
    this.#resize();
    this.dispatchEvent(new Event("show"));
    this.follow();
  }

  /**
   * @param {Song} song
   * @param {Mixer} mixer
   */
  #rows(song, mixer) {
    let scale = 0;
    for (const { peaks } of song.lanes) {
      for (let place = 0; place < (peaks?.length ?? 0); place++) {
        scale = Math.max(scale, Math.abs(/** @type {Peaks} */ (peaks)[place]));
      }
    }
    /** @type {HTMLElement | null} */
    let section = null;
    this.lanes = song.lanes.map((data, index) => {
      const lane = new Lane(data, index, mixer.channels[index]);
      if (!section || section.dataset.group !== (data.group ?? "")) {
        section = this.list.appendChild(fromHtml('<section class="source"></section>'));
        /** @type {HTMLElement} */ (section).dataset.group = data.group ?? "";
        if (data.group) {
          /** @type {HTMLElement} */ (section).append(document.createElement("h3"));
          find("h3", /** @type {HTMLElement} */ (section)).textContent = data.group;
        }
      }
      /** @type {HTMLElement} */ (section).append(lane.row);
      lane.draw(scale, this.time);
      return lane;
    });
  }

  get loop() {
    return this.looped;
  }

  set loop(on) {
    this.looped = on;
    if (this.mixer) this.mixer.loop = on;
  }

  toggle() {
    if (!this.mixer) return;
    if (this.mixer.paused) this.mixer.play();
    else this.mixer.pause();
  }

  /** Moves all that shows the time. */
  follow() {
    if (!this.mixer || !this.song) return;
    const { currentTime, duration, paused } = this.mixer;
    const time = currentTime + (this.song.start ?? 0);
    // A step is a third of a pixel or so: a long song moves nothing on most frames.
    const share = Number((duration ? currentTime / duration : 0).toFixed(4));
    if (share !== this.share) {
      this.share = share;
      this.seek.value = currentTime;
      this.seek.setAttribute("aria-valuetext", clock(time));
      this.seek.style.setProperty("--value", `${100 * share}%`);
      for (const area of this.time.areas) area.follow(share);
    }
    const text = `${clock(time)} / ${clock((this.song.start ?? 0) + duration)}`;
    const shown = find("#time", this.root);
    if (shown.textContent !== text) shown.textContent = text;
    this.button.setAttribute("aria-label", paused ? "Play" : "Pause");
    this.button.classList.toggle("playing", !paused);
    this.dispatchEvent(new CustomEvent("follow", { detail: time }));
  }

  /** Draws anew in other colours. */
  paint() {
    for (const lane of this.lanes) lane.paint();
  }

  #resize() {
    if (this.song) drawTimeline(this.timeline, this.song.start ?? 0, this.song.duration);
  }

  /** Ends the song that is shown. */
  close() {
    this.mixer?.close();
    for (const lane of this.lanes) lane.close();
    this.lanes = [];
    this.mixer = null;
    this.song = null;
    this.time.areas.clear();
    this.list.replaceChildren();
    this.timeline.replaceChildren();
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (!this.mixer || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const target = /** @type {Element} */ (event.target);
    const at = target.closest?.("button, select, summary, a, input, textarea, [tabindex]");
    const range = at?.matches(".volume");
    /** @type {Record<string, number>} */
    const seeks = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
    const own = "button, select, summary, a, [type=checkbox], [type=radio], [type=file]";
    const place = Number(/^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1]) - 1;
    if (event.key === " " && !at?.matches(own)) {
      if (!event.repeat) this.toggle();
    } else if (event.key in seeks && !range && !at?.matches("select, [type=radio], [tabindex]")) {
      this.mixer.currentTime += (event.shiftKey ? 5 : 1) * seeks[event.key];
    } else if (this.lanes[place] && !at?.matches("select")) {
      if (event.repeat) return; // a key that is held would go to and fro
      this.lanes[place].dispatchEvent(new Event(event.shiftKey ? "mute" : "solo"));
    } else {
      return;
    }
    event.preventDefault();
  }
}
