import { openSong, StreamError } from "./decode.js";
import { encodeLanes } from "./encode.js";
import { Cancelled, InputError, reasonOf } from "./errors.js";
import { inTime } from "./patience.js";
import { deinterleaved, interleaved } from "./planes.js";
import { LoadedModel } from "./runtime.js";
import { separateSong } from "./song_job.js";
import { SongStream } from "./song_stream.js";
import { Store } from "./store.js";

/** @typedef {import("./protocol.js").Request} Request */
/** @typedef {import("./protocol.js").SeparatedSong} SeparatedSong */
/** @typedef {import("./planes.js").Planes} Planes */

/** @typedef {{signal: AbortSignal, report: (progress: object) => void}} Call */

// How long a whole file may be decoded: some browsers never end with one that is broken.
const DECODING_SECONDS = 30;
const LEAST_BYTES_A_SECOND = 100_000;

/** The worker's half of protocol.js: calls come in, and are done one after the other. */
class Worker {
  /** @type {LoadedModel | null} */
  #model = null;
  /** @type {Map<string, SeparatedSong>} */
  #songs = new Map();
  /** @type {Map<number, AbortController>} */
  #calls = new Map();
  /** @type {Map<number, (answer: any) => void>} */
  #decoding = new Map();
  /** @type {SongStream | null} */
  #live = null;
  /** @type {import("./network_stream.js").Step | null} */
  #liveStep = null;
  #store = Store.open();
  /** @type {Promise<void>} */
  #last = Promise.resolve();
  #count = 0;
  /** The call that is answered now. @type {number | null} */
  #now = null;

  /** @param {any} message */
  take(message) {
    if (message.type === "cancel") {
      this.#cancel(message.id);
    } else if (message.type === "decoded") {
      this.#decoding.get(message.call)?.(message);
    } else {
      this.#calls.set(message.id, new AbortController());
      if (message.type === "separate") {
        const progress = { stage: "waiting", done: 0, secondsLeft: null };
        postMessage({ type: "progress", id: message.id, progress });
      }
      this.#last = this.#last.then(() => this.#answer(message));
    }
  }

  /** @param {number} id */
  #cancel(id) {
    this.#calls.get(id)?.abort();
    // One that waits has nothing to end, and need not wait for those before it.
    if (id !== this.#now && this.#calls.delete(id)) this.#fail(id, new Cancelled());
  }

