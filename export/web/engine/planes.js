/**
 * Audio as one Float32Array for each channel, all of one length.
 *
 * @typedef {Float32Array[]} Planes
 */

/** @param {Planes} planes */
export function framesOf(planes) {
  return planes[0].length;
}

/**
 * @param {number} channels
 * @param {number} frames
 * @returns {Planes}
 */
export function silence(channels, frames) {
  return Array.from({ length: channels }, () => new Float32Array(frames));
}

/**
 * Turns mono into stereo by repetition, stereo into mono by the mean.
 *
 * @param {Planes} planes
 * @param {number} channels
 * @returns {Planes}
 */
export function toChannels(planes, channels) {
  if (planes.length === channels) return planes;
  if (channels === 2) return [planes[0], planes[0]];
  const [left, right] = planes;
  return [left.map((sample, frame) => (sample + right[frame]) / 2)];
}

/**
 * @param {Planes} planes
 * @returns {Float32Array}
 */
export function interleaved(planes) {
  const channels = planes.length;
  if (channels === 1) return planes[0];
  const samples = new Float32Array(framesOf(planes) * channels);
  for (const [channel, plane] of planes.entries()) {
    for (let frame = 0, at = channel; frame < plane.length; frame++, at += channels) {
      samples[at] = plane[frame];
    }
  }
  return samples;
}

/**
 * @param {Float32Array} samples Interleaved.
 * @param {number} channels
 * @returns {Planes}
 */
export function deinterleaved(samples, channels) {
  if (channels === 1) return [samples];
  const planes = silence(channels, samples.length / channels);
  for (const [channel, plane] of planes.entries()) {
    for (let frame = 0, at = channel; frame < plane.length; frame++, at += channels) {
      plane[frame] = samples[at];
    }
  }
  return planes;
}

/**
 * @param {Planes[]} parts At least one.
 * @returns {Planes}
 */
export function joined(parts) {
  const frames = parts.reduce((sum, part) => sum + framesOf(part), 0);
  const whole = silence(parts[0].length, frames);
  let at = 0;
  for (const part of parts) {
    whole.forEach((plane, channel) => plane.set(part[channel], at));
    at += framesOf(part);
  }
  return whole;
}

/**
 * @param {Planes} planes
 * @param {number} begin
 * @param {number} [end]
 * @returns {Planes} Views of the same memory.
 */
export function part(planes, begin, end) {
  return planes.map((plane) => plane.subarray(begin, end));
}

/** Frames that wait: first in, first out. */
export class PlaneQueue {
  #begin = 0;
  #end = 0;

  /** @param {number} channels */
  constructor(channels) {
    /** @type {Planes} */
    this.planes = silence(channels, 0);
  }

  get frames() {
    return this.#end - this.#begin;
  }

  /** Where the first frame lies in `planes`, which `put` may move. */
  get begin() {
    return this.#begin;
  }

  /** @param {Planes} block */
  put(block) {
    const at = this.#room(framesOf(block));
    this.planes.forEach((plane, channel) => plane.set(block[channel], at));
  }

  /** @param {number} frames */
  putSilence(frames) {
    const at = this.#room(frames);
    for (const plane of this.planes) plane.fill(0, at, at + frames);
  }

  /**
   * Copies the first frames, which stay.
   *
   * @param {number} frames
   * @returns {Planes}
   */
  peek(frames) {
    return this.planes.map((plane) => plane.slice(this.#begin, this.#begin + frames));
  }

  /** @param {number} frames */
  drop(frames) {
    this.#begin += frames;
  }

  /** @param {number} frames */
  take(frames) {
    const taken = this.peek(frames);
    this.drop(frames);
    return taken;
  }

  /** @param {number} count */
  #room(count) {
    const kept = this.frames;
    if (this.#end + count > this.planes[0].length) {
      const tooSmall = 2 * (kept + count) > this.planes[0].length;
      this.planes = this.planes.map((plane) => {
        const target = tooSmall ? new Float32Array(2 * (kept + count)) : plane;
        if (tooSmall) target.set(plane.subarray(this.#begin, this.#end));
        else target.copyWithin(0, this.#begin, this.#end);
        return target;
      });
      this.#begin = 0;
      this.#end = kept;
    }
    this.#end += count;
    return this.#end - count;
  }
}
