import { InputError } from "./errors.js";

const HEADER_BYTES = 58; // RIFF, `fmt ` of 18 bytes, `fact`, `data`

/**
 * A wav file's header.
 *
 * @param {{frames: number, channels: number, sampleRateHz: number, bytes: number}} song `bytes` of
 *     a sample: 2 and 3 are integers, 4 is float.
 * @returns {Uint8Array}
 * @throws {InputError} The file would exceed the 4 GiB that the format has.
 */
export function wavHeader({ frames, channels, sampleRateHz, bytes }) {
  const frameBytes = channels * bytes;
  const dataBytes = frames * frameBytes;
  const padding = dataBytes % 2;
  const riffBytes = HEADER_BYTES - 8 + dataBytes + padding;
  if (riffBytes >= 2 ** 32) {
    throw new InputError("a wav file holds at most 4 GiB; fewer bits, or flac, take less");
  }
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  let at = 0;
  const word = (/** @type {string} */ text) => {
    for (const letter of text) header.setUint8(at++, letter.charCodeAt(0));
  };
  const put = (/** @type {number} */ value, /** @type {2 | 4} */ size) => {
    if (size === 2) header.setUint16(at, value, true);
    else header.setUint32(at, value, true);
    at += size;
  };
  word("RIFF");
  put(riffBytes, 4);
  word("WAVEfmt ");
  put(18, 4);
  put(bytes === 4 ? 3 : 1, 2);
  put(channels, 2);
  put(sampleRateHz, 4);
  put(sampleRateHz * frameBytes, 4);
  put(frameBytes, 2);
  put(8 * bytes, 2);
  put(0, 2);
  word("fact");
  put(4, 4);
  put(frames, 4);
  word("data");
  put(dataBytes, 4);
  return new Uint8Array(header.buffer);
}
