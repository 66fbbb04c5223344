import { Cancelled, InputError } from "./errors.js";
import { fileNameOf } from "./file_names.js";
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
const SUM = ""; // the name of a lane that is the sum of others
/** @type {Record<string, number>} */
const WAV_BYTES = { wav16: 2, wav24: 3, wav32f: 4 };

/**
 * Makes a file of a lane or of the sum of several, or a zip of several.
 *
 * @param {SeparatedSong} song
 * @param {string[]} names Of lanes.
 * @param {Encoding} encoding
 * @param {EncodeOptions} options
 * @returns {Promise<Blob>}
 */
export async function encodeLanes(song, names, encoding, options) {
  let lanes = names.map((name) => {
    const lane = song.lanes.find((one) => one.name === name);
    if (!lane) throw new InputError(`${song.name} has no lane ${name}`);
    return lane;
  });
  if (!options.zip && lanes.length > 1) lanes = [await sumOf(song, lanes, options)];
  const files = [];
  for (const [place, lane] of lanes.entries()) {
    const report = (/** @type {number} */ done) =>
      options.onProgress({
        stage: "encoding",
        done: (place + done) / lanes.length,
        secondsLeft: null,
      });
    const content = await encodeLane(song, lane, encoding, { ...options, report });
    const suffix = encoding === "flac" ? "flac" : "wav";
    files.push({ name: `${fileNameOf(song.name)}/${lane.name}.${suffix}`, content });
  }
  return options.zip ? zipOf(files, options.signal) : files[0].content;
}

/**
 * Makes a lane that is the sum of others.
 *
 * @param {SeparatedSong} song
 * @param {Lane[]} lanes
 * @param {EncodeOptions} options
 * @returns {Promise<Lane>}
 */
async function sumOf(song, lanes, { store, signal }) {
  const name = `${song.id}-sum.f32`;
  await store.remove(name);
  const file = await store.create(name);
  let peak = 0;
  try {
    const others = lanes.slice(1).map((lane) => read(song, lane, signal));
    for await (const sum of read(song, lanes[0], signal)) {
      for (const other of others) {
        const block = /** @type {Float32Array} */ ((await other.next()).value);
        for (let at = 0; at < sum.length; at++) sum[at] += block[at];
      }
      for (const sample of sum) peak = Math.max(peak, Math.abs(sample));
      file.write(new Uint8Array(sum.buffer));
    }
    const samples = await file.finish();
    return { name: SUM, samples, peaks: new Float32Array(), framesPerPeak: 0, peak };
  } catch (error) {
    await file.remove();
    throw error;
  }
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
  const alone = lane.name === MIXTURE || lane.name === SUM;
  const group = alone ? [lane] : song.lanes.filter((one) => one.name !== MIXTURE);
  return 1 / Math.max(1, ...group.map((one) => one.peak));
}

/**
 * @param {SeparatedSong} song
 * @param {Lane} lane
 * @param {AbortSignal} signal
 * @param {(done: number) => void} [report]
 */
async function* read(song, lane, signal, report) {
  const frameBytes = 4 * song.channels;
  for (let frame = 0; frame < song.frames; frame += BLOCK_FRAMES) {
    if (signal.aborted) throw new Cancelled();
    const slice = lane.samples.slice(frame * frameBytes, (frame + BLOCK_FRAMES) * frameBytes);
    yield new Float32Array(await slice.arrayBuffer());
    report?.(Math.min((frame + BLOCK_FRAMES) / song.frames, 1));
  }
}
