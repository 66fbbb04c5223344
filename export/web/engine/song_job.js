import { Cancelled, InputError } from "./errors.js";
import { MIXTURE } from "./model_info.js";
import { Peaks } from "./peaks.js";
import { framesOf, interleaved, toChannels } from "./planes.js";
import { SongStream } from "./song_stream.js";

/** @typedef {import("./planes.js").Planes} Planes */
/** @typedef {import("./protocol.js").Progress} Progress */
/** @typedef {import("./protocol.js").SeparatedSong} SeparatedSong */

// What an estimate of the time left needs to be worth saying.
const ESTIMATE_SECONDS = 1;

/**
 * Separates a song into lanes of a store. Of a song that fails or is cancelled nothing stays.
 *
 * @param {import("./wav_reader.js").SongSource} source
 * @param {import("./runtime.js").LoadedModel} model
 * @param {import("./store.js").Store} store
 * @param {{id: string, name: string, signal: AbortSignal,
 *   onProgress: (progress: Progress) => void}} options
 * @returns {Promise<SeparatedSong>}
 */
export async function separateSong(source, model, store, { id, name, signal, onProgress }) {
  const begun = performance.now();
  const step = model.start();
  /** @type {Lane[]} */
  const lanes = [];
  try {
    const stream = new SongStream(model.info, step, source.sampleRateHz, source.channels);
    for (const lane of [MIXTURE, ...model.info.sources]) {
      lanes.push(new Lane(lane, await store.create(`${id}-${lane}.f32`)));
    }
    const [mixture, ...stems] = lanes;
    for await (const block of source.blocks()) {
      mixture.write(toChannels(block, stream.channels));
      const separated = await stream.push(block);
      separated.forEach((planes, place) => stems[place].write(planes));
      onProgress(progressOf(mixture.frames, source.frames, begun));
      await breath();
      if (signal.aborted) throw new Cancelled();
    }
    const rest = await stream.finish();
    rest.forEach((planes, place) => stems[place].write(planes));
    if (mixture.frames === 0) throw new InputError("must hold audio, but has no frames");
    const { sampleRateHz } = source;
    return {
      id,
      name,
      sampleRateHz,
      channels: stream.channels,
      frames: mixture.frames,
      lanes: await Promise.all(lanes.map((lane) => lane.finish())),
      seconds: (performance.now() - begun) / 1000,
      remarks: [...source.remarks, ...loudRemarks(stems)],
    };
  } catch (error) {
    for (const lane of lanes) await lane.file.remove();
    throw error;
  } finally {
    step.close();
  }
}

class Lane {
  #peaks = new Peaks();

  /**
   * @param {string} name
   * @param {import("./store.js").Growing} file
   */
  constructor(name, file) {
    this.name = name;
    this.file = file;
    this.frames = 0;
  }

  get peak() {
    return this.#peaks.peak;
  }

  /** @param {Planes} planes */
  write(planes) {
    this.frames += framesOf(planes);
    this.#peaks.put(planes);
    const samples = interleaved(planes);
    this.file.write(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength));
  }

  async finish() {
    const { bounds, framesPerPeak, peak } = this.#peaks;
    const samples = await this.file.finish();
    return { name: this.name, samples, peaks: bounds, framesPerPeak, peak };
  }
}

/**
 * @param {number} frames
 * @param {number | null} total
 * @param {number} begun
 * @returns {Progress}
 */
function progressOf(frames, total, begun) {
  const done = total ? Math.min(frames / total, 1) : 0;
  const seconds = (performance.now() - begun) / 1000;
  const known = done > 0 && seconds > ESTIMATE_SECONDS;
  return {
    stage: "separating",
    done,
    secondsLeft: known ? (seconds * (1 - done)) / done : null,
  };
}

/**
 * Files of integers hold no samples beyond full scale: all stems get one gain there.
 *
 * @param {Lane[]} stems
 */
function loudRemarks(stems) {
  const loudest = Math.max(...stems.map((stem) => stem.peak));
  if (loudest <= 1) return [];
  const quieter = (20 * Math.log10(loudest)).toFixed(1);
  return [`stems exceed full scale: all but float files of them are ${quieter} dB quieter`];
}

/**
 * Lets messages in, such as a wish to cancel. A timer would be throttled in the background.
 *
 * @returns {Promise<void>}
 */
function breath() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port2.onmessage = () => {
      port2.close();
      resolve();
    };
    port1.postMessage(null);
  });
}
