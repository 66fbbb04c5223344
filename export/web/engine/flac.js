import { AudioSample, AudioSampleSource, FlacOutputFormat, Output, StreamTarget } from "mediabunny";
import { registerFlacEncoder } from "@mediabunny/flac-encoder";

import { InputError } from "./errors.js";
import { quantized } from "./quantize.js";

// What libFLAC's build for browsers takes.
const RATES_HZ = [8000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 176400, 192000];

/**
 * Encodes samples as flac of 24 bits.
 *
 * @param {AsyncIterable<Float32Array>} blocks Interleaved.
 * @param {{channels: number, sampleRateHz: number, gain: number}} song
 * @returns {Promise<Blob>}
 */
export async function encodeFlac(blocks, { channels, sampleRateHz, gain }) {
  if (!RATES_HZ.includes(sampleRateHz)) {
    throw new InputError(`flac of ${sampleRateHz} Hz cannot be written here; wav can`);
  }
  registerFlacEncoder();
  const pieces = new Pieces();
  const target = new StreamTarget(new WritableStream(pieces));
  const output = new Output({ format: new FlacOutputFormat(), target });
  const source = new AudioSampleSource({ codec: "flac" });
  output.addAudioTrack(source);
  await output.start();
  try {
    let frames = 0;
    for await (const block of blocks) {
      const data = quantized(block, 24, gain).map((integer) => integer << 8);
      const timestamp = frames / sampleRateHz;
      const format = "s32";
      const numberOfChannels = channels;
      const sampleRate = sampleRateHz;
      const sample = new AudioSample({ data, format, numberOfChannels, sampleRate, timestamp });
      await source.add(sample);
      sample.close();
      frames += block.length / channels;
    }
    await output.finalize();
  } catch (error) {
    await output.cancel(); // or its encoder, a worker, would stay
    throw error;
  }
  return pieces.blob();
}

/**
 * Takes pieces of a file that come in order, but for a few that are written anew.
 *
 * @implements {UnderlyingSink<import("mediabunny").StreamTargetChunk>}
 */
class Pieces {
  /** @type {Blob} */
  #whole = new Blob([]);
  /** @type {{data: Uint8Array, position: number}[]} */
  #waiting = [];

  /** @param {import("mediabunny").StreamTargetChunk} chunk */
  write({ data, position }) {
    const end = this.#end();
    if (position === end) this.#waiting.push({ data: data.slice(), position });
    else this.#replace(data, position);
    if (this.#waiting.length === 64) this.#gather();
  }

  blob() {
    this.#gather();
    return new Blob([this.#whole], { type: "audio/flac" });
  }

  #end() {
    const last = this.#waiting.at(-1);
    return last ? last.position + last.data.length : this.#whole.size;
  }

  #gather() {
    const parts = this.#waiting.map(({ data }) => /** @type {Uint8Array<ArrayBuffer>} */ (data));
    this.#whole = new Blob([this.#whole, ...parts]);
    this.#waiting = [];
  }

  /**
   * @param {Uint8Array} data
   * @param {number} position
   */
  #replace(data, position) {
    this.#gather();
    const after = this.#whole.slice(position + data.length);
    const piece = /** @type {Uint8Array<ArrayBuffer>} */ (data.slice());
    this.#whole = new Blob([this.#whole.slice(0, position), piece, after]);
  }
}
