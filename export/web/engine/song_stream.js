import { InputError } from "./errors.js";
import { NetworkStream } from "./network_stream.js";
import { framesOf, joined, PlaneQueue, toChannels } from "./planes.js";
import { Resampler } from "./resampler.js";

/** @typedef {import("./planes.js").Planes} Planes */
/** @typedef {import("./model_info.js").ModelInfo} ModelInfo */
/** @typedef {import("./network_stream.js").Step} Step */

/**
 * One song, of any rate, on its way through a network; the twin of Python's
 * waveunet_tf/separation/song_stream.py.
 *
 * What comes out has the song's rate and length. With a difference output the last source is made
 * here, at the song's own rate, so that the stems add up to the song.
 */
export class SongStream {
  #frames = 0;
  #song;
  #toNetwork;
  #fromNetwork;
  #network;

  /**
   * @param {ModelInfo} info
   * @param {Step} step That has run nothing yet.
   * @param {number} sampleRateHz The song's.
   * @param {number} channels The song's, 1 or 2.
   */
  constructor(info, step, sampleRateHz, channels) {
    if (channels !== 1 && channels !== 2) {
      throw new InputError(`must have 1 or 2 channels. Received: ${channels} channels`);
    }
    this.info = info;
    this.sampleRateHz = sampleRateHz;
    this.songChannels = channels;
    /** The stems' channels: those of the song, or 1 of a mono network. */
    this.channels = Math.min(channels, info.channels);
    this.#network = new NetworkStream(info, step);
    this.#toNetwork = new Resampler(sampleRateHz, info.sampleRateHz, info.channels);
    this.#fromNetwork = info.estimated.map(
      () => new Resampler(info.sampleRateHz, sampleRateHz, this.channels),
    );
    this.#song = new PlaneQueue(this.channels);
  }

  /** The most time from a frame of the song to its stems, without the time to compute. */
  get latencySeconds() {
    const { info } = this;
    const wait = info.isWindow ? info.inputFrames : info.latencyFrames + info.chunkFrames;
    const toNetwork = this.#toNetwork.queue ? this.#toNetwork.half / this.sampleRateHz : 0;
    const back = this.#fromNetwork[0];
    return wait / info.sampleRateHz + toNetwork + (back.queue ? back.half / info.sampleRateHz : 0);
  }

  /**
   * Takes the song's next frames.
   *
   * @param {Planes} block Full scale 1.
   * @returns {Promise<Planes[]>} For each source, in the model's order, the next frames.
   * @throws {InputError} A sample is no finite number.
   */
  async push(block) {
    this.#check(block);
    this.#frames += framesOf(block);
    if (this.info.difference) this.#song.put(toChannels(block, this.channels));
    const mixture = toChannels(block, this.info.channels);
    const separated = await this.#network.push(this.#toNetwork.push(mixture));
    const stems = this.#fromNetwork.map((resampler, source) =>
      resampler.push(toChannels(separated[source], this.channels)),
    );
    return this.#withDifference(stems);
  }

  /**
   * Ends the song.
   *
   * @returns {Promise<Planes[]>} The rest of each source.
   */
  async finish() {
    const pushed = await this.#network.push(this.#toNetwork.finish());
    const rest = await this.#network.finish();
    const stems = this.#fromNetwork.map((resampler, source) =>
      joined([
        resampler.push(toChannels(pushed[source], this.channels)),
        resampler.push(toChannels(rest[source], this.channels)),
        resampler.finish(this.#frames),
      ]),
    );
    return this.#withDifference(stems);
  }

  /** @param {Planes} block */
  #check(block) {
    for (const plane of block) {
      for (let frame = 0; frame < plane.length; frame++) {
        if (!Number.isFinite(plane[frame])) {
          throw new InputError(
            `must hold finite samples. Received: NaN or infinity in frame ${this.#frames + frame}`,
          );
        }
      }
    }
  }

  /** @param {Planes[]} stems */
  #withDifference(stems) {
    if (!this.info.difference) return stems;
    const last = this.#song.take(framesOf(stems[0]));
    for (const [channel, plane] of last.entries()) {
      for (let frame = 0; frame < plane.length; frame++) {
        let others = stems[0][channel][frame];
        for (let i = 1; i < stems.length; i++) {
          others = Math.fround(others + stems[i][channel][frame]);
        }
        plane[frame] -= others;
      }
    }
    return [...stems, last];
  }
}
