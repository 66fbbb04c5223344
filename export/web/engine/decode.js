import {
  ADTS,
  AudioSampleSink,
  BlobSource,
  FLAC,
  Input,
  MATROSKA,
  MP3,
  MP4,
  OGG,
  QTFF,
  WAVE,
  WEBM,
} from "mediabunny";

import { InputError, reasonOf } from "./errors.js";
import { mp3Bounds, oggBounds } from "./gapless.js";
import { oggLinks } from "./ogg_links.js";
import { framesOf, joined, part } from "./planes.js";
import { openWav } from "./wav_reader.js";

/** @typedef {import("./planes.js").Planes} Planes */
/** @typedef {import("./wav_reader.js").SongSource} SongSource */
/** @typedef {import("./gapless.js").Bounds} Bounds */
/** @typedef {import("mediabunny").InputAudioTrack} InputAudioTrack */

const FORMATS = [MP3, FLAC, OGG, MP4, QTFF, ADTS, WEBM, MATROSKA, WAVE];
const BLOCK_FRAMES = 65536;
const CHANGES = "must be of one rate and channel count, but changes";
// A whole stream may lack this much of its header's length: two frames of AAC.
const PADDING_FRAMES = 4096;

/**
 * Decodes a whole file where an OfflineAudioContext is: in the page.
 *
 * @typedef {(content: ArrayBuffer, sampleRateHz: number, channels: number) => Promise<Planes>}
 *   DecodeWhole
 */

/** WebCodecs gave up within a stream, of which a whole decoder may make more. */
export class StreamError extends Error {}

/**
 * Opens a song at its own rate.
 *
 * @param {Blob} file
 * @param {DecodeWhole} decodeWhole
 * @param {{mayStream: boolean}} options
 * @returns {Promise<SongSource>}
 * @throws {InputError} It is no audio file, or none that this browser decodes.
 */
export async function openSong(file, decodeWhole, { mayStream }) {
  if (file.size === 0) throw new InputError("must be an audio file, but is empty");
  const links = await oggLinks(file);
  const sources = [];
  for (const link of links) sources.push(await openStream(link, decodeWhole, mayStream));
  return sources.length === 1 ? sources[0] : oneAfterAnother(sources);
}

/**
 * @param {SongSource[]} sources
 * @returns {SongSource}
 */
function oneAfterAnother(sources) {
  const { sampleRateHz, channels } = sources[0];
  if (sources.some((one) => one.sampleRateHz !== sampleRateHz || one.channels !== channels)) {
    throw new InputError(CHANGES);
  }
  /** @type {string[]} */
  const remarks = [];
  async function* blocks() {
    for (const source of sources) {
      yield* source.blocks();
      remarks.push(...source.remarks);
    }
  }
  const frames = sources.reduce(
    (/** @type {number | null} */ sum, one) =>
      sum === null || one.frames === null ? null : sum + one.frames,
    0,
  );
  return { sampleRateHz, channels, frames, remarks, blocks };
}

/**
 * @param {Blob} file
 * @param {DecodeWhole} decodeWhole
 * @param {boolean} mayStream
 * @returns {Promise<SongSource>}
 */
async function openStream(file, decodeWhole, mayStream) {
  const wav = await openWav(file);
  if (wav) return wav;
  const track = await audioTrack(file);
  const [sampleRateHz, channels] = [await track.getSampleRate(), await track.getNumberOfChannels()];
  const format = await track.input.getFormat();
  const bounds = mayStream ? await boundsOf(file, track, format, sampleRateHz) : null;
  if (bounds && (await track.canDecode())) {
    const guess = bounds.frames ?? (await guessedFrames(file, track, sampleRateHz));
    return streamed(track, sampleRateHz, channels, bounds, guess);
  }
  return whole(file, decodeWhole, sampleRateHz, channels);
}

/**
 * What the file's header tells.
 *
 * @param {Blob} file
 * @returns {Promise<InputAudioTrack>}
 */
async function audioTrack(file) {
  const input = new Input({ source: new BlobSource(file), formats: FORMATS });
  let track;
  try {
    track = await input.getPrimaryAudioTrack();
  } catch (error) {
    throw new InputError(`must be an audio file, but cannot be read: ${reasonOf(error)}`);
  }
  if (!track) throw new InputError("must be an audio file, but has no audio");
  return track;
}

/**
 * Where the song lies in what WebCodecs gives; null where that is not known to be exact.
 *
 * @param {Blob} file
 * @param {InputAudioTrack} track
 * @param {import("mediabunny").InputFormat} format
 * @param {number} sampleRateHz
 * @returns {Promise<Bounds | null>}
 */
