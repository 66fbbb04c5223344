/**
 * Where a song lies within what a decoder gives of it: encoders put silence before and after.
 *
 * @typedef {object} Bounds
 * @property {number} skip Frames before the song.
 * @property {number | null} frames Of the song, where the file tells; the rest is cut off.
 */

const DECODER_DELAY = 529; // of mp3, which the tag does not count
const HEAD_BYTES = 2 ** 14;
const TAIL_BYTES = 2 ** 17;

/**
 * Reads the delay and the padding in an mp3's first frame, which the encoder LAME introduced.
 *
 * @param {Blob} file
 * @returns {Promise<Bounds>}
 */
export async function mp3Bounds(file) {
  const none = { skip: 0, frames: null };
  const at = await afterId3(file);
  const head = new DataView(await file.slice(at, at + HEAD_BYTES).arrayBuffer());
  const frame = firstFrame(head);
  if (frame === null) return none;
  const version = (head.getUint8(frame + 1) >> 3) & 3; // 3: MPEG 1
  const isMono = head.getUint8(frame + 3) >> 6 === 3;
  const sideBytes = version === 3 ? (isMono ? 17 : 32) : isMono ? 9 : 17;
  const tag = frame + 4 + sideBytes;
  if (tag + 160 > head.byteLength || !["Xing", "Info"].includes(word(head, tag))) return none;
  const flags = head.getUint32(tag + 4);
  const count = flags & 1 ? head.getUint32(tag + 8) : null;
  const fields = [1, 2, 4, 8].map((bit, i) => (flags & bit ? [4, 4, 100, 4][i] : 0));
  const extension = tag + 8 + fields.reduce((sum, bytes) => sum + bytes, 0);
  const [high, middle, low] = [21, 22, 23].map((offset) => head.getUint8(extension + offset));
  const delay = (high << 4) | (middle >> 4);
  const padding = ((middle & 15) << 8) | low;
  if (delay === 0) return none;
  const frames = count === null ? null : count * (version === 3 ? 1152 : 576) - delay - padding;
  return { skip: delay + DECODER_DELAY, frames };
}

/**
 * Reads the length of an Ogg file, which its last page tells.
 *
 * @param {Blob} file
 * @param {string} codec
 * @returns {Promise<Bounds>}
 */
export async function oggBounds(file, codec) {
  const tail = new DataView(await file.slice(-TAIL_BYTES).arrayBuffer());
  for (let at = tail.byteLength - 27; at >= 0; at--) {
    if (tail.getUint32(at) !== 0x4f676753) continue; // OggS
    const end = Number(tail.getBigInt64(at + 6, true));
    if (end < 0) continue; // no packet ends in this page
    const skip = codec === "opus" ? (await preSkip(file)).frames : 0;
    return { skip, frames: end - skip };
  }
  return { skip: 0, frames: null };
}

/**
 * An opus file whose header tells of no frames before the song: some decoders leave out what it
 * tells, others do not, and so all of them leave out nothing. Other files stay as they are.
 *
 * @param {Blob} file
 */
export async function withoutPreSkip(file) {
  const { at, frames } = await preSkip(file);
  if (frames === 0) return file;
  return new Blob([file.slice(0, at), new Uint8Array(2), file.slice(at + 2)]);
}

/**
 * Where an opus file tells of frames before the song, at 48 kHz, and how many there are.
 *
 * @param {Blob} file
 */
async function preSkip(file) {
  const head = new DataView(await file.slice(0, HEAD_BYTES).arrayBuffer());
  const isOgg = head.byteLength >= 4 && word(head, 0) === "OggS";
  for (let at = 0; isOgg && at + 12 <= head.byteLength; at++) {
    if (word(head, at) === "Opus" && word(head, at + 4) === "Head") {
      return { at: at + 10, frames: head.getUint16(at + 10, true) };
    }
  }
  return { at: 0, frames: 0 };
}

/** @param {Blob} file */
async function afterId3(file) {
  let at = 0;
  for (;;) {
    const head = new DataView(await file.slice(at, at + 10).arrayBuffer());
    if (head.byteLength < 10 || !word(head, 0).startsWith("ID3")) return at;
    const size = [6, 7, 8, 9].reduce((sum, i) => (sum << 7) | (head.getUint8(i) & 127), 0);
    at += 10 + size + (head.getUint8(5) & 16 ? 10 : 0); // a footer
  }
}

/** @param {DataView} head */
function firstFrame(head) {
  for (let at = 0; at + 4 <= head.byteLength; at++) {
    const bits = head.getUint32(at);
    const isSync = bits >>> 21 === 0x7ff && ((bits >> 19) & 3) !== 1 && ((bits >> 17) & 3) === 1;
    if (isSync && ((bits >> 12) & 15) !== 15 && ((bits >> 10) & 3) !== 3) return at;
  }
  return null;
}

/**
 * @param {DataView} data
 * @param {number} at
 */
function word(data, at) {
  return String.fromCharCode(...[0, 1, 2, 3].map((i) => data.getUint8(at + i)));
}
