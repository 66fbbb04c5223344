import { InputError } from "./errors.js";
import { silence } from "./planes.js";

/** @typedef {import("./planes.js").Planes} Planes */

/**
 * A song that is decoded block by block.
 *
 * @typedef {object} SongSource
 * @property {number} sampleRateHz
 * @property {number} channels
 * @property {number | null} frames As far as it is known, or guessed.
 * @property {string[]} remarks Lines for the user, when all blocks are read.
 * @property {() => AsyncGenerator<Planes, void, void>} blocks
 */

const BLOCK_FRAMES = 65536;
const HEAD_BYTES = 2 ** 16;
const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;
// Python's, too: just below 2 GiB (GStreamer, sox), just above, or just below 4 GiB (ffmpeg).
const BELOW_POWER = 2 ** 24;
const ABOVE_POWER = 2 ** 16;

/**
 * Opens a wav file of integers or floats.
 *
 * @param {Blob} file
 * @returns {Promise<SongSource | null>} None where it is no such file.
 * @throws {InputError} It has no audio data.
 */
export async function openWav(file) {
  const head = new DataView(await file.slice(0, 12).arrayBuffer());
  if (head.byteLength < 12 || word(head, 0) !== "RIFF" || word(head, 8) !== "WAVE") return null;
  /** @type {Format | null} */
  let format = null;
  for (let at = 12; ;) {
    const chunk = new DataView(await file.slice(at, at + HEAD_BYTES).arrayBuffer());
    if (chunk.byteLength < 8) throw new InputError("must be a wav file with audio data");
    const size = chunk.getUint32(4, true);
    if (word(chunk, 0) === "data") {
      if (!format) throw new InputError("must have its `fmt ` chunk before the data");
      return readerOf(file, format, at + 8, size);
    }
    if (word(chunk, 0) === "fmt ") {
      format = formatOf(chunk, size);
      if (!format) return null;
    }
    at += 8 + size + (size & 1);
  }
}

/** @typedef {{isFloat: boolean, bits: number, channels: number, sampleRateHz: number}} Format */

/**
 * @param {DataView} chunk
 * @param {number} size
 * @returns {Format | null}
 */
function formatOf(chunk, size) {
  if (size < 16 || chunk.byteLength < 8 + Math.min(size, 40)) return null;
  let kind = chunk.getUint16(8, true);
  const channels = chunk.getUint16(10, true);
  const sampleRateHz = chunk.getUint32(12, true);
  const bits = chunk.getUint16(22, true);
  if (kind === EXTENSIBLE && size >= 40) kind = chunk.getUint16(32, true); // the GUID's first
  const known = kind === FLOAT ? [32, 64] : kind === PCM ? [8, 16, 24, 32] : [];
  const frameBytes = chunk.getUint16(20, true);
  if (!known.includes(bits) || !channels || !sampleRateHz) return null;
  if (frameBytes !== (channels * bits) / 8) return null;
  return { isFloat: kind === FLOAT, bits, channels, sampleRateHz };
}

/**
 * @param {Blob} file
 * @param {Format} format
 * @param {number} begin
 * @param {number} size What the header promises.
 * @returns {SongSource}
 */
function readerOf(file, format, begin, size) {
  const { channels, sampleRateHz, bits } = format;
  const frameBytes = (channels * bits) / 8;
  const there = Math.max(file.size - begin, 0);
  const isOpen = isPlaceholder(size) || size === 0;
  const frames = Math.floor((isOpen ? there : Math.min(size, there)) / frameBytes);
  const remarks = [];
  // A few bytes are sloppiness.
  if (!isOpen && there + 16 < size) {
    remarks.push("the file ends before the length that its header promises");
  }
  async function* blocks() {
    for (let frame = 0; frame < frames; frame += BLOCK_FRAMES) {
      const count = Math.min(BLOCK_FRAMES, frames - frame);
      const from = begin + frame * frameBytes;
      const data = new DataView(await file.slice(from, from + count * frameBytes).arrayBuffer());
      yield decoded(data, format, count);
    }
  }
  return { sampleRateHz, channels, frames, remarks, blocks };
}

/** @param {number} size */
function isPlaceholder(size) {
  return (
    (size >= 2 ** 31 - BELOW_POWER && size < 2 ** 31 + ABOVE_POWER) || size >= 2 ** 32 - BELOW_POWER
  );
}

/**
 * @param {DataView} data
 * @param {Format} format
 * @param {number} frames
 * @returns {Planes}
 */
function decoded(data, { isFloat, bits, channels }, frames) {
  const planes = silence(channels, frames);
  const bytes = bits / 8;
  const read = isFloat ? READ_FLOAT[bits] : READ_PCM[bits];
  for (const [channel, plane] of planes.entries()) {
    for (let frame = 0, at = channel * bytes; frame < frames; frame++, at += channels * bytes) {
      plane[frame] = read(data, at);
    }
  }
  return planes;
}

/** @type {Record<number, (data: DataView, at: number) => number>} */
const READ_FLOAT = {
  32: (data, at) => data.getFloat32(at, true),
  64: (data, at) => data.getFloat64(at, true),
};

/** @type {Record<number, (data: DataView, at: number) => number>} */
const READ_PCM = {
  8: (data, at) => (data.getUint8(at) - 128) / 2 ** 7,
  16: (data, at) => data.getInt16(at, true) / 2 ** 15,
  24: (data, at) => ((data.getInt8(at + 2) << 16) | data.getUint16(at, true)) / 2 ** 23,
  32: (data, at) => data.getInt32(at, true) / 2 ** 31,
};

/**
 * @param {DataView} data
 * @param {number} at
 */
function word(data, at) {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => data.getUint8(at + i)));
}
