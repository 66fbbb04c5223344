import { InputError } from "./errors.js";
import { FlatTable } from "./flat_table.js";
import { MIXTURE, ModelInfo } from "./model_info.js";

export const STEP = "separate";
export const INITIAL_STATE = "initial_state";
/** In place of the former: a frame of each state, in the step that a model carries. */
const SILENCE = "silence";
const FORMAT_VERSION = 2;
const METADATA_NAME = "waveunet_config";
const FLOAT32 = 0;
// The metadata is once more in a ZIP archive at the file's end; its own end is so:
const ARCHIVE_END_BYTES = 22;
const ARCHIVE_END = 0x06054b50;

// The numbers of fields in LiteRT's schema (schema.fbs, identifier TFL3).
const MODEL = { subgraphs: 2, buffers: 4, metadata: 6, signatures: 7 };
const METADATA = { name: 0, buffer: 1 };
const BUFFER_DATA = 0;
const GRAPH_TENSORS = 0;
const TENSOR = { shape: 0, type: 1, buffer: 2 };
const SIGNATURE = { inputs: 0, outputs: 1, key: 2, graph: 4 };
const ENTRY = { name: 0, tensor: 1 };

/**
 * Reads what a .tflite file of `waveunet export` tells about itself, without a runtime.
 *
 * @param {Uint8Array} content
 * @param {string} name The file's name, for errors.
 * @returns {ModelInfo}
 * @throws {InputError} It is no TFLite file, a broken one, not one of this project's, or of
 *     another format version.
 */
export function readModel(content, name) {
  try {
    const identifier = String.fromCharCode(...content.subarray(4, 8));
    if (identifier !== "TFL3") {
      throw new InputError("must be a TFLite file, but has no TFLite identifier");
    }
    const model = FlatTable.root(content);
    const info = new ModelInfo(metadata(model));
    checkArrays(model, info);
    const end = new DataView(content.buffer, content.byteOffset, content.byteLength);
    if (end.getUint32(content.byteLength - ARCHIVE_END_BYTES, true) !== ARCHIVE_END) {
      throw new RangeError("truncated");
    }
    return info;
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`${name}: ${error.message}`);
    if (error instanceof RangeError) {
      throw new InputError(`${name}: must be a whole TFLite file, but is broken`);
    }
    throw error;
  }
}

/**
 * @param {FlatTable} model
 * @returns {Record<string, any>}
 */
function metadata(model) {
  for (const entry of model.tables(MODEL.metadata)) {
    if (entry.string(METADATA.name) !== METADATA_NAME) continue;
    const buffer = at(model.tables(MODEL.buffers), entry.number(METADATA.buffer));
    /** @type {any} */
    let told;
    try {
      told = JSON.parse(buffer.string(BUFFER_DATA));
    } catch (error) {
      if (error instanceof RangeError) throw error;
      throw new InputError(`its ${METADATA_NAME} must be JSON`);
    }
    const version = told?.format_version;
    if (version !== FORMAT_VERSION) {
      const came = version === undefined ? "nothing" : JSON.stringify(version);
      throw new InputError(`\`format_version\` must be ${FORMAT_VERSION}. Received: ${came}`);
    }
    return told;
  }
  throw new InputError(
    `must carry the metadata ${METADATA_NAME}, which \`waveunet export\` writes`,
  );
}

/**
 * Refuses other arrays than those that the metadata tells.
 *
 * @param {FlatTable} model
 * @param {ModelInfo} info
 */
function checkArrays(model, info) {
  /** @type {[string, number][]} */
  const states = [...info.states].map(([name, shape]) => [name, elements(shape)]);
  /** @type {[string, number]} */
  const mixture = [MIXTURE, info.inputFrames * info.channels];
  /** @type {[string, number][]} */
  const stems = info.sources.map((name) => [name, info.outputFrames * info.channels]);
  const step = signature(model, STEP);
  checkWay(model, step, SIGNATURE.inputs, new Map([mixture, ...states]));
  checkWay(model, step, SIGNATURE.outputs, new Map([...stems, ...states]));
  if (states.length === 0) return;
  const silence = find(model, SILENCE);
  if (silence) {
    info.silence = constants(model, silence, info);
  } else {
    checkWay(model, signature(model, INITIAL_STATE), SIGNATURE.outputs, new Map(states));
  }
}

/**
 * Reads what the signature `silence` gives. It is not run, because states of one value share a
 * tensor there, which LiteRT names once.
 *
 * @param {FlatTable} model
 * @param {FlatTable} silence The signature.
 * @param {ModelInfo} info
 * @returns {Map<string, Float32Array>}
 */
function constants(model, silence, info) {
  const graph = at(model.tables(MODEL.subgraphs), silence.number(SIGNATURE.graph));
  const tensors = graph.tables(GRAPH_TENSORS);
  const buffers = model.tables(MODEL.buffers);
  const found = new Map();
  for (const entry of silence.tables(SIGNATURE.outputs)) {
    const tensor = at(tensors, entry.number(ENTRY.tensor));
    const bytes = at(buffers, tensor.number(TENSOR.buffer)).bytes(BUFFER_DATA).slice();
    found.set(entry.string(ENTRY.name), bytes);
  }
  const frames = new Map();
  for (const [name, shape] of info.states) {
    const bytes = found.get(name);
    if (bytes?.length !== 4 * shape[shape.length - 1]) {
      throw new InputError(`its ${SILENCE} must have a frame of ${name}`);
    }
    frames.set(name, new Float32Array(bytes.buffer));
  }
  return frames;
}

/**
 * @param {FlatTable} model
 * @param {string} key
 */
function signature(model, key) {
  const found = find(model, key);
  if (!found) throw new InputError(`must have the signature ${key}`);
  return found;
}

/**
 * @param {FlatTable} model
 * @param {string} key
 */
function find(model, key) {
  return model.tables(MODEL.signatures).find((one) => one.string(SIGNATURE.key) === key);
}

/**
 * @param {FlatTable} model
 * @param {FlatTable} table A signature.
 * @param {number} way Its inputs or outputs.
 * @param {Map<string, number>} wanted Name → elements.
 */
function checkWay(model, table, way, wanted) {
  const graph = at(model.tables(MODEL.subgraphs), table.number(SIGNATURE.graph));
  const tensors = graph.tables(GRAPH_TENSORS);
  const found = new Map();
  for (const entry of table.tables(way)) {
    found.set(entry.string(ENTRY.name), at(tensors, entry.number(ENTRY.tensor)));
  }
  for (const [name, size] of wanted) {
    const tensor = found.get(name);
    if (!tensor) throw new InputError(`its signatures must have the array ${name}`);
    if (elements(tensor.numbers(TENSOR.shape)) !== size || tensor.small(TENSOR.type) !== FLOAT32) {
      throw new InputError(`its arrays must be those that its metadata tells, but ${name} is not`);
    }
  }
  if (found.size !== wanted.size) {
    throw new InputError("its arrays must be those that its metadata tells");
  }
}

/**
 * @template T
 * @param {T[]} list
 * @param {number} place
 * @returns {T}
 */
function at(list, place) {
  if (place >= list.length) throw new RangeError("a place beyond the list's end");
  return list[place];
}

/** @param {number[]} shape */
export function elements(shape) {
  return shape.reduce((product, size) => product * size, 1);
}
