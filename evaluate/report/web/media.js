/* Shared by the scripts of the page: helpers, and Tone.js' transport as a media element.
   Scripts load in the order of page.py: media, lane, chart, player. */
"use strict";

const transport = Tone.getTransport();
const find = (selector, root = document) => root.querySelector(selector);
const colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
const systems = JSON.parse(find("#systems").textContent);
const shadeOf = (system) => (system === null ? colour("--true") : systems[system].colour);
const decibels = (value) =>
  value == null ? "no score" : `${value.toFixed(2).replace("-", "−")} dB`;

function clock(seconds, digits = 1) {
  const rounded = Number(seconds.toFixed(digits));
  const rest = (rounded % 60).toFixed(digits);
  return `${Math.floor(rounded / 60)}:${rest.padStart(digits ? digits + 3 : 2, "0")}`;
}

/* Formats a tick of a time axis: whole seconds, or tenths between them. */
const tickClock = (seconds) => clock(seconds, Number.isInteger(seconds) ? 0 : 1);

/* The earliest position, between the transport's first two ticks (3 ms). At 0 Tone.js
   starts stems with the tick of that time, which rounding makes it miss now and then;
   at later positions it starts them together with itself. */
const FIRST_SECONDS = 90 / transport.PPQ / transport.bpm.value;

/* The transport as a media element, which every wavesurfer follows and moves. */
class TransportMedia extends EventTarget {
  readyState = 4;
  volume = 1;
  muted = false;
  playbackRate = 1;
  seeking = false;
  ended = false;
  src = "";
  currentSrc = "";
  wished = 0;
  soundsAt = 0;

  constructor(duration) {
    super();
    this.duration = duration;
    transport.setLoopPoints(FIRST_SECONDS, duration);
  }

  get paused() {
    return transport.state !== "started";
  }

  /* The time that is heard. Tone.js starts all stems at one time, a tenth of a second
     ahead, and this clock waits for it. */
  get currentTime() {
    const now = Tone.immediate();
    const still = this.paused || now < this.soundsAt;
    const seconds = still ? this.wished : transport.getSecondsAtTime(now);
    return Math.min(Math.max(seconds, 0), this.duration);
  }

  set currentTime(seconds) {
    this.wished = Math.min(Math.max(seconds, 0), this.duration);
    this.soundsAt = Tone.now();
    transport.seconds = Math.max(this.wished, FIRST_SECONDS);
    this.dispatchEvent(new Event("timeupdate"));
  }

  play() {
    if (this.currentTime >= this.duration - 0.05) this.currentTime = 0;
    this.soundsAt = Tone.now();
    transport.start();
    this.dispatchEvent(new Event("play"));
  }

  pause() {
    transport.pause();
    this.wished = transport.seconds;
    this.dispatchEvent(new Event("pause"));
    this.dispatchEvent(new Event("timeupdate"));
  }
}
