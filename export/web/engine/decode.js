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
import { framesOf, part } from "./planes.js";
import { openWav } from "./wav_reader.js";

/** @typedef {import("./planes.js").Planes} Planes */
/** @typedef {import("./wav_reader.js").SongSource} SongSource */
/** @typedef {import("mediabunny").InputAudioTrack} InputAudioTrack */

const FORMATS = [MP3, FLAC, OGG, MP4, QTFF, ADTS, WEBM, MATROSKA, WAVE];
const BLOCK_FRAMES = 65536;

/**
 * Decodes a whole file where an OfflineAudioContext is: in the page.
 *
 * @typedef {(content: ArrayBuffer, sampleRateHz: number, channels: number) => Promise<Planes>}
 *   DecodeWhole
 */

/**
 * Opens a song at its own rate.
 *
 * @param {Blob} file
 * @param {DecodeWhole} decodeWhole
 * @returns {Promise<SongSource>}
 * @throws {InputError} It is no audio file, or none that this browser decodes.
 */
export async function openSong(file, decodeWhole) {
  if (file.size === 0) throw new InputError("must be an audio file, but is empty");
  const wav = await openWav(file);
  if (wav) return wav;
  const { track, duration } = await audioTrack(file);
  const [sampleRateHz, channels] = [await track.getSampleRate(), await track.getNumberOfChannels()];
  const codec = await track.getCodec();
  if (codec === "flac" && (await track.canDecode())) {
    return streamed(track, sampleRateHz, channels, duration);
  }
  return whole(file, decodeWhole, sampleRateHz, channels);
}

/**
 * What the file's header tells.
 *
 * @param {Blob} file
 * @returns {Promise<{track: InputAudioTrack, duration: number | null}>}
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
  return { track, duration: await track.getDurationFromMetadata() };
}

/**
 * Decodes by WebCodecs, packet by packet.
 *
 * @param {InputAudioTrack} track
 * @param {number} sampleRateHz
 * @param {number} channels
 * @param {number | null} duration
 * @returns {SongSource}
 */
function streamed(track, sampleRateHz, channels, duration) {
  async function* blocks() {
    const sink = new AudioSampleSink(track);
    try {
      for await (const sample of sink.samples()) {
        if (sample.sampleRate !== sampleRateHz || sample.numberOfChannels !== channels) {
          throw new InputError("must be of one rate and channel count, but changes");
        }
        yield planesOfSample(sample);
      }
    } catch (error) {
      if (error instanceof InputError) throw error;
      throw new InputError(`cannot be decoded: ${reasonOf(error)}`);
    }
  }
  const frames = duration === null ? null : Math.round(duration * sampleRateHz);
  return { sampleRateHz, channels, frames, remarks: [], blocks };
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
