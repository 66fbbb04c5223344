/** @typedef {import("./planes.js").Planes} Planes */

const MOST = 4096;

/**
 * A lane's waveform while the lane grows: the lowest and the highest sample of each few frames,
 * of all channels. Where there are too many of them, neighbours are joined.
 */
export class Peaks {
  #bounds = new Float32Array(2 * MOST);
  #count = 0;
  #filled = 0;

  constructor() {
    this.framesPerPeak = 64;
    /** The largest absolute sample. */
    this.peak = 0;
  }

  /** @param {Planes} planes */
  put(planes) {
    const frames = planes[0].length;
    for (let begin = 0; begin < frames;) {
      if (this.#filled === 0) this.#open();
      const count = Math.min(frames - begin, this.framesPerPeak - this.#filled);
      this.#widen(planes, begin, begin + count);
      this.#filled = (this.#filled + count) % this.framesPerPeak;
      begin += count;
    }
  }

  /** @returns {Float32Array<ArrayBuffer>} */
  get bounds() {
    return this.#bounds.slice(0, 2 * this.#count);
  }

  #open() {
    if (this.#count === MOST) {
      for (let at = 0; at < MOST / 2; at++) {
        const [a, b] = [4 * at, 4 * at + 2];
        this.#bounds[2 * at] = Math.min(this.#bounds[a], this.#bounds[b]);
        this.#bounds[2 * at + 1] = Math.max(this.#bounds[a + 1], this.#bounds[b + 1]);
      }
      this.#count = MOST / 2;
      this.framesPerPeak *= 2;
    }
    this.#bounds.fill(0, 2 * this.#count, 2 * this.#count + 2);
    this.#count++;
  }

  /**
   * @param {Planes} planes
   * @param {number} begin
   * @param {number} end
   */
  #widen(planes, begin, end) {
    const at = 2 * (this.#count - 1);
    let [low, high] = [this.#bounds[at], this.#bounds[at + 1]];
    for (const plane of planes) {
      for (let frame = begin; frame < end; frame++) {
        const sample = plane[frame];
        if (sample < low) low = sample;
        else if (sample > high) high = sample;
      }
    }
    this.#bounds[at] = low;
    this.#bounds[at + 1] = high;
    this.peak = Math.max(this.peak, -low, high);
  }
}
