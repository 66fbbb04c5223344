import { InputError } from "./errors.js";

/** The name of the mixture among the arrays of a file. */
export const MIXTURE = "mixture";

/**
 * What an exported file tells about itself, in its metadata.
 *
 * A stream's file takes `chunkFrames` of the mixture and its states, and gives every source,
 * `latencyFrames` late, and the states for the next call. A window's file takes `inputFrames` of
 * the mixture, of which `contextFrames` are before what it gives, and moves on by `chunkFrames`.
 */
export class ModelInfo {
  /** @param {Record<string, any>} told The metadata. */
  constructor(told) {
    const isWindow = mode(told) === "window";
    const most = 2 ** 26;
    this.isWindow = isWindow;
    this.sampleRateHz = number(told, "sample_rate_hz", 1, 10 ** 6);
    this.channels = number(told, "channels", 1, 2);
    this.sources = names(told);
    this.chunkFrames = number(told, "chunk_frames", 1, most);
    /** Frames of the mixture that a call takes. */
    this.inputFrames = isWindow
      ? number(told, "input_frames", this.chunkFrames, most)
      : this.chunkFrames;
    /** Frames of each source that a call gives; of a window some more than it keeps. */
    this.outputFrames = isWindow
      ? number(told, "output_frames", this.chunkFrames, this.inputFrames)
      : this.chunkFrames;
    /** Of a stream: how far its sources lag behind the mixture; of a window 0. */
    this.latencyFrames = isWindow ? 0 : number(told, "latency_frames", 0, most);
    /** Of a window: frames of silence before the song; of a stream 0. */
    this.contextFrames = isWindow
      ? number(told, "context_frames", 0, this.inputFrames - this.outputFrames)
      : 0;
    /** Whether the last source is what the others leave of the song. */
    this.difference = network(told).output_type === "difference";
    if (this.difference && this.sources.length < 2) {
      throw wrong("sources", "at least two, of a difference output", this.sources);
    }
    this.states = shapes(told);
    /** Of the states that are parts of longer delay lines: the lines' frames. */
    this.lines = lines(told, this.states);
    /**
     * Of the step that a model carries: a frame of silence of each state, which `readModel` finds.
     *
     * @type {Map<string, Float32Array> | null}
     */
    this.silence = null;
    this.quantization = String(told.quantization ?? "unknown");
  }

  /** The network's sources that are resampled: all but the last of a difference output. */
  get estimated() {
    return this.difference ? this.sources.slice(0, -1) : this.sources;
  }
}

/**
 * The network's config. What the metadata tells twice must be told alike, as Python and the
 * Android app demand, too.
 *
 * @param {Record<string, any>} told
 * @returns {Record<string, any>}
 */
function network(told) {
  const own = told.network;
  if (typeof own !== "object" || own === null || Array.isArray(own)) {
    throw wrong("network", "an object", own);
  }
  for (const name of ["sample_rate_hz", "channels", "sources"]) {
    if (JSON.stringify(told[name]) !== JSON.stringify(own[name])) {
      throw wrong(name, "that of its network", told[name]);
    }
  }
  return own;
}

/** @param {Record<string, any>} told */
function mode(told) {
  if (told.mode !== "streaming" && told.mode !== "window") {
    throw wrong("mode", "streaming or window", told.mode);
  }
  return told.mode;
}

/**
 * @param {Record<string, any>} told
 * @param {string} name
 * @param {number} lowest
 * @param {number} highest
 */
function number(told, name, lowest, highest) {
  return whole(name, told[name], lowest, highest);
}

/**
 * @param {string} name
 * @param {unknown} value
 * @param {number} lowest
 * @param {number} highest
 * @returns {number}
 */
function whole(name, value, lowest, highest) {
  if (typeof value !== "number" || !Number.isInteger(value) || value < lowest || value > highest) {
    throw wrong(name, `a whole number from ${lowest} to ${highest}`, value);
  }
  return value;
}

/**
 * @param {Record<string, any>} told
 * @returns {string[]}
 */
function names(told) {
  const found = list(told, "sources");
  for (const [at, name] of found.entries()) {
    // They become names of files.
    if (typeof name !== "string" || !/^[A-Za-z0-9_-]+$/.test(name)) {
      throw wrong("sources", "names of letters, digits, _ and -", name);
    }
    if (found.indexOf(name) !== at || name === MIXTURE) {
      throw wrong("sources", "names that differ", name);
    }
  }
  if (found.length === 0) throw wrong("sources", "at least one name", "none");
  return found;
}

/**
 * @param {Record<string, any>} told
 * @returns {Map<string, number[]>}
 */
function shapes(told) {
  const found = new Map();
  for (const state of list(told, "states")) {
    const { name, shape } = state ?? {};
    if (typeof name !== "string" || !Array.isArray(shape)) {
      throw wrong("states", "names and shapes", state);
    }
    let elements = 1;
    for (const size of shape) elements *= whole("states", size, 1, 2 ** 28);
    if (elements > 2 ** 28) throw wrong("states", "arrays of at most 1 GiB", name);
    found.set(name, shape);
  }
  return found;
}

/**
 * @param {Record<string, any>} told
 * @param {Map<string, number[]>} states
 * @returns {Map<string, number>}
 */
function lines(told, states) {
  const found = new Map();
  for (const { name, line_frames: frames } of list(told, "states")) {
    const taken = states.get(name)?.at(-2) ?? 0;
    if (frames !== undefined && whole("states", frames, taken, 2 ** 26) > taken) {
      found.set(name, frames);
    }
  }
  return found;
}

/**
 * @param {Record<string, any>} told
 * @param {string} name
 * @returns {any[]}
 */
function list(told, name) {
  if (!Array.isArray(told[name])) throw wrong(name, "a list", told[name]);
  return told[name];
}

/**
 * @param {string} name
 * @param {string} rule
 * @param {unknown} came
 */
function wrong(name, rule, came) {
  const shown = came === undefined ? "nothing" : JSON.stringify(came);
  return new InputError(`its \`${name}\` must be ${rule}. Received: ${shown}`);
}
