import {
  loadAndCompile,
  loadLiteRt,
  supportsFeature,
  Tensor,
  unloadLiteRt,
} from "@litertjs/core";

import { InputError, reasonOf } from "./errors.js";
import { elements, INITIAL_STATE, readModel, STEP } from "./model_file.js";
import { MIXTURE } from "./model_info.js";
import { PlaneQueue } from "./planes.js";

/** @typedef {import("./protocol.js").LoadOptions} LoadOptions */
/** @typedef {import("./protocol.js").EngineInfo} EngineInfo */

const FOLDER = new URL("wasm/", self.location.href).href;
const MOST_THREADS = 4;

/**
 * Which of LiteRT.js' builds runs: each is one script and one wasm file of 9 MB.
 *
 * @param {LoadOptions} options
 * @returns {Promise<{build: string, engine: EngineInfo}>}
 */
export async function chooseBuild(options) {
  const isolated = self.crossOriginIsolated;
  const mayThread = isolated && typeof SharedArrayBuffer !== "undefined";
  const relaxedSimd = !options.compat && (await supportsFeature("relaxedSimd"));
  const gpu = options.accelerator === "webgpu";
  const cores = Math.max(Math.min((navigator.hardwareConcurrency ?? 1) - 1, MOST_THREADS), 1);
  const threads = mayThread && relaxedSimd && !gpu ? (options.threads ?? cores) : 1;
  let build = relaxedSimd ? "" : "_compat";
  if (threads > 1) build = "_threaded";
  else if (gpu && (await supportsFeature("jspi"))) build = "_jspi";
  const accelerator = gpu ? "webgpu" : "wasm";
  return { build, engine: { accelerator, threads, isolated, relaxedSimd } };
}

/** @type {string | null} */
let loadedBuild = null;

/**
 * Loads a build of LiteRT.js; models of another one are gone then.
 *
 * @param {string} build
 */
async function loadRuntime(build) {
  if (loadedBuild === build) return;
  if (loadedBuild !== null) unloadLiteRt();
  loadedBuild = null;
  const script = `${FOLDER}litert_wasm${build}_internal.js`;
  // Emscripten would start this worker's own script for each thread.
  Object.assign(self, {
    Module: {
      locateFile: (/** @type {string} */ name) => FOLDER + name,
      mainScriptUrlOrBlob: script,
      printErr: console.debug, // its log, most of which are no errors
    },
  });
  try {
    await loadLiteRt(script);
  } catch (error) {
    throw new InputError(`this browser cannot run the network: ${reasonOf(error)}`);
  }
  loadedBuild = build;
}

/**
 * Loads the build that is fit, or the slower one where the browser does not compile it: some have a
 * part only of relaxed SIMD.
 *
 * @param {LoadOptions} options
 * @returns {Promise<EngineInfo>}
 */
async function startRuntime(options) {
  const { build, engine } = await chooseBuild(options);
  try {
    await loadRuntime(build);
    return engine;
  } catch (error) {
    if (build !== "" && build !== "_threaded") throw error;
    console.debug(error);
  }
  const slower = await chooseBuild({ ...options, compat: true });
  await loadRuntime(slower.build);
  return slower.engine;
}

/** A model that is ready to run; its songs have states of their own. */
export class LoadedModel {
  /**
   * @param {import("./model_info.js").ModelInfo} info
   * @param {import("@litertjs/core").CompiledModel} compiled
   * @param {EngineInfo} engine
   */
  constructor(info, compiled, engine) {
    this.info = info;
    this.compiled = compiled;
    this.engine = engine;
  }

  /**
   * Loads a model.
   *
   * @param {Uint8Array} content
   * @param {string} name For errors.
   * @param {LoadOptions} options
   */
  static async load(content, name, options) {
    const info = readModel(content, name);
    const engine = await startRuntime(options);
    if (engine.accelerator === "webgpu" && !(await adapterThere())) {
      throw new InputError("this browser has no WebGPU adapter");
    }
    const { accelerator, threads } = engine;
    try {
      const compileOptions = { accelerator, cpuOptions: { numThreads: threads } };
      const compiled = await loadAndCompile(content, compileOptions);
      return new LoadedModel(info, compiled, engine);
    } catch (error) {
      throw new InputError(`${name}: cannot be run by LiteRT.js: ${reasonOf(error)}`);
    }
  }

  /** Begins a song. */
  start() {
    return new LiteRtStep(this);
  }

  close() {
    this.compiled.delete();
  }
}

/**
 * The network's step on LiteRT.js. States stay its tensors, and are deleted after each step; lines
 * that are longer than a step takes wait here.
 */
class LiteRtStep {
  /** @type {Record<string, Tensor> | null} */
  #states = null;
  /** @type {Map<string, PlaneQueue>} */
  #lines = new Map();

  /** @param {LoadedModel} model */
  constructor(model) {
    this.info = model.info;
    this.signatures = model.compiled.signatures;
    const inputs = this.signatures[STEP].getInputDetails();
    this.shape = inputs.find((input) => input.name === MIXTURE)?.shape;
  }

  /**
   * @param {Float32Array} mixture
   * @returns {Promise<Float32Array[]>}
   */
  async run(mixture) {
    this.#states ??= await this.#silence();
    /** @type {Record<string, Tensor>} */
    const inputs = { ...this.#states, [MIXTURE]: new Tensor(mixture, this.shape) };
    this.#states = {};
    for (const [name, line] of this.#lines) {
      const shape = /** @type {number[]} */ (this.info.states.get(name));
      inputs[name] = new Tensor(line.take(elements(shape))[0], shape);
    }
    /** @type {Record<string, Tensor>} */
    let outputs;
    try {
      outputs = await this.signatures[STEP].run(inputs);
    } finally {
      for (const input of Object.values(inputs)) input.delete();
    }
    for (const name of this.info.states.keys()) {
      const line = this.#lines.get(name);
      if (line) line.put([await taken(outputs[name])]);
      else this.#states[name] = outputs[name];
    }
    const stems = [];
    for (const name of this.info.sources) stems.push(await taken(outputs[name]));
    return stems;
  }

  close() {
    for (const state of Object.values(this.#states ?? {})) state.delete();
    this.#states = null;
  }

  /**
   * The states in which a song begins; lines are filled.
   *
   * @returns {Promise<Record<string, Tensor>>}
   */
  async #silence() {
    const { states, lines, silence } = this.info;
    if (states.size === 0) return {};
    if (!silence) return this.signatures[INITIAL_STATE].run({});
    /** @type {Record<string, Tensor>} */
    const begin = {};
    for (const [name, shape] of states) {
      const frame = /** @type {Float32Array} */ (silence.get(name));
      const line = lines.get(name);
      const values = new Float32Array(line ? line * frame.length : elements(shape));
      for (let at = 0; at < values.length; at += frame.length) values.set(frame, at);
      if (line) {
        const queue = new PlaneQueue(1);
        queue.put([values]);
        this.#lines.set(name, queue);
      } else {
        begin[name] = new Tensor(values, shape);
      }
    }
    return begin;
  }
}

/**
 * The values of a tensor, which is deleted.
 *
 * @param {Tensor} tensor
 */
async function taken(tensor) {
  const values = /** @type {Float32Array} */ (await tensor.data());
  tensor.delete();
  return values;
}

async function adapterThere() {
  return Boolean(await navigator.gpu?.requestAdapter());
}
