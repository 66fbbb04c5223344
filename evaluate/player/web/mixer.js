"use strict";

/* Blocks are scheduled so far ahead that a hidden page, whose timers come once a second, never
   runs dry. An hour of song then needs no more memory than a minute. */
const BLOCK_SECONDS = 1;
const AHEAD_SECONDS = 3;
/* From a block's scheduling to its first frame: time for the audio thread to take it over. */
const LEAD_SECONDS = 0.06;
const FADE_SECONDS = 0.015;
const START_SECONDS = 5; // without a sound device, some browsers wait for ever
const MOST_SPARE = 64; // buffers

/**
 * @typedef {object} Source What a channel of the mixer plays.
 * @property {(start: number, frames: number) => Promise<Float32Array[]>} read Gives frames at
 *     the mixer's rate, one array for each channel; fewer at the end.
 */

const sleep = (/** @type {number} */ seconds) =>
  new Promise((resolve) => setTimeout(resolve, 1000 * seconds));

/**
 * Lets a context sound.
 *
 * @param {AudioContext} context
 * @throws {Error} No sound device answers.
 */
async function beginSound(context) {
  await Promise.race([context.resume(), sleep(START_SECONDS)]);
  if (context.state !== "suspended") return;
  throw new Error("No sound begins. Does this device have a loudspeaker?");
}

/** One source's gain in a mixer. */
class Channel {
  /**
   * @param {Source} source
   * @param {number} gain
   */
  constructor(source, gain = 1) {
    this.source = source;
    this.value = gain;
    /** @type {GainNode | null} */
    this.node = null;
  }

  /**
   * @param {BaseAudioContext} context
   * @param {AudioNode} output
   */
  connect(context, output) {
    this.node = context.createGain();
    this.node.gain.value = this.value;
    this.node.connect(output);
  }

  get gain() {
    return this.value;
  }

  /** Moves to a gain without a click. */
  set gain(value) {
    this.value = value;
    if (!this.node) return;
    const { gain, context } = this.node;
    gain.cancelScheduledValues(context.currentTime);
    gain.setValueAtTime(gain.value, context.currentTime);
    gain.linearRampToValueAtTime(value, context.currentTime + FADE_SECONDS);
  }
}

/**
 * Plays sources in step: one clock, the audio context's, at the song's own rate. A block of all
 * sources is scheduled at one whole frame of that clock, so they stay together to the sample.
 * Sources are read block by block. If reading is late, all of them wait.
 *
 * Fires "play", "pause", "seek", and "fail" with the error of a source as its detail.
 */
class Mixer extends EventTarget {
  /**
   * @param {object} song
   * @param {number} song.rate Frames a second, of every source.
   * @param {number} song.duration Seconds.
   * @param {Source[]} sources
   */
  constructor({ rate, duration }, sources) {
    super();
    this.rate = rate;
    this.duration = duration;
    this.frames = Math.round(duration * rate);
    this.channels = sources.map((source) => new Channel(source));
    this.paused = true;
    this.looped = false;
    this.place = 0; // seconds, while it is still
    /** @type {AudioContext | null} */
    this.context = null;
    /** @type {GainNode | null} */
    this.output = null;
    /** Buffers that were played: browsers are slow to free them. @type {AudioBuffer[]} */
    this.spare = [];
    /** @type {Run | null} */
    this.run = null;
  }

  /** The time that is heard now, in seconds. */
  get currentTime() {
    if (!this.run || !this.context) return this.place;
    const delay = this.context.outputLatency || 0;
    return this.run.frameAt((this.context.currentTime - delay) * this.rate) / this.rate;
  }

  set currentTime(seconds) {
    this.place = Math.min(Math.max(seconds, 0), this.duration);
    if (!this.paused) this.#start();
    this.dispatchEvent(new Event("seek"));
  }

  get loop() {
    return this.looped;
  }

  set loop(on) {
    this.looped = on;
    // What is scheduled already would go on as before.
    this.place = this.currentTime;
    if (!this.paused) this.#start();
  }

  /** Begins to play; call it when someone clicked, or the browser may forbid sound. */
  async play() {
    if (!this.paused) return;
    if (this.place >= this.duration - 0.05) this.place = 0;
    try {
      this.#open();
    } catch (error) {
      this.#fail(error); // a rate that this browser cannot play
      return;
    }
    this.paused = false;
    this.dispatchEvent(new Event("play"));
    try {
      if (this.context) await beginSound(this.context);
    } catch (error) {
      this.pause();
      this.#fail(error);
    }
    if (!this.paused) this.#start();
  }

  pause() {
    if (this.paused) return;
    this.place = this.currentTime;
    this.paused = true;
    this.#stop();
    this.dispatchEvent(new Event("pause"));
    // An open context keeps the sound device, and the machine, awake.
    sleep(0.5).then(() => {
      if (this.paused && this.context?.state === "running") this.context.suspend();
    });
  }

  /** Ends for good. */
  close() {
    this.paused = true;
    this.#stop();
    if (this.context && this.context.state !== "closed") this.context.close();
  }

