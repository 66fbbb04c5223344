import { Cancelled } from "./errors.js";

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const VERSION_64 = 45;
const UTF8 = 0x0800;
const FULL = 0xffffffff;
const PIECE_BYTES = 2 ** 20;

/**
 * Puts files into a zip archive without compression. It refers to the files and copies none.
 *
 * @param {{name: string, content: Blob}[]} files
 * @param {AbortSignal} signal
 * @returns {Promise<Blob>}
 */
export async function zipOf(files, signal) {
  const parts = [];
  const entries = [];
  let at = 0;
  for (const { name, content } of files) {
    const entry = { name: new TextEncoder().encode(name), crc: await crcOf(content, signal), at, content };
    const header = localHeader(entry);
    parts.push(header, content);
    at += header.length + content.size;
    entries.push(centralHeader(entry));
  }
  const centralBytes = entries.reduce((sum, entry) => sum + entry.length, 0);
  const end = endOf(entries.length, centralBytes, at);
  return new Blob([...parts, ...entries, end], { type: "application/zip" });
}

/** @typedef {{name: Uint8Array, crc: number, at: number, content: Blob}} Entry */

/** Little-endian numbers, one after the other. */
class Bytes {
  /** @type {number[]} */
  #bytes = [];

  /**
   * @param {number} size
   * @param {number[]} values
   */
  put(size, ...values) {
    for (const value of values) {
      let rest = value;
      for (let i = 0; i < size; i++) {
        this.#bytes.push(rest % 256);
        rest = Math.floor(rest / 256);
      }
    }
    return this;
  }

  /** @param {Uint8Array} bytes */
  putAll(bytes) {
    this.#bytes.push(...bytes);
    return this;
  }

  done() {
    return new Uint8Array(this.#bytes);
  }
}

// Every entry has the sizes of zip64 (APPNOTE 4.5.3): one form, whatever the size.
/** @param {Entry} entry */
function localHeader({ name, crc, content }) {
  const { size } = content;
  const extra = new Bytes().put(2, 1, 16).put(8, size, size).done();
  return new Bytes()
    .put(4, LOCAL)
    .put(2, VERSION_64, UTF8, 0, 0, 0x21)
    .put(4, crc, FULL, FULL)
    .put(2, name.length, extra.length)
    .putAll(name)
    .putAll(extra)
    .done();
}

/** @param {Entry} entry */
function centralHeader({ name, crc, at, content }) {
  const { size } = content;
  const extra = new Bytes().put(2, 1, 24).put(8, size, size, at).done();
  return new Bytes()
    .put(4, CENTRAL)
    .put(2, VERSION_64, VERSION_64, UTF8, 0, 0, 0x21)
    .put(4, crc, FULL, FULL)
    .put(2, name.length, extra.length, 0, 0, 0)
    .put(4, 0, FULL)
    .putAll(name)
    .putAll(extra)
    .done();
}

/**
 * @param {number} count
 * @param {number} size Of the central headers.
 * @param {number} at Where they begin.
 */
function endOf(count, size, at) {
  return new Bytes()
    .put(4, END_64)
    .put(8, 44)
    .put(2, VERSION_64, VERSION_64)
    .put(4, 0, 0)
    .put(8, count, count, size, at)
    .put(4, LOCATOR_64, 0)
    .put(8, at + size)
    .put(4, 1, END)
    .put(2, 0, 0, count, count)
    .put(4, FULL, FULL)
    .put(2, 0)
    .done();
}

const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/**
 * @param {Blob} content
 * @param {AbortSignal} signal
 */
async function crcOf(content, signal) {
  let crc = -1;
  for (let at = 0; at < content.size; at += PIECE_BYTES) {
    if (signal.aborted) throw new Cancelled();
    const piece = new Uint8Array(await content.slice(at, at + PIECE_BYTES).arrayBuffer());
    for (let i = 0; i < piece.length; i++) {
      crc = (crc >>> 8) ^ TABLE[(crc ^ piece[i]) & 255];
    }
  }
  return ~crc >>> 0;
}
