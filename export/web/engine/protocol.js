/**
 * What the page and the worker say to each other, and the page's half of it.
 *
 * The page makes one `Separator`. Each of its methods sends a message and gives a promise, which
 * fails with a `SeparationError` whose message is one line for the user, or with an `AbortError`
 * where the caller's `AbortSignal` wished it. Songs are separated one after the other, in the
 * order in which they came.
 */

/**
 * @typedef {object} ModelInfo What a .tflite file tells about itself.
 * @property {string} name The file's name, or its name in the menu.
 * @property {number} sampleRateHz The network's rate; songs of any rate are resampled.
 * @property {number} channels 1 or 2, of the network.
 * @property {string[]} sources The names of the stems.
 * @property {string} quantization Such as float32 or dynamic.
 * @property {boolean} difference Whether the last source is what the others leave of the song.
 * @property {number} latencySeconds From a frame of the song to its stems, in live mode.
 */

/**
 * @typedef {object} EngineInfo How the model runs.
 * @property {"wasm" | "webgpu"} accelerator Where the network is computed.
 * @property {number} threads Threads of the CPU.
 * @property {boolean} isolated Whether the page is cross-origin isolated, which threads need.
 * @property {boolean} relaxedSimd Whether the fast build runs; else `compat`, the slower one.
 */

/**
 * @typedef {object} LoadOptions
 * @property {"wasm" | "webgpu"} [accelerator] By default "wasm".
 * @property {number} [threads] By default all cores but one, up to 4, where isolated; else 1.
 * @property {boolean} [compat] Run the build without relaxed SIMD and threads.
 */

/**
 * @typedef {object} MenuModel A line of the site's models.json: `{models: MenuModel[]}`.
 * @property {string} name
 * @property {string} file Its address, relative to the page.
 * @property {number} bytes
 * @property {string} sha256
 * @property {string} description
 * @property {string} quantization
 * @property {number} sampleRateHz
 * @property {number} channels
 * @property {string[]} sources
 */

/**
 * @typedef {object} Lane The mixture, or a stem; frames of all lanes of a song agree.
 * @property {string} name A source's name, or "mixture".
 * @property {File | Blob} samples float32 of the machine's byte order, interleaved, full scale 1,
 *     without a header. It lies on the disk: read slices of it (`readLane`), never all.
 * @property {Float32Array} peaks For each `framesPerPeak` frames the lowest and the highest sample
 *     of all channels, two numbers each.
 * @property {number} framesPerPeak
 * @property {number} peak The largest absolute sample.
 */

/**
 * @typedef {object} SeparatedSong
 * @property {string} id
 * @property {string} name The file's name without its suffix.
 * @property {number} sampleRateHz The song's own rate.
 * @property {number} channels Channels of all lanes.
 * @property {number} frames
 * @property {Lane[]} lanes "mixture" first, then the sources in the model's order.
 * @property {number} seconds How long the separation took.
 * @property {string[]} remarks Lines for the user, such as on samples beyond full scale.
 */

/**
 * @typedef {object} Progress
 * @property {"waiting" | "decoding" | "separating" | "encoding"} stage
 * @property {number} done From 0 to 1, of this stage.
 * @property {number | null} secondsLeft None where it is not known yet.
 */

/** @typedef {"wav16" | "wav24" | "wav32f" | "flac"} Encoding flac has 24 bits. */

/**
 * @typedef {object} LiveStems
 * @property {Float32Array[]} stems For each source of the model the next frames that are ready,
 *     interleaved; as many frames of each, which may be none.
 */

/**
 * Page → worker; each is answered by "result" or "error" with the same id.
 *
 * @typedef {{id: number} & (
 *   {type: "load", model: Blob | string, name: string, options: LoadOptions} |
 *   {type: "separate", file: Blob, name: string} |
 *   {type: "encode", song: string, lanes: string[], encoding: Encoding, zip: boolean} |
 *   {type: "forget", song: string} |
 *   {type: "liveStart", sampleRateHz: number, channels: number} |
 *   {type: "livePush", samples: Float32Array} |
 *   {type: "liveFinish"}
 * )} Request
 */

