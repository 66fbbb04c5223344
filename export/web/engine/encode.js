import { Cancelled, InputError } from "./errors.js";
import { encodeFlac } from "./flac.js";
import { MIXTURE } from "./model_info.js";
import { packed, quantized } from "./quantize.js";
import { wavHeader } from "./wav_header.js";
import { zipOf } from "./zip.js";

/** @typedef {import("./protocol.js").SeparatedSong} SeparatedSong */
/** @typedef {import("./protocol.js").Lane} Lane */
/** @typedef {import("./protocol.js").Encoding} Encoding */
/** @typedef {import("./protocol.js").Progress} Progress */

/**
 * @typedef {object} EncodeOptions
 * @property {boolean} zip
 * @property {import("./store.js").Store} store
 * @property {AbortSignal} signal
 * @property {(progress: Progress) => void} onProgress
 */

const BLOCK_FRAMES = 65536;
/** @type {Record<string, number>} */
const WAV_BYTES = { wav16: 2, wav24: 3, wav32f: 4 };

/**
 * Makes a file of a lane, or a zip of several.
 *
 * @param {SeparatedSong} song
 * @param {string[]} names Of lanes.
 * @param {Encoding} encoding
 * @param {EncodeOptions} options
 * @returns {Promise<Blob>}
 */
export async function encodeLanes(song, names, encoding, options) {
  const files = [];
  for (const [place, name] of names.entries()) {
    const lane = song.lanes.find((one) => one.name === name);
    if (!lane) throw new InputError(`${song.name} has no lane ${name}`);
    const report = (/** @type {number} */ done) =>
      options.onProgress({
        stage: "encoding",
        done: (place + done) / names.length,
        secondsLeft: null,
      });
    const content = await encodeLane(song, lane, encoding, { ...options, report });
    const suffix = encoding === "flac" ? "flac" : "wav";
    files.push({ name: `${song.name}/${name}.${suffix}`, content });
  }
  return options.zip ? zipOf(files) : files[0].content;
}

/**
 * @param {SeparatedSong} song
 * @param {Lane} lane
 * @param {Encoding} encoding
 * @param {{store: import("./store.js").Store, signal: AbortSignal,
 *   report: (done: number) => void}} options
 * @returns {Promise<Blob>}
 */
async function encodeLane(song, lane, encoding, { store, signal, report }) {
  const { channels, sampleRateHz, frames } = song;
  const gain = encoding === "wav32f" ? 1 : gainOf(song, lane);
  const blocks = read(song, lane, signal, report);
  if (encoding === "flac") return encodeFlac(blocks, { channels, sampleRateHz, gain });
  const bytes = WAV_BYTES[encoding];
  if (!bytes) throw new InputError(`encoding must be wav16, wav24, wav32f or flac`);
  const header = wavHeader({ frames, channels, sampleRateHz, bytes });
  const padding = new Uint8Array((frames * channels * bytes) % 2);
  const type = { type: "audio/wav" };
  const head = /** @type {Uint8Array<ArrayBuffer>} */ (header);
  if (bytes === 4) return new Blob([head, lane.samples], type);
  const name = `${song.id}-${lane.name}.${encoding}`;
  await store.remove(name);
  const file = await store.create(name);
  try {
    for await (const block of blocks) file.write(packed(quantized(block, 8 * bytes, gain), bytes));
    return new Blob([head, await file.finish(), padding], type);
  } catch (error) {
    await file.remove();
    throw error;
  }
}

/**
 * Integers hold no samples beyond full scale. All stems get one gain, so that they still add up.
 *
 * @param {SeparatedSong} song
 * @param {Lane} lane
 */
function gainOf(song, lane) {
  const group = lane.name === MIXTURE ? [lane] : song.lanes.filter((one) => one.name !== MIXTURE);
  return 1 / Math.max(1, ...group.map((one) => one.peak));
}

/**
 * @param {SeparatedSong} song
 * @param {Lane} lane
 * @param {AbortSignal} signal
 * @param {(done: number) => void} report
 */
async function* read(song, lane, signal, report) {
  const frameBytes = 4 * song.channels;
  for (let frame = 0; frame < song.frames; frame += BLOCK_FRAMES) {
    if (signal.aborted) throw new Cancelled();
    const slice = lane.samples.slice(frame * frameBytes, (frame + BLOCK_FRAMES) * frameBytes);
    yield new Float32Array(await slice.arrayBuffer());
    report(Math.min((frame + BLOCK_FRAMES) / song.frames, 1));
  }
}
