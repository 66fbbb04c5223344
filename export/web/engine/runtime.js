import {
  loadAndCompile,
  loadLiteRt,
  supportsFeature,
  Tensor,
  unloadLiteRt,
} from "@litertjs/core";

import { InputError, reasonOf } from "./errors.js";
import { INITIAL_STATE, readModel, STEP } from "./model_file.js";
import { MIXTURE } from "./model_info.js";

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
  const relaxedSimd = !options.compat && (await supportsFeature("relaxedSimd"));
  const gpu = options.accelerator === "webgpu";
  const cores = Math.max(Math.min((navigator.hardwareConcurrency ?? 1) - 1, MOST_THREADS), 1);
  const threads = isolated && relaxedSimd && !gpu ? (options.threads ?? cores) : 1;
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
    const { build, engine } = await chooseBuild(options);
    await loadRuntime(build);
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

/** The network's step on LiteRT.js. States stay its tensors, and are deleted after each step. */
class LiteRtStep {
  /** @type {Record<string, Tensor> | null} */
  #states = null;

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
    const states = (this.#states ??= await this.#silence());
    const input = new Tensor(mixture, this.shape);
    /** @type {Record<string, Tensor>} */
    let outputs;
    try {
      outputs = await this.signatures[STEP].run({ ...states, [MIXTURE]: input });
    } finally {
      input.delete();
    }
    for (const state of Object.values(states)) state.delete();
    this.#states = {};
    for (const name of this.info.states.keys()) this.#states[name] = outputs[name];
    const stems = [];
    for (const name of this.info.sources) {
      stems.push(/** @type {Float32Array} */ (await outputs[name].data()));
      outputs[name].delete();
    }
    return stems;
  }

  close() {
    for (const state of Object.values(this.#states ?? {})) state.delete();
    this.#states = null;
  }

  /** The states in which a song begins. */
  async #silence() {
    if (this.info.states.size === 0) return {};
    return this.signatures[INITIAL_STATE].run({});
  }
}

async function adapterThere() {
  return Boolean(await navigator.gpu?.requestAdapter());
}