/**
 * Worker → page. `decodeHere` asks for what only a page has, an OfflineAudioContext.
 *
 * @typedef {{type: "progress", id: number, progress: Progress} |
 *   {type: "result", id: number, result: any} |
 *   {type: "error", id: number, message: string, aborted: boolean, ours: boolean} |
 *   {type: "decodeHere", call: number, content: ArrayBuffer, sampleRateHz: number,
 *    channels: number}} Answer
 */

/** An error whose message is one line for the user. */
export class SeparationError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "SeparationError";
  }
}

/**
 * @typedef {object} CallOptions
 * @property {AbortSignal} [signal] Its abort cancels the call; nothing of it stays.
 * @property {(progress: Progress) => void} [onProgress]
 */

/** The page's half: a worker, whose answers become promises. */
export class Separator {
  /** @param {string | URL} [address] The worker's script. */
  constructor(address = "worker.js") {
    this.worker = new Worker(address);
    /** @type {Map<number, {resolve: Function, reject: Function, onProgress?: Function}>} */
    this.calls = new Map();
    this.lastId = 0;
    /** Why the worker never runs. @type {SeparationError | null} */
    this.failure = null;
    this.worker.onmessage = (event) => this.#take(event.data);
    this.worker.onerror = (event) => {
      const reason = event.message || "the worker's script could not be loaded";
      const failure = new SeparationError(`separation has stopped: ${reason}`);
      if (!event.message) this.failure = failure;
      for (const call of this.calls.values()) call.reject(failure);
      this.calls.clear();
    };
  }

  /**
   * Loads a model; songs that wait are separated with the model they came for.
   *
   * @param {Blob | string} model A .tflite file, or its address.
   * @param {string} name How it is called in errors.
   * @param {LoadOptions & CallOptions} [options]
   * @returns {Promise<{model: ModelInfo, engine: EngineInfo}>}
   */
  load(model, name, options = {}) {
    const { signal, onProgress, ...loadOptions } = options;
    const request = { type: "load", model: absolute(model), name, options: loadOptions };
    return this.#call(request, { signal, onProgress });
  }

  /**
   * Separates a song.
   *
   * @param {File | Blob} file
   * @param {CallOptions & {name?: string}} [options]
   * @returns {Promise<SeparatedSong>}
   */
  separate(file, options = {}) {
    const name = options.name ?? ("name" in file ? file.name : "song");
    return this.#call({ type: "separate", file, name }, options);
  }

  /**
   * Makes a file of a lane, or of the sum of several.
   *
   * @param {string} song A SeparatedSong's id.
   * @param {string | string[]} lane
   * @param {Encoding} encoding
   * @param {CallOptions} [options]
   * @returns {Promise<Blob>}
   */
  encode(song, lane, encoding, options) {
    const lanes = [lane].flat();
    return this.#call({ type: "encode", song, lanes, encoding, zip: false }, options);
  }

  /**
   * Makes a zip of lanes, by default of all stems.
   *
   * @param {string} song A SeparatedSong's id.
   * @param {string[]} lanes
   * @param {Encoding} encoding
   * @param {CallOptions} [options]
   * @returns {Promise<Blob>}
   */
  zip(song, lanes, encoding, options) {
    return this.#call({ type: "encode", song, lanes, encoding, zip: true }, options);
  }

  /**
   * Removes a song's lanes from the disk.
   *
   * @param {string} song
   * @returns {Promise<void>}
   */
  forget(song) {
    return this.#call({ type: "forget", song });
  }

  /**
   * Begins live mode with the loaded model; one at a time, and no songs meanwhile.
   *
   * @param {number} sampleRateHz Of the blocks that will come.
   * @param {1 | 2} channels
   * @returns {Promise<{sources: string[], channels: number, latencySeconds: number}>} The stems'
   *     channels, and the most time from a frame to its stems, without the time to compute.
   */
  liveStart(sampleRateHz, channels) {
    return this.#call({ type: "liveStart", sampleRateHz, channels });
  }

  /**
   * Takes the next frames.
   *
   * @param {Float32Array} samples Interleaved, any number of frames; is given away.
   * @returns {Promise<LiveStems>}
   */
  livePush(samples) {
    return this.#call({ type: "livePush", samples }, {}, [samples.buffer]);
  }

