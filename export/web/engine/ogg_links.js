const BLOCK_BYTES = 2 ** 20;
const HEAD_BYTES = 6; // of a page: its capture pattern, the version, and the flags
const CAPTURE_PATTERN = 0x4f676753; // OggS
const BEGINS_A_STREAM = 2;

/**
 * Splits a chained Ogg file, as internet radio and joined files are, into its links.
 *
 * Decoders give the first link alone, without a word.
 *
 * @param {Blob} file
 * @returns {Promise<Blob[]>} One for each link; the file itself if it is no Ogg file.
 */
export async function oggLinks(file) {
  /** @type {number[]} */
  const starts = [];
  let wasHead = false; // whether the page before begins a stream of the same link
  for (let at = 0; at < file.size; at += BLOCK_BYTES) {
    const block = await file.slice(at, at + BLOCK_BYTES + HEAD_BYTES - 1).arrayBuffer();
    const data = new DataView(block);
    if (at === 0 && !isPage(data, 0)) return [file];
    const bytes = new Uint8Array(block);
    for (let i = bytes.indexOf(0x4f); i >= 0; i = bytes.indexOf(0x4f, i + 1)) {
      if (!isPage(data, i)) continue;
      const isHead = Boolean(bytes[i + 5] & BEGINS_A_STREAM);
      if (isHead && !wasHead) starts.push(at + i);
      wasHead = isHead;
    }
  }
  if (starts.length < 2) return [file];
  return starts.map((start, i) => file.slice(start, starts[i + 1]));
}

/**
 * @param {DataView} data
 * @param {number} at
 */
function isPage(data, at) {
  return (
    at + HEAD_BYTES <= data.byteLength &&
    data.getUint32(at) === CAPTURE_PATTERN &&
    data.getUint8(at + 4) === 0
  );
}