  #open() {
    if (this.context) return;
    this.context = new AudioContext({ sampleRate: this.rate, latencyHint: "interactive" });
    this.output = this.context.createGain();
    this.output.connect(this.context.destination);
    for (const channel of this.channels) channel.connect(this.context, this.output);
  }

  #start() {
    this.#stop();
    if (!this.context) return;
    this.run = new Run(this, Math.round(this.place * this.rate));
    this.run.fill().catch((error) => {
      this.pause();
      this.#fail(error);
    });
  }

  #stop() {
    this.run?.stop();
    this.run = null;
  }

  /** @param {unknown} error */
  #fail(error) {
    this.dispatchEvent(new CustomEvent("fail", { detail: error }));
  }

  /** Called by the run that has reached the end. */
  finish() {
    this.pause();
    this.currentTime = 0;
  }
}

/** Playing from one place until it stops, is moved, or the song ends. */
class Run {
  /**
   * @param {Mixer} mixer
   * @param {number} frame The first frame of the song.
   */
  constructor(mixer, frame) {
    this.mixer = mixer;
    this.context = /** @type {AudioContext} */ (mixer.context);
    this.inputs = mixer.channels.map((channel) => {
      const input = this.context.createGain();
      input.connect(/** @type {GainNode} */ (channel.node));
      return input;
    });
    this.first = frame;
    this.frame = frame; // the next to be read
    this.at = 0; // the context's frame at which it will be heard
    /**
     * What is heard without a break: from the context's frame `at` on the song's frames from
     * `frame` to `end`.
     *
     * @type {{at: number, frame: number, end: number}[]}
     */
    this.stretches = [];
    /** @type {Set<AudioBufferSourceNode>} */
    this.nodes = new Set();
    this.stopped = false;
  }

  /** The context's time in frames. */
  get now() {
    return Math.round(this.context.currentTime * this.mixer.rate);
  }

  /**
   * Returns the song's frame that is heard at a frame of the context. It stands still before the
   * first, after the last, and while reading is late.
   *
   * @param {number} at
   */
  frameAt(at) {
    const stretch = this.stretches.findLast((each) => each.at <= at);
    return stretch ? Math.min(stretch.frame + at - stretch.at, stretch.end) : this.first;
  }

  /** Reads and schedules block after block, until it is stopped or the song ends. */
  async fill() {
    const { rate, frames } = this.mixer;
    while (!this.stopped) {
      const left = (this.at - this.now) / rate; // seconds
      if (left > AHEAD_SECONDS) {
        await sleep(0.2);
      } else if (this.frame < frames) {
        await this.#next(Math.min(Math.round(BLOCK_SECONDS * rate), frames - this.frame));
      } else if (this.mixer.loop && frames) {
        this.frame = 0;
      } else if (left > 0) {
        await sleep(Math.min(0.2, left));
      } else {
        this.mixer.finish();
      }
    }
  }

  /** @param {number} count Frames to read and to schedule. */
  async #next(count) {
    const { rate, channels } = this.mixer;
    const reads = channels.map(({ source }) => source.read(this.frame, count));
    const blocks = await Promise.all(reads);
    if (this.stopped) return;
    // The first block comes soon; so does one that was read too late, and all after it.
    this.at = Math.max(this.at, this.now + Math.round(LEAD_SECONDS * rate));
    const last = this.stretches.at(-1);
    if (last && last.end === this.frame && last.at + last.end - last.frame === this.at) {
      last.end += count;
    } else {
      this.stretches.push({ at: this.at, frame: this.frame, end: this.frame + count });
    }
    blocks.forEach((planes, place) => this.#schedule(planes, this.inputs[place]));
    this.frame += count;
    this.at += count;
  }

  /**
   * @param {Float32Array[]} planes
   * @param {AudioNode} input
   */
  #schedule(planes, input) {
    if (!planes[0]?.length) return;
    const buffer = this.#emptyBuffer(planes.length, planes[0].length);
    planes.forEach((plane, channel) =>
      buffer.copyToChannel(/** @type {Float32Array<ArrayBuffer>} */ (plane), channel),
    );
    const node = this.context.createBufferSource();
    node.buffer = buffer;
    node.connect(input);
    node.start(this.at / this.mixer.rate);
    this.nodes.add(node);
    node.onended = () => {
      node.disconnect();
      this.nodes.delete(node);
      this.mixer.spare.push(buffer);
    };
  }

  /**
   * @param {number} channels
   * @param {number} frames
   */
  #emptyBuffer(channels, frames) {
    const { spare, rate } = this.mixer;
    const place = spare.findIndex(
      (buffer) => buffer.numberOfChannels === channels && buffer.length === frames,
    );
    if (place >= 0) return spare.splice(place, 1)[0];
    spare.length = Math.min(spare.length, MOST_SPARE);
    return this.context.createBuffer(channels, frames, rate);
  }

  /** Fades out, so that there is no click. */
  stop() {
    this.stopped = true;
    const now = this.context.currentTime;
    for (const input of this.inputs) {
      input.gain.setValueAtTime(1, now);
      input.gain.linearRampToValueAtTime(0, now + FADE_SECONDS);
    }
    for (const node of this.nodes) node.stop(now + FADE_SECONDS);
    sleep(0.2).then(() => this.inputs.forEach((input) => input.disconnect()));
  }
}
