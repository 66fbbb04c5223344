import { InputError } from "./errors.js";
import { framesOf, PlaneQueue, silence } from "./planes.js";
import { Kernel, TAPS_AT_ONCE } from "./resample_kernel.js";

/** @typedef {import("./planes.js").Planes} Planes */

const PASSBAND_END = 0.913; // of the lower Nyquist frequency
const RIPPLE_DB = 140;
const MAX_COEFFICIENTS = 2 ** 24;

/**
 * Resamples audio that comes in blocks, by a linear phase filter, without delay.
 *
 * It is the Resampler of export/android, whose comment describes the filter: passband and stopband
 * are those of soxr's very high quality, which Python uses. Output frame j is at the time
 * j · from / to of the input. Before and after the audio there is silence.
 */
export class Resampler {
  #came = 0;
  #gone = 0;
  #dropped = 0;

  /**
   * @param {number} fromHz
   * @param {number} toHz
   * @param {number} channels
   * @throws {InputError} The ratio of the rates has too many phases.
   */
  constructor(fromHz, toHz, channels) {
    const common = gcd(fromHz, toHz);
    this.up = toHz / common;
    this.down = fromHz / common;
    this.channels = channels;
    const lower = Math.min(1, toHz / fromHz); // of the input's rate
    const width = (RIPPLE_DB - 7.95) / (((14.36 * (1 - PASSBAND_END)) / 2) * lower);
    this.half = Math.ceil(width / 2);
    if (this.up === this.down) return;
    if (2 * this.half * this.up > MAX_COEFFICIENTS) {
      throw new InputError(
        `sample rates must have a simple ratio. Received: ${fromHz} and ${toHz}`,
      );
    }
    this.kernel = kernelOf(this.up, this.down, this.half, (lower * (1 + PASSBAND_END)) / 2);
    // The queue's first frame is the first of those that output frame 0 needs.
    this.queue = new PlaneQueue(channels);
    this.queue.putSilence(this.half - 1);
  }

  /**
   * Takes the next frames; gives what is ready, which may be nothing.
   *
   * @param {Planes} planes
   * @returns {Planes}
   */
  push(planes) {
    this.#came += framesOf(planes);
    if (!this.queue) {
      this.#gone = this.#came;
      return planes;
    }
    this.queue.put(planes);
    // Output frame j needs the input up to floor(j · down / up) + half.
    const known = this.#came - this.half;
    return this.#make(known <= 0 ? 0 : Math.ceil((known * this.up) / this.down));
  }

  /**
   * Ends the stream with so many output frames, by default as the audio's length asks for,
   * rounded up; gives the rest.
   *
   * @param {number} [frames]
   * @returns {Planes}
   */
  finish(frames = Math.ceil((this.#came * this.up) / this.down)) {
    const wanted = Math.max(frames, this.#gone);
    if (!this.queue) {
      const rest = silence(this.channels, wanted - this.#gone);
      this.#gone = wanted;
      return rest;
    }
    const needed = Math.floor((wanted * this.down) / this.up) + this.half + 1;
    this.queue.putSilence(Math.max(needed - this.#came, 0));
    return this.#make(wanted);
  }

  /** @param {number} until */
  #make(until) {
    const queue = /** @type {PlaneQueue} */ (this.queue);
    const frames = Math.max(until - this.#gone, 0);
    const made = silence(this.channels, frames);
    const { up, down, kernel } = this;
    const phase = (this.#gone * down) % up;
    // `dropped` is floor(gone · down / up): the queue begins with the next frame's input.
    for (const [channel, target] of made.entries()) {
      kernel?.run(queue.planes[channel], queue.begin, phase, target);
    }
    this.#gone += frames;
    const passed = Math.floor((this.#gone * down) / up);
    queue.drop(passed - this.#dropped);
    this.#dropped = passed;
    return made;
  }
}

/** @type {Map<string, Kernel>} */
const kernels = new Map();
const MOST_KERNELS = 4;

/**
 * The kernel of a ratio, which all streams of that ratio share.
 *
 * @param {number} up
 * @param {number} down
 * @param {number} half
 * @param {number} cutoff
 */
function kernelOf(up, down, half, cutoff) {
  const key = `${up}/${down}`;
  const found = kernels.get(key) ?? new Kernel(table(up, half, cutoff), up, down);
  kernels.delete(key);
  kernels.set(key, found); // the last one used is the last one
  if (kernels.size > MOST_KERNELS) kernels.delete([...kernels.keys()][0]);
  return found;
}

/**
 * For each phase the weights of the frames from floor(time) - half + 1 on, then zeros.
 *
 * @param {number} up
 * @param {number} half
 * @param {number} cutoff
 */
function table(up, half, cutoff) {
  const beta = 0.1102 * (RIPPLE_DB - 8.7);
  const scale = bessel(beta);
  const taps = Math.ceil((2 * half) / TAPS_AT_ONCE) * TAPS_AT_ONCE;
  const weights = new Float32Array(up * taps);
  for (let phase = 0; phase < up; phase++) {
    for (let tap = 0; tap < 2 * half; tap++) {
      const time = phase / up + half - 1 - tap;
      const place = time / half;
      const window = bessel(beta * Math.sqrt(Math.max(1 - place * place, 0)));
      const angle = Math.PI * cutoff * time;
      const sinc = angle === 0 ? cutoff : (cutoff * Math.sin(angle)) / angle;
      weights[phase * taps + tap] = (sinc * window) / scale;
    }
  }
  return weights;
}

/**
 * The modified Bessel function of the first kind and order 0, by its power series.
 *
 * @param {number} x
 */
function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-17 * sum; k++) {
    term *= (x / (2 * k)) * (x / (2 * k));
    sum += term;
  }
  return sum;
}

/**
 * @param {number} a
 * @param {number} b
 * @returns {number}
 */
function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}