  /** @returns {Promise<LiveStems>} The rest, after which live mode has ended. */
  liveFinish() {
    return this.#call({ type: "liveFinish" });
  }

  /** Ends the worker; open calls fail. */
  close() {
    this.worker.terminate();
    for (const call of this.calls.values()) {
      call.reject(new DOMException("closed", "AbortError"));
    }
    this.calls.clear();
  }

  /**
   * @param {object} request
   * @param {CallOptions} [options]
   * @param {Transferable[]} [transfer]
   * @returns {Promise<any>}
   */
  #call(request, options = {}, transfer = []) {
    const id = ++this.lastId;
    const { signal, onProgress } = options;
    if (signal?.aborted) return Promise.reject(new DOMException("cancelled", "AbortError"));
    if (this.failure) return Promise.reject(this.failure);
    const cancel = () => this.worker.postMessage({ type: "cancel", id });
    signal?.addEventListener("abort", cancel, { once: true });
    return new Promise((resolve, reject) => {
      this.calls.set(id, { resolve, reject, onProgress });
      this.worker.postMessage({ id, ...request }, transfer);
    }).finally(() => signal?.removeEventListener("abort", cancel));
  }

  /** @param {Answer} answer */
  #take(answer) {
    if (answer.type === "decodeHere") {
      this.#decode(answer);
      return;
    }
    const call = this.calls.get(answer.id);
    if (!call) return;
    if (answer.type === "progress") {
      call.onProgress?.(answer.progress);
      return;
    }
    this.calls.delete(answer.id);
    if (answer.type === "result") {
      call.resolve(answer.result);
    } else if (answer.aborted) {
      call.reject(new DOMException("cancelled", "AbortError"));
    } else {
      call.reject(new SeparationError(answer.message));
    }
  }

  /**
   * Decodes for the worker, which has no OfflineAudioContext.
   *
   * @param {Answer & {type: "decodeHere"}} request
   */
  async #decode({ call, content, sampleRateHz, channels }) {
    try {
      const context = new OfflineAudioContext(channels, 1, sampleRateHz);
      const buffer = await context.decodeAudioData(content);
      const planes = [];
      for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
        planes.push(buffer.getChannelData(channel).slice());
      }
      const transfer = planes.map((plane) => plane.buffer);
      this.worker.postMessage({ type: "decoded", call, planes }, transfer);
    } catch (error) {
      this.worker.postMessage({ type: "decoded", call, planes: null, reason: String(error) });
    }
  }
}

/**
 * Reads frames of a lane: for the player, which holds a few seconds and never a song.
 *
 * @param {SeparatedSong} song
 * @param {Lane} lane
 * @param {number} start First frame.
 * @param {number} frames As many, or fewer at the song's end.
 * @returns {Promise<Float32Array[]>} One array for each channel.
 */
export async function readLane(song, lane, start, frames) {
  const bytes = 4 * song.channels;
  const end = Math.min(start + frames, song.frames);
  const slice = lane.samples.slice(start * bytes, end * bytes);
  const samples = new Float32Array(await slice.arrayBuffer());
  return planesOf(samples, song.channels);
}

/**
 * @param {Float32Array} samples Interleaved.
 * @param {number} channels
 */
export function planesOf(samples, channels) {
  const frames = samples.length / channels;
  return Array.from({ length: channels }, (_, channel) => {
    const plane = new Float32Array(frames);
    for (let frame = 0, at = channel; frame < frames; frame++, at += channels) {
      plane[frame] = samples[at];
    }
    return plane;
  });
}

/**
 * Says what a browser lacks that this needs; an empty list where nothing is missing.
 *
 * @returns {string[]} Each for a sentence: "this browser has no …".
 */
export function missingFeatures() {
  const missing = [];
  if (typeof WebAssembly === "undefined") missing.push("WebAssembly");
  if (typeof Worker === "undefined") missing.push("workers");
  if (typeof OfflineAudioContext === "undefined") missing.push("audio decoding (Web Audio)");
  if (typeof isSecureContext !== "undefined" && !isSecureContext) {
    missing.push("secure connection to this page (https, or localhost)");
  }
  return missing;
}

/** @param {Blob | string} model */
function absolute(model) {
  return typeof model === "string" ? new URL(model, document.baseURI).href : model;
}
