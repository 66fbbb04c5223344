"use strict";

/**
 * @typedef {object} LaneData
 * @property {string} title
 * @property {string} [label] What a screen reader says; by default the title.
 * @property {string} [group] Lanes of the same group stand below its name.
 * @property {string} [shade] A colour of CSS.
 * @property {Peaks} [peaks]
 * @property {boolean} [alone] It is heard only alone, such as the mixture beside its stems.
 */

const LANE = `
<div class="lane" role="group">
<div class="head">
<span class="key" aria-hidden="true"></span>
<span class="name"></span>
<span class="score"></span>
<span class="buttons">
<button type="button" class="solo" aria-pressed="false" title="Solo">S</button>
<button type="button" class="mute" aria-pressed="false" title="Mute">M</button>
</span>
<input type="range" class="volume" min="0" max="100" value="100" title="Volume">
</div>
<div class="pictures"><div class="waveform" aria-hidden="true"></div></div>
</div>`;

/** One stem: its row of the page, and its channel of the mixer. */
class Lane extends EventTarget {
  /**
   * @param {LaneData} data
   * @param {number} index Its place, which is its key.
   * @param {{gain: number}} channel What its volume, mute and solo move.
   */
  constructor(data, index, channel) {
    super();
    this.data = data;
    this.channel = channel;
    this.name = data.label ?? data.title;
    this.row = fromHtml(LANE);
    this.row.setAttribute("aria-label", this.name);
    if (data.shade) this.row.style.setProperty("--lane", data.shade);
    find(".name", this.row).textContent = data.title;
    find(".key", this.row).textContent = index < 9 ? index + 1 : "";
    this.score = find(".score", this.row);
    this.buttons = find(".buttons", this.row);
    this.pictures = find(".pictures", this.row);
    this.soloButton = find(".solo", this.row);
    this.muteButton = find(".mute", this.row);
    this.volumeRange = find(".volume", this.row);
    this.soloButton.setAttribute("aria-label", `Solo ${this.name}`);
    this.muteButton.setAttribute("aria-label", `Mute ${this.name}`);
    this.muteButton.hidden = Boolean(data.alone);
    this.volumeRange.setAttribute("aria-label", `Volume of ${this.name}`);
    const wish = (/** @type {string} */ name) => () => this.dispatchEvent(new Event(name));
    this.soloButton.addEventListener("click", wish("solo"));
    this.muteButton.addEventListener("click", wish("mute"));
    this.volumeRange.addEventListener("input", wish("volume"));
  }

  get soloed() {
    return this.soloButton.getAttribute("aria-pressed") === "true";
  }

  set soloed(on) {
    this.soloButton.setAttribute("aria-pressed", on);
  }

  get muted() {
    return this.muteButton.getAttribute("aria-pressed") === "true";
  }

  set muted(on) {
    this.muteButton.setAttribute("aria-pressed", on);
  }

  /** The gain of the slider, which moves in steps of loudness rather than of amplitude. */
  get volume() {
    return (this.volumeRange.value / 100) ** 2;
  }

  /**
   * Says whether the lane is heard.
   *
   * @param {boolean} solos Whether any lane is soloed.
   */
  heard(solos) {
    return !this.muted && (solos ? this.soloed : !this.data.alone);
  }

  /** @param {boolean} solos */
  mix(solos) {
    const heard = this.heard(solos);
    this.channel.gain = heard ? this.volume : 0;
    this.row.classList.toggle("silent", !heard);
    this.volumeRange.setAttribute("aria-valuetext", `${this.volumeRange.value} %`);
    this.volumeRange.style.setProperty("--value", `${this.volumeRange.value}%`);
  }

  /**
   * @param {number} scale What fills the height of the waveform.
   * @param {Time} time
   */
  draw(scale, time) {
    const container = find(".waveform", this.row);
    this.waveform = new Waveform(container, this.data.peaks ?? [], scale, time);
  }

  paint() {
    this.waveform?.paint();
  }

  close() {
    this.waveform?.close();
  }
}

/**
 * Keeps lanes' solo, mute and volume, and tells their channels.
 *
 * @param {Lane[]} lanes
 * @param {() => boolean} oneSolo Whether a solo ends the others.
 * @param {() => void} [mixed] Called after each change.
 * @returns {() => void} Tells the channels again, after other changes to the lanes.
 */
function mixLanes(lanes, oneSolo, mixed) {
  const mix = () => {
    const solos = lanes.some((lane) => lane.soloed);
    for (const lane of lanes) lane.mix(solos);
    mixed?.();
  };
  for (const lane of lanes) {
    lane.addEventListener("solo", () => {
      const on = !lane.soloed;
      for (const other of lanes) {
        if (on && (oneSolo() || lane.data.alone || other.data.alone)) other.soloed = false;
      }
      lane.soloed = on;
      mix();
    });
    lane.addEventListener("mute", () => {
      lane.muted = !lane.muted;
      mix();
    });
    lane.addEventListener("volume", mix);
  }
  mix();
  return mix;
}
