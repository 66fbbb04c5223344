/**
 * Rounds samples to integers of full scale 2^(bits - 1), and clips what is beyond.
 *
 * @param {Float32Array} samples
 * @param {number} bits
 * @param {number} gain
 * @returns {Int32Array}
 */
export function quantized(samples, bits, gain) {
  const limit = 2 ** (bits - 1);
  const integers = new Int32Array(samples.length);
  for (let at = 0; at < samples.length; at++) {
    // 16 bits are dithered: a triangle of two steps makes the error noise, not distortion.
    const dither = bits === 16 ? Math.random() - Math.random() : 0;
    const scaled = Math.round(samples[at] * gain * limit + dither);
    integers[at] = Math.max(-limit, Math.min(scaled, limit - 1));
  }
  return integers;
}

/**
 * Integers as little-endian bytes.
 *
 * @param {Int32Array} integers
 * @param {number} size Bytes of each, 2 or 3.
 * @returns {Uint8Array}
 */
export function packed(integers, size) {
  if (size === 2) return new Uint8Array(Int16Array.from(integers).buffer);
  const bytes = new Uint8Array(3 * integers.length);
  for (let at = 0, to = 0; at < integers.length; at++, to += 3) {
    const integer = integers[at];
    bytes[to] = integer;
    bytes[to + 1] = integer >> 8;
    bytes[to + 2] = integer >> 16;
  }
  return bytes;
}