  /** @param {Request} request */
  async #answer(request) {
    const { id } = request;
    const signal = this.#calls.get(id)?.signal;
    if (!signal) return;
    this.#now = id;
    const report = (/** @type {object} */ progress) =>
      postMessage({ type: "progress", id, progress });
    try {
      const { result, transfer = [] } = await this.#do(request, { signal, report });
      self.postMessage({ type: "result", id, result }, { transfer });
    } catch (error) {
      this.#fail(id, error);
    } finally {
      this.#calls.delete(id);
      this.#now = null;
    }
  }

  /**
   * @param {number} id
   * @param {unknown} error
   */
  #fail(id, error) {
    const aborted = error instanceof Cancelled;
    const ours = error instanceof InputError;
    if (!aborted && !ours) console.error(error);
    postMessage({ type: "error", id, message: reasonOf(error), aborted, ours });
  }

  /**
   * @param {Request} request
   * @param {Call} call
   * @returns {Promise<{result?: any, transfer?: Transferable[]}>}
   */
  async #do(request, call) {
    switch (request.type) {
      case "load":
        return { result: await this.#load(request) };
      case "separate":
        return { result: await this.#separate(request, call) };
      case "encode":
        return { result: await this.#encode(request, call) };
      case "forget":
        await this.#forget(request.song);
        return {};
      case "liveStart":
        return { result: this.#liveStart(request) };
      case "livePush":
        return this.#livePush(request.samples);
      case "liveFinish":
        return this.#liveFinish();
      default:
        throw new Error(`unknown request ${JSON.stringify(request)}`);
    }
  }

  /** @param {Request & {type: "load"}} request */
  async #load({ model, name, options }) {
    const content = new Uint8Array(await (await contentOf(model, name)).arrayBuffer());
    this.#endLive();
    const before = this.#model;
    let loaded;
    try {
      loaded = await LoadedModel.load(content, name, options);
    } finally {
      // Another build of the runtime takes the models of the one before with it.
      if (before?.compiled.deleted) this.#model = null;
    }
    before?.close();
    this.#model = loaded;
    const { info, engine } = loaded;
    const { sampleRateHz, channels, sources, quantization, difference } = info;
    const frames = info.isWindow ? info.inputFrames : info.latencyFrames + info.chunkFrames;
    const latencySeconds = frames / sampleRateHz;
    return {
      model: { name, sampleRateHz, channels, sources, quantization, difference, latencySeconds },
      engine,
    };
  }

  /** @returns {LoadedModel} */
  #loaded() {
    if (!this.#model) throw new InputError("a model must be loaded first");
    return this.#model;
  }

  /**
   * @param {Request & {type: "separate"}} request
   * @param {Call} call
   */
  async #separate({ id, file, name }, { signal, report }) {
    const model = this.#loaded();
    const store = await this.#store;
    /** @type {import("./decode.js").DecodeWhole} */
    const decodeWhole = (content, sampleRateHz, channels) =>
      this.#decodeWhole(content, sampleRateHz, channels, signal);
    const attempt = async (/** @type {import("./decode.js").Ways} */ ways) => {
      report({ stage: "decoding", done: 0, secondsLeft: null });
      const source = await openSong(file, decodeWhole, ways);
      if (signal.aborted) throw new Cancelled();
      const options = { id: `song-${id}`, name: name.replace(/(?!^)\.[^.]*$/, "") };
      return separateSong(source, model, store, { ...options, signal, onProgress: report });
    };
    try {
      const song = await attempt({ mayStream: true }).catch((broken) => {
        if (!(broken instanceof StreamError)) throw broken;
        return attempt({ mayStream: false }).catch((error) => {
          // A part of the song is better than none.
          if (!(error instanceof InputError) || broken.frames === 0) throw error;
          return attempt({ mayStream: true, mayBreak: true });
        });
      });
      this.#songs.set(song.id, song);
      return song;
    } catch (error) {
      if (error instanceof InputError) throw new InputError(`${name}: ${error.message}`);
      if (await isReadable(file)) throw error;
      throw new InputError(`${name}: cannot be read; was it a folder, or changed or removed?`);
    }
  }

  /**
   * @param {ArrayBuffer} content
   * @param {number} sampleRateHz
   * @param {number} channels
   * @param {AbortSignal} signal
   * @returns {Promise<Planes>}
   */
  async #decodeWhole(content, sampleRateHz, channels, signal) {
    const call = ++this.#count;
    const seconds = DECODING_SECONDS + Math.round(content.byteLength / LEAST_BYTES_A_SECOND);
    const decoded = new Promise((resolve) => {
      this.#decoding.set(call, resolve);
      const message = { type: "decodeHere", call, content, sampleRateHz, channels };
      self.postMessage(message, { transfer: [content] });
    });
    try {
      const answer = await inTime(decoded, seconds, signal);
      if (!answer.planes) throw new InputError(answer.reason);
      return answer.planes;
    } finally {
      this.#decoding.delete(call);
    }
  }

  /**
   * @param {Request & {type: "encode"}} request
   * @param {Call} call
   */
  async #encode({ song: id, lanes, encoding, zip }, { signal, report }) {
    const song = this.#songs.get(id);
    if (!song) throw new InputError(`no song ${id} is there`);
    const store = await this.#store;
    return encodeLanes(song, lanes, encoding, { zip, store, signal, onProgress: report });
  }

  /** @param {string} id */
  async #forget(id) {
    const store = await this.#store;
    this.#songs.delete(id);
    await store.removeAll(`${id}-`); // lanes, and what was encoded of them
  }

  /** @param {Request & {type: "liveStart"}} request */
  #liveStart({ sampleRateHz, channels }) {
    const model = this.#loaded();
    this.#endLive();
    this.#liveStep = model.start();
    this.#live = new SongStream(model.info, this.#liveStep, sampleRateHz, channels);
    const { latencySeconds } = this.#live;
    return { sources: model.info.sources, channels: this.#live.channels, latencySeconds };
  }

  /** @param {Float32Array} samples */
  async #livePush(samples) {
    if (!this.#live) throw new InputError("live mode must be started first");
    return stemsOf(await this.#live.push(deinterleaved(samples, this.#live.songChannels)));
  }

  async #liveFinish() {
    if (!this.#live) throw new InputError("live mode must be started first");
    const rest = await this.#live.finish();
    this.#endLive();
    return stemsOf(rest);
  }

  #endLive() {
    this.#liveStep?.close();
    this.#live = this.#liveStep = null;
  }
}

/** @param {Blob} file */
async function isReadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}

/** @param {Planes[]} separated */
function stemsOf(separated) {
  const stems = separated.map(interleaved);
  return { result: { stems }, transfer: stems.map((stem) => stem.buffer) };
}

/**
 * @param {Blob | string} model
 * @param {string} name
 */
async function contentOf(model, name) {
  if (typeof model !== "string") return model;
  let response;
  try {
    response = await fetch(model);
  } catch {
    throw new InputError(
      `${name}: cannot be fetched. Is the network there? Where the site has a new version, ` +
        "close all its pages and open it again.",
    );
  }
  if (!response.ok) throw new InputError(`${name}: cannot be fetched: status ${response.status}`);
  return response;
}

const worker = new Worker();
self.onmessage = (event) => worker.take(event.data);
