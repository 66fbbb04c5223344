const utf8 = new TextDecoder();

/**
 * A table of a flatbuffer, of which a field is known by its number in the schema.
 *
 * Every read is checked against the buffer's end: a RangeError tells of a broken file. The format:
 * https://flatbuffers.dev/internals/
 */
export class FlatTable {
  /**
   * @param {DataView} file
   * @param {number} start
   */
  constructor(file, start) {
    this.file = file;
    this.start = start;
    this.fields = start - file.getInt32(start, true);
    this.fieldBytes = file.getUint16(this.fields, true);
  }

  /**
   * The root of a file.
   *
   * @param {Uint8Array} content
   */
  static root(content) {
    const file = new DataView(content.buffer, content.byteOffset, content.byteLength);
    return new FlatTable(file, follow(file, 0));
  }

  /**
   * An unsigned 32-bit number, 0 where it is left out.
   *
   * @param {number} field
   */
  number(field) {
    const place = this.#place(field);
    return place === 0 ? 0 : this.file.getUint32(place, true);
  }

  /**
   * A byte, 0 where it is left out.
   *
   * @param {number} field
   */
  small(field) {
    const place = this.#place(field);
    return place === 0 ? 0 : this.file.getInt8(place);
  }

  /** @param {number} field */
  string(field) {
    return utf8.decode(this.bytes(field));
  }

  /**
   * The bytes of a vector of bytes, or of a string; none where it is left out.
   *
   * @param {number} field
   */
  bytes(field) {
    const [begin, length] = this.#vector(field, 1);
    return new Uint8Array(this.file.buffer, this.file.byteOffset + begin, length);
  }

  /** @param {number} field */
  numbers(field) {
    const [begin, length] = this.#vector(field, 4);
    return Array.from({ length }, (_, i) => this.file.getInt32(begin + 4 * i, true));
  }

  /** @param {number} field */
  tables(field) {
    const [begin, length] = this.#vector(field, 4);
    return Array.from(
      { length },
      (_, i) => new FlatTable(this.file, follow(this.file, begin + 4 * i)),
    );
  }

  /** @param {number} field */
  #place(field) {
    const entry = 4 + 2 * field;
    if (entry + 2 > this.fieldBytes) return 0;
    const offset = this.file.getUint16(this.fields + entry, true);
    return offset === 0 ? 0 : this.start + offset;
  }

  /**
   * Where a vector's elements begin, and how many there are.
   *
   * @param {number} field
   * @param {number} elementBytes
   * @returns {[number, number]}
   */
  #vector(field, elementBytes) {
    const place = this.#place(field);
    if (place === 0) return [0, 0];
    const vector = follow(this.file, place);
    const length = this.file.getUint32(vector, true);
    if (length * elementBytes > this.file.byteLength - vector - 4) {
      throw new RangeError("a vector beyond the file's end");
    }
    return [vector + 4, length];
  }
}

/**
 * @param {DataView} file
 * @param {number} place
 */
function follow(file, place) {
  const target = place + file.getUint32(place, true);
  if (target <= place || target >= file.byteLength) {
    throw new RangeError("an offset beyond the file's end");
  }
  return target;
}
