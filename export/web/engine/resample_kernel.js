/**
 * The inner loop of resampling, in WebAssembly with SIMD: some eight times as fast as JavaScript,
 * which would take longer than the network. The module is so small that it is assembled here.
 */

const [I32, V128] = [0x7f, 0x7b];
const [VOID, END, LOOP, BR_IF, IF] = [0x40, 0x0b, 0x03, 0x0d, 0x04];
const [GET, SET] = [0x20, 0x21];
const [I32_CONST, I32_ADD, I32_SUB, I32_MUL, I32_LT_U, I32_GE_U] = [
  0x41, 0x6a, 0x6b, 0x6c, 0x49, 0x4f,
];
const [F32_STORE, F32_ADD] = [0x38, 0x92];
const V128_LOAD = [0xfd, 0x00];
const V128_ZERO = [0xfd, 0x0c, ...new Array(16).fill(0)];
const F32X4_ADD = [0xfd, 0xe4, 0x01];
const F32X4_MUL = [0xfd, 0xe6, 0x01];
const laneOf = (/** @type {number} */ lane) => [0xfd, 0x1f, lane];

/** Parameters, then locals. */
const NAMES = [
  ...["input", "weights", "tapBytes", "output", "end", "phase", "up", "stepBytes", "rest"],
  ...["weight", "lastWeight", "sample"],
  ...["a", "b"],
];
const PARAMETERS = 9;
const get = (/** @type {string} */ name) => [GET, NAMES.indexOf(name)];
const set = (/** @type {string} */ name, /** @type {number[]} */ ...value) => [
  ...value,
  SET,
  NAMES.indexOf(name),
];
const add = (/** @type {string} */ name, /** @type {number[]} */ amount) =>
  set(name, ...get(name), ...amount, I32_ADD);
const load = (/** @type {string} */ at, /** @type {number} */ offset) => [
  ...get(at),
  ...V128_LOAD,
  2,
  offset,
];
const constant = (/** @type {number} */ value) => [I32_CONST, value];

/** @type {(sum: string, offset: number) => number[]} sum += weights · samples, four at once. */
const multiplyAdd = (sum, offset) =>
  set(sum, ...get(sum), ...load("weight", offset), ...load("sample", offset), ...F32X4_MUL, ...F32X4_ADD);

const CODE = [
  [LOOP, VOID], // over output frames
  set("weight", ...get("weights"), ...get("phase"), ...get("tapBytes"), I32_MUL, I32_ADD),
  set("lastWeight", ...get("weight"), ...get("tapBytes"), I32_ADD),
  set("sample", ...get("input")),
  set("a", ...V128_ZERO),
  set("b", ...V128_ZERO),
  [LOOP, VOID], // over taps, eight at once
  multiplyAdd("a", 0),
  multiplyAdd("b", 16),
  add("sample", constant(32)),
  add("weight", constant(32)),
  [...get("weight"), ...get("lastWeight"), I32_LT_U, BR_IF, 0],
  [END],
  set("a", ...get("a"), ...get("b"), ...F32X4_ADD),
  get("output"),
  [...get("a"), ...laneOf(0), ...get("a"), ...laneOf(1), F32_ADD],
  [...get("a"), ...laneOf(2), ...get("a"), ...laneOf(3), F32_ADD, F32_ADD],
  [F32_STORE, 2, 0],
  add("input", get("stepBytes")),
  add("phase", get("rest")),
  [...get("phase"), ...get("up"), I32_GE_U, IF, VOID],
  set("phase", ...get("phase"), ...get("up"), I32_SUB),
  add("input", constant(4)),
  [END],
  add("output", constant(4)),
  [...get("output"), ...get("end"), I32_LT_U, BR_IF, 0],
  [END],
  [END],
].flat();

/**
 * @param {number} id
 * @param {number[]} content Of fewer than 2^14 bytes.
 */
function section(id, content) {
  return [id, ...size(content.length), ...content];
}

/** @param {number} length */
function size(length) {
  return [(length & 0x7f) | 0x80, length >> 7];
}

const BODY = [2, 3, I32, 2, V128, ...CODE]; // two kinds of locals
const MODULE = new Uint8Array([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, [1, 0x60, PARAMETERS, ...new Array(PARAMETERS).fill(I32), 0]),
  ...section(2, [1, 1, 0x6d, 1, 0x6d, 2, 0, 0]), // imports the memory m.m
  ...section(3, [1, 0]),
  ...section(7, [1, 1, 0x72, 0, 0]), // exports the function r
  ...section(10, [1, ...size(BODY.length), ...BODY]),
]);

/** Taps are computed by eight, so that each phase ends with zeros. */
export const TAPS_AT_ONCE = 8;
const MOST_FRAMES = 16384;
const PAGE_BYTES = 65536;
/** @type {WebAssembly.Module | null} */
let compiled = null;

/** A table of weights, and the sums of audio that it weights. */
export class Kernel {
  #memory;
  #run;

  /**
   * @param {Float32Array} weights Phase by phase.
   * @param {number} up The number of phases.
   * @param {number} down
   */
  constructor(weights, up, down) {
    this.up = up;
    this.down = down;
    this.taps = weights.length / up;
    const inputs = Math.ceil((MOST_FRAMES * down) / up) + this.taps + TAPS_AT_ONCE;
    this.inputAt = weights.byteLength;
    this.outputAt = this.inputAt + 4 * inputs;
    const bytes = this.outputAt + 4 * MOST_FRAMES;
    this.#memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE_BYTES) });
    compiled ??= new WebAssembly.Module(MODULE);
    const { exports } = new WebAssembly.Instance(compiled, { m: { m: this.#memory } });
    this.#run = /** @type {(...numbers: number[]) => void} */ (exports.r);
    new Float32Array(this.#memory.buffer).set(weights);
  }

  /**
   * Computes frames.
   *
   * @param {Float32Array} plane The input.
   * @param {number} begin Where the first weight of the first frame falls.
   * @param {number} phase Of the first frame.
   * @param {Float32Array} target
   */
  run(plane, begin, phase, target) {
    const { up, down, taps, inputAt, outputAt } = this;
    const memory = new Float32Array(this.#memory.buffer);
    for (let done = 0; done < target.length; done += MOST_FRAMES) {
      const frames = Math.min(target.length - done, MOST_FRAMES);
      const time = phase + done * down;
      const first = begin + Math.floor(time / up);
      const last = begin + Math.floor((time + (frames - 1) * down) / up) + taps;
      memory.set(plane.subarray(first, last), inputAt / 4);
      const steps = [time % up, up, 4 * Math.floor(down / up), down % up];
      this.#run(inputAt, 0, 4 * taps, outputAt, outputAt + 4 * frames, ...steps);
      target.set(memory.subarray(outputAt / 4, outputAt / 4 + frames), done);
    }
  }
}