async function boundsOf(file, track, format, sampleRateHz) {
  const codec = await track.getCodec();
  if (format === MP3) return mp3Bounds(file);
  if (format === OGG && (codec === "vorbis" || codec === "opus")) return oggBounds(file, codec);
  if (format === MP4 || format === FLAC) {
    const seconds = await track.getDurationFromMetadata();
    return { skip: 0, frames: seconds === null ? null : Math.round(seconds * sampleRateHz) };
  }
  return null;
}

/**
 * @param {Blob} file
 * @param {InputAudioTrack} track
 * @param {number} sampleRateHz
 */
async function guessedFrames(file, track, sampleRateHz) {
  const told = await track.getDurationFromMetadata();
  if (told !== null) return Math.round(told * sampleRateHz);
  const { averageBitrate } = await track.computePacketStats(100);
  return averageBitrate ? Math.round(((8 * file.size) / averageBitrate) * sampleRateHz) : null;
}

/**
 * Decodes by WebCodecs, packet by packet.
 *
 * @param {InputAudioTrack} track
 * @param {number} sampleRateHz
 * @param {number} channels
 * @param {Bounds} bounds
 * @param {number | null} frames For the progress.
 * @returns {SongSource}
 */
function streamed(track, sampleRateHz, channels, bounds, frames) {
  /** @type {string[]} */
  const remarks = [];
  async function* blocks() {
    let [skip, left, came] = [bounds.skip, bounds.frames ?? Infinity, 0];
    try {
      for await (const sample of new AudioSampleSink(track).samples()) {
        if (sample.sampleRate !== sampleRateHz || sample.numberOfChannels !== channels) {
          throw new InputError(CHANGES);
        }
        const early = sample.timestamp < 0 ? Math.round(-sample.timestamp * sampleRateHz) : 0;
        const planes = planesOfSample(sample);
        const begin = Math.min(Math.max(skip, early), framesOf(planes));
        skip = Math.max(skip - framesOf(planes), 0);
        const end = Math.min(begin + left, framesOf(planes));
        left -= end - begin;
        came += end - begin;
        if (end > begin) yield part(planes, begin, end);
      }
    } catch (error) {
      if (error instanceof InputError) throw error;
      throw new StreamError(reasonOf(error));
    }
    if (bounds.frames !== null && came < bounds.frames - PADDING_FRAMES) {
      remarks.push("the file ends before the length that its header promises");
    }
  }
  return { sampleRateHz, channels, frames, remarks, blocks: () => gathered(blocks()) };
}

/**
 * Joins short blocks, for each costs a step.
 *
 * @param {AsyncGenerator<Planes, void, void>} blocks
 * @returns {AsyncGenerator<Planes, void, void>}
 */
async function* gathered(blocks) {
  /** @type {Planes[]} */
  let waiting = [];
  let frames = 0;
  for await (const block of blocks) {
    waiting.push(block);
    frames += framesOf(block);
    if (frames < BLOCK_FRAMES / 4) continue;
    yield joined(waiting);
    waiting = [];
    frames = 0;
  }
  if (waiting.length > 0) yield joined(waiting);
}

/** @param {import("mediabunny").AudioSample} sample */
function planesOfSample(sample) {
  const planes = Array.from({ length: sample.numberOfChannels }, (_, planeIndex) => {
    const plane = new Float32Array(sample.numberOfFrames);
    sample.copyTo(plane, { format: "f32-planar", planeIndex });
    return plane;
  });
  sample.close();
  return planes;
}

/**
 * Decodes at once, at the file's own rate.
 *
 * @param {Blob} file
 * @param {DecodeWhole} decodeWhole
 * @param {number} sampleRateHz
 * @param {number} channels
 * @returns {Promise<SongSource>}
 */
async function whole(file, decodeWhole, sampleRateHz, channels) {
  /** @type {Planes} */
  let planes;
  try {
    planes = await decodeWhole(await file.arrayBuffer(), sampleRateHz, channels);
  } catch (error) {
    throw new InputError(`cannot be decoded by this browser: ${reasonOf(error)}`);
  }
  async function* blocks() {
    for (let frame = 0; frame < framesOf(planes); frame += BLOCK_FRAMES) {
      yield part(planes, frame, frame + BLOCK_FRAMES);
    }
  }
  return { sampleRateHz, channels: planes.length, frames: framesOf(planes), remarks: [], blocks };
}
