import { InputError } from "./errors.js";
import { deinterleaved, framesOf, interleaved, joined, part, PlaneQueue } from "./planes.js";

/** @typedef {import("./planes.js").Planes} Planes */
/** @typedef {import("./model_info.js").ModelInfo} ModelInfo */

/**
 * A runtime that computes a song's next step; it keeps the states.
 *
 * @typedef {object} Step
 * @property {(mixture: Float32Array) => Promise<Float32Array[]>} run Takes `inputFrames` of the
 *     mixture, interleaved; gives `outputFrames` of each source, in the model's order.
 * @property {() => void} close Frees the states.
 */

/**
 * A network over audio of its own rate and channels, that comes in blocks of any length.
 *
 * As many frames come out as went in, without delay, in constant memory.
 */
export class NetworkStream {
  #came = 0;
  #gone;
  #queue;
  #none;

  /**
   * @param {ModelInfo} info
   * @param {Step} step
   */
  constructor(info, step) {
    this.info = info;
    this.step = step;
    this.#gone = -info.latencyFrames;
    this.#queue = new PlaneQueue(info.channels);
    this.#queue.putSilence(info.contextFrames);
    this.#none = Array.from({ length: info.channels }, () => new Float32Array(0));
  }

  /**
   * Takes the next frames.
   *
   * @param {Planes} mixture
   * @returns {Promise<Planes[]>} For each source the next frames that are ready.
   * @throws {InputError} The model gives NaN or infinity.
   */
  async push(mixture) {
    this.#came += framesOf(mixture);
    this.#queue.put(mixture);
    return this.#run();
  }

  /**
   * Ends the song, with silence after it.
   *
   * @returns {Promise<Planes[]>} The rest of each source.
   */
  async finish() {
    const rest = this.#came - Math.max(this.#gone, 0);
    /** @type {Planes[][]} */
    const blocks = this.info.sources.map(() => [this.#none]);
    while (this.#gone < this.#came) {
      this.#queue.putSilence(Math.max(this.info.inputFrames - this.#queue.frames, 0));
      const block = await this.#run();
      block.forEach((planes, source) => blocks[source].push(planes));
    }
    return blocks.map((parts) => part(joined(parts), 0, rest));
  }

  async #run() {
    const { inputFrames, chunkFrames, channels, sources } = this.info;
    /** @type {Planes[][]} */
    const blocks = sources.map(() => [this.#none]);
    while (this.#queue.frames >= inputFrames) {
      const mixture = this.#queue.peek(inputFrames);
      this.#queue.drop(chunkFrames);
      const stems = await this.step.run(interleaved(mixture));
      // Of what comes before the song's first frame nothing is kept.
      const late = Math.min(Math.max(-this.#gone, 0), chunkFrames);
      stems.forEach((stem, source) => {
        if (!areFinite(stem)) {
          throw new InputError(
            `the model must give finite samples. Received: NaN or infinity in ${sources[source]}`,
          );
        }
        blocks[source].push(part(deinterleaved(stem, channels), late, chunkFrames));
      });
      this.#gone += chunkFrames;
    }
    return blocks.map(joined);
  }
}

/**
 * `every` would take a tenth of the network's time.
 *
 * @param {Float32Array} samples
 */
function areFinite(samples) {
  for (let at = 0; at < samples.length; at++) {
    if (!Number.isFinite(samples[at])) return false;
  }
  return true;
}
