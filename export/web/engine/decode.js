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

import { Cancelled, InputError, reasonOf } from "./errors.js";
import { mp3Bounds, oggBounds, withoutPreSkip } from "./gapless.js";
import { oggLinks } from "./ogg_links.js";
import { eachInTime, Stalled } from "./patience.js";
import { framesOf, joined, part } from "./planes.js";
import { openWav } from "./wav_reader.js";

/** @typedef {import("./planes.js").Planes} Planes */
/** @typedef {import("./wav_reader.js").SongSource} SongSource */
/** @typedef {import("./gapless.js").Bounds} Bounds */
/** @typedef {import("mediabunny").InputAudioTrack} InputAudioTrack */

const FORMATS = [MP3, FLAC, OGG, MP4, QTFF, ADTS, WEBM, MATROSKA, WAVE];
const BLOCK_FRAMES = 65536;
const CHANGES = "must be of one rate and channel count, but changes";
const SHORT = "the file ends before the length that its header promises";
const BROKEN = "the browser's decoder gave up before the end of the file";
// A whole stream may lack this much of its header's length: two frames of AAC.
const PADDING_FRAMES = 4096;
// A decoder that gives nothing for so long will give nothing any more.
const STALL_SECONDS = 5;
/** Codecs that the browser says it decodes, and of which nothing comes. @type {Set<unknown>} */
const mute = new Set();

/**
 * Decodes a whole file where an OfflineAudioContext is: in the page.
 *
 * @typedef {(content: ArrayBuffer, sampleRateHz: number, channels: number) => Promise<Planes>}
 *   DecodeWhole
 */

/** WebCodecs gave up within a stream, of which a whole decoder may make more. */
export class StreamError extends Error {
  /**
   * @param {string} message
   * @param {number} frames As many came before.
   */
  constructor(message, frames) {
    super(message);
    this.frames = frames;
  }
}

/**
 * @typedef {object} Ways How a song may be decoded.
 * @property {boolean} mayStream By WebCodecs, packet by packet.
 * @property {boolean} [mayBreak] The song may end where WebCodecs gives up.
 */

/**
 * Opens a song at its own rate.
 *
 * @param {Blob} file
 * @param {DecodeWhole} decodeWhole
 * @param {Ways} ways
 * @returns {Promise<SongSource>}
 * @throws {InputError} It is no audio file, or none that this browser decodes.
 */
export async function openSong(file, decodeWhole, ways) {
  if (file.size === 0) throw new InputError("must be an audio file, but is empty");
  const links = await oggLinks(file);
  const sources = [];
  for (const link of links) sources.push(await openStream(link, decodeWhole, ways));
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
 * @param {Ways} ways
 * @returns {Promise<SongSource>}
 */
async function openStream(file, decodeWhole, { mayStream, mayBreak = false }) {
  const wav = await openWav(file);
  if (wav) return wav;
  const track = await audioTrack(await withoutPreSkip(file));
  const [sampleRateHz, channels] = [await track.getSampleRate(), await track.getNumberOfChannels()];
  const format = await track.input.getFormat();
  const bounds = await boundsOf(file, track, format, sampleRateHz);
  const audible = mayStream && !mute.has(await track.getCodec());
  if (bounds && audible && (await track.canDecode())) {
    const guess = bounds.frames ?? (await guessedFrames(file, track, sampleRateHz));
    return streamed(track, sampleRateHz, channels, bounds, { guess, mayBreak });
  }
  if ((await track.input.getAudioTracks()).length > 1) {
    throw new InputError("has several audio tracks, of which this browser cannot choose one");
  }
  return whole(file, decodeWhole, sampleRateHz, channels, bounds);
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
 * @param {{guess: number | null, mayBreak: boolean}} options The guess of the song's frames is for
 *   the progress.
 * @returns {SongSource}
 */
function streamed(track, sampleRateHz, channels, bounds, { guess, mayBreak }) {
  /** @type {string[]} */
  const remarks = [];
  async function* blocks() {
    let [skip, left, came] = [bounds.skip, bounds.frames ?? Infinity, 0];
    let broken = false;
    try {
      const samples = new AudioSampleSink(track).samples();
      for await (const sample of eachInTime(samples, STALL_SECONDS)) {
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
      if (came === 0) throw new Error("nothing was decoded");
    } catch (error) {
      if (error instanceof InputError) throw error;
      if (error instanceof Stalled && came === 0) mute.add(await track.getCodec());
      if (!mayBreak) throw new StreamError(reasonOf(error), came);
      broken = true;
    }
    if (bounds.frames !== null && came < bounds.frames - PADDING_FRAMES) {
      remarks.push(SHORT);
    } else if (broken && bounds.frames === null) {
      remarks.push(BROKEN);
    }
  }
  return { sampleRateHz, channels, frames: guess, remarks, blocks: () => gathered(blocks()) };
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
  const { numberOfFrames, numberOfChannels, format } = sample;
  // WebKitGTK 2.50 crashes where it copies what is one channel already, without converting it.
  const converted = numberOfChannels === 1 && format === "f32";
  const planes = Array.from({ length: numberOfChannels }, (_, planeIndex) => {
    const plane = new Float32Array(numberOfFrames);
    const integers = converted ? new Int32Array(numberOfFrames) : null;
    sample.copyTo(integers ?? plane, {
      format: integers ? "s32-planar" : "f32-planar",
      planeIndex,
    });
    integers?.forEach((integer, frame) => (plane[frame] = integer / 2 ** 31));
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
 * @param {Bounds | null} bounds
 * @returns {Promise<SongSource>}
 */
async function whole(file, decodeWhole, sampleRateHz, channels, bounds) {
  /** @type {Planes} */
  let planes;
  try {
    const decoded = await decodeWhole(await file.arrayBuffer(), sampleRateHz, channels);
    planes = within(decoded, bounds);
  } catch (error) {
    if (error instanceof Cancelled) throw error;
    throw new InputError(`cannot be decoded by this browser: ${reasonOf(error)}`);
  }
  async function* blocks() {
    for (let frame = 0; frame < framesOf(planes); frame += BLOCK_FRAMES) {
      yield part(planes, frame, frame + BLOCK_FRAMES);
    }
  }
  const frames = framesOf(planes);
  const remarks = frames < (bounds?.frames ?? 0) - PADDING_FRAMES ? [SHORT] : [];
  return { sampleRateHz, channels: planes.length, frames, remarks, blocks };
}

/**
 * Cuts off what an encoder put before and after a song. Some browsers have done so already, as the
 * length tells.
 *
 * @param {Planes} planes
 * @param {Bounds | null} bounds
 */
function within(planes, bounds) {
  if (!bounds) return planes;
  const [skip, frames] = [bounds.skip, bounds.frames ?? Infinity];
  const begin = framesOf(planes) >= skip + frames ? skip : 0;
  return part(planes, begin, begin + frames);
}
