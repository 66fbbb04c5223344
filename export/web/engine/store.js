import { InputError, reasonOf } from "./errors.js";

/**
 * A file that grows: written once, front to back, then read in slices.
 *
 * @typedef {object} Growing
 * @property {(bytes: Uint8Array) => void} write
 * @property {() => Promise<Blob>} finish
 * @property {() => Promise<void>} remove
 */

const ROOT = "waveunet";
// Blocks are gathered to this many bytes, for each write costs the same.
const PIECE_BYTES = 2 ** 20;

/**
 * The folder of this worker's songs in the origin private file system; in memory, as blobs, where
 * a browser lacks it. The folders of workers that have ended go when a worker starts.
 */
export class Store {
  /** @param {FileSystemDirectoryHandle | null} folder */
  constructor(folder) {
    this.folder = folder;
  }

  static async open() {
    try {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle(ROOT, {
        create: true,
      });
      await removeAbandoned(root);
      const name = crypto.randomUUID();
      await holdForever(name);
      const store = new Store(await root.getDirectoryHandle(name, { create: true }));
      await (await store.create("probe")).remove(); // a private window may refuse
      return store;
    } catch {
      return new Store(null);
    }
  }

  /**
   * @param {string} name
   * @returns {Promise<Growing>}
   */
  async create(name) {
    if (!this.folder) return new GrowingBlob();
    const handle = await this.folder.getFileHandle(name, { create: true });
    return new GrowingFile(this.folder, handle, await handle.createSyncAccessHandle());
  }

  /** @param {string} name */
  async remove(name) {
    await this.folder?.removeEntry(name).catch(() => {});
  }

  /** @param {string} prefix Of the names. */
  async removeAll(prefix) {
    if (!this.folder) return;
    const names = await keysOf(this.folder);
    for (const name of names) if (name.startsWith(prefix)) await this.remove(name);
  }
}

/** @implements {Growing} */
class GrowingFile {
  #at = 0;
  #piece = new Uint8Array(PIECE_BYTES);
  #held = 0;

  /**
   * @param {FileSystemDirectoryHandle} folder
   * @param {FileSystemFileHandle} handle
   * @param {FileSystemSyncAccessHandle} access
   */
  constructor(folder, handle, access) {
    this.folder = folder;
    this.handle = handle;
    this.access = access;
  }

  /** @param {Uint8Array} bytes */
  write(bytes) {
    for (let at = 0; at < bytes.length;) {
      const count = Math.min(bytes.length - at, PIECE_BYTES - this.#held);
      this.#piece.set(bytes.subarray(at, at + count), this.#held);
      this.#held += count;
      at += count;
      if (this.#held === PIECE_BYTES) this.#flush();
    }
  }

  async finish() {
    this.#flush();
    this.access.close();
    this.#piece = new Uint8Array(0);
    return this.handle.getFile();
  }

  async remove() {
    this.access.close();
    await this.folder.removeEntry(this.handle.name).catch(() => {});
  }

  #flush() {
    const piece = this.#piece.subarray(0, this.#held);
    let written = 0;
    try {
      written = this.access.write(piece, { at: this.#at });
    } catch (error) {
      throw new InputError(`the browser's disk space is used up: ${reasonOf(error)}`);
    }
    if (written !== piece.length) throw new InputError("the browser's disk space is used up");
    this.#at += written;
    this.#held = 0;
  }
}

/** @implements {Growing} */
class GrowingBlob {
  /** @type {Blob[]} */
  #pieces = [];

  /** @param {Uint8Array} bytes */
  write(bytes) {
    this.#pieces.push(new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)]));
    if (this.#pieces.length === 256) this.#pieces = [new Blob(this.#pieces)];
  }

  async finish() {
    return new Blob(this.#pieces);
  }

  async remove() {
    this.#pieces = [];
  }
}

/**
 * Holds a lock as long as this worker lives.
 *
 * @param {string} name
 * @returns {Promise<void>}
 */
function holdForever(name) {
  return new Promise((resolve, reject) => {
    const held = () => {
      resolve();
      return new Promise(() => {});
    };
    navigator.locks.request(`${ROOT}-${name}`, held).catch(reject);
  });
}

/** @param {FileSystemDirectoryHandle} folder */
async function keysOf(folder) {
  const names = [];
  for await (const name of folder.keys()) names.push(name);
  return names;
}

/** @param {FileSystemDirectoryHandle} root */
async function removeAbandoned(root) {
  // In this order: a folder that is there has its lock, unless its worker has ended.
  const names = await keysOf(root);
  const { held = [] } = await navigator.locks.query();
  const alive = new Set(held.map((lock) => lock.name));
  for (const name of names) {
    if (!alive.has(`${ROOT}-${name}`)) {
      await root.removeEntry(name, { recursive: true }).catch(() => {});
    }
  }
}
