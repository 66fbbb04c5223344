"""Reads wav files and serialized tensors in a graph, checked before they take memory.

TensorFlow's own operations for both repeat a request's bytes in their errors, and let a
few bytes stand for any number of samples. What is read here is in the request.
"""

from __future__ import annotations

import tensorflow as tf

from waveunet_tf.export.graph_checks import after, require

# Protobuf's tags of a TensorProto's fields, in the order in which all writers put them.
_DTYPE, _SHAPE, _CONTENT, _FLOATS = 0x08, 0x12, 0x22, 0x2A
_DIM, _SIZE = 0x12, 0x08
_FLOAT32 = 1
# The most bytes before the samples: type, and shape of three numbers of 64 bits.
_HEAD_BYTES = 64
_VARINT_BYTES = 10
# A wav file's format that has its own further behind.
_EXTENSIBLE = 0xFFFE
# More chunks before a wav file's samples than any recorder writes.
_MOST_CHUNKS = 64


def checked_count(contents: tf.Tensor, name: str, most: int) -> tf.Tensor:
    """Checks how many files or tensors a request has.

    Args:
        contents: Strings, of any shape.
        name: The input's name, for messages.
        most: The most that are allowed.

    Returns:
        The strings.
    """
    count = tf.size(contents)
    rule = f"`{name}` must be 1 to {most} of them"
    holds = tf.logical_and(count >= 1, count <= most)
    return after([require(count, (holds, rule))], contents)


def checked_tensor(content: tf.Tensor, name: str) -> tf.Tensor:
    """Reads a serialized TensorProto of float32 whose samples are all there.

    Args:
        content: The TensorProto, a scalar string: type, shape, and the bytes of the
            samples, which is how TensorFlow and every writer of protobuf serialize one.
        name: The input's name, for messages.

    Returns:
        The samples, of three dimensions.
    """
    size = tf.cast(tf.strings.length(content), tf.int64)
    head = tf.strings.join(
        [tf.strings.substr(content, 0, _HEAD_BYTES), bytes(_HEAD_BYTES)]
    )
    head = tf.cast(tf.io.decode_raw(head, tf.uint8)[:_HEAD_BYTES], tf.int64)
    head = tf.pad(head, [[0, _VARINT_BYTES]])

    def byte(at) -> tf.Tensor:
        return head[tf.minimum(at, _HEAD_BYTES)]

    fits = [byte(0) == _DTYPE, byte(1) == _FLOAT32, byte(2) == _SHAPE]
    at, sizes = _long(4), []
    end = at + byte(3)
    for _ in range(3):
        number, taken = _varint(head, at + 3)
        fits += [byte(at) == _DIM, byte(at + 1) == 1 + taken, byte(at + 2) == _SIZE]
        sizes.append(number)
        at += 3 + taken
    fits += [at == end, tf.logical_or(byte(at) == _CONTENT, byte(at) == _FLOATS)]
    length, taken = _varint(head, at + 1)
    first = at + 1 + taken
    fits.append(first + length == size)
    # As floats, for a product of such numbers may be beyond those of 64 bits.
    sizes = tf.stack(sizes)
    whole = 4 * tf.reduce_prod(tf.cast(sizes, tf.float64))
    fits.append(tf.reduce_all(sizes >= 1))
    fits.append(tf.equal(whole, tf.cast(length, tf.float64)))
    rule = (
        f"`{name}` must be a serialized TensorProto of float32, (batch, frames, "
        "channels), that holds all of its samples"
    )
    check = require(size, (tf.reduce_all(fits), rule), unit=" bytes")
    content, first, sizes = (after([check], each) for each in (content, first, sizes))
    samples = tf.io.decode_raw(
        tf.strings.substr(content, first, length), tf.float32, little_endian=True
    )
    return tf.reshape(samples, sizes)


def _varint(head: tf.Tensor, at: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads one of protobuf's numbers; returns it and its bytes' number."""
    part = head[tf.minimum(at, _HEAD_BYTES) :][:_VARINT_BYTES]
    goes_on = tf.cast(part >= 128, tf.int64)
    is_its = tf.math.cumprod(goes_on, exclusive=True)
    # The last of ten bytes would be the sign.
    places = tf.constant([2 ** (7 * n) for n in range(9)] + [0], tf.int64)
    return tf.reduce_sum(is_its * (part % 128) * places), tf.reduce_sum(is_its)


def checked_wav(content: tf.Tensor, name: str, sample_rate_hz: int) -> tf.Tensor:
    """Reads a wav file of 16 bits.

    Args:
        content: The file's content, a scalar string.
        name: The input's name, for messages.
        sample_rate_hz: The sample rate that it must have.

    Returns:
        The audio, `(frames, channels)`.
    """
    size = tf.cast(tf.strings.length(content), tf.int64)
    head = tf.strings.substr(content, 0, 12)
    is_wav = tf.logical_and(
        tf.equal(tf.strings.substr(head, 0, 4), "RIFF"),
        tf.equal(tf.strings.substr(tf.strings.join([head, bytes(12)]), 8, 4), "WAVE"),
    )
    check = require(size, (is_wav, f"`{name}` must be a wav file"), unit=" bytes")
    content = after([check], content)
    format_at, data_at, data_bytes = _chunks(content, size)
    rule = f"`{name}` must be a wav file with a format and samples, in one piece"
    whole = tf.reduce_all([format_at > 0, data_at > 0, data_at + data_bytes <= size])
    check = require(size, (whole, rule), unit=" bytes")
    content = after([check], content)
    part = tf.strings.substr(content, tf.minimum(format_at, size), _long(26))
    part = tf.strings.join([part, bytes(26)])

    def number(at: int, kind) -> tf.Tensor:
        read = tf.strings.substr(part, at, kind.size)
        return tf.cast(tf.io.decode_raw(read, kind, little_endian=True)[0], tf.int32)

    kind, channels = number(0, tf.uint16), number(2, tf.uint16)
    kind = tf.where(tf.equal(kind, _EXTENSIBLE), number(24, tf.uint16), kind)
    rate_hz, bits = number(4, tf.int32), number(14, tf.uint16)
    is_pcm = tf.logical_and(tf.equal(kind, 1), tf.equal(bits, 16))
    rule = f"`{name}` must be of 16-bit PCM, which is format 1 of 16 bits"
    checks = [require(tf.stack([kind, bits]), (is_pcm, rule))]
    rule = f"`{name}` must have the sample rate of this model, {sample_rate_hz} Hz"
    checks.append(require(rate_hz, (tf.equal(rate_hz, sample_rate_hz), rule)))
    rule = f"`{name}` must have 1 or 2 channels"
    is_known = tf.logical_and(channels >= 1, channels <= 2)
    checks.append(require(channels, (is_known, rule)))
    # After all checks: half a frame at the end is none.
    channels = after(checks, tf.clip_by_value(channels, 1, 2))
    frame_bytes = tf.cast(2 * channels, tf.int64)
    taken = data_bytes // frame_bytes * frame_bytes
    steps = tf.io.decode_raw(
        tf.strings.substr(content, tf.minimum(data_at, size), taken),
        tf.int16,
        little_endian=True,
    )
    return tf.reshape(tf.cast(steps, tf.float32) / 32768, tf.stack([-1, channels]))


def _long(number: int) -> tf.Tensor:
    """Makes a number of the type of places in a file of any length."""
    return tf.constant(number, tf.int64)


def _chunks(content: tf.Tensor, size: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Finds where a wav file's format and its samples begin, and the samples' bytes.

    Where there are none, the place is 0.
    """

    def goes_on(number, at, _, data_at, __):
        is_there = tf.logical_and(at + 8 <= size, number < _MOST_CHUNKS)
        return tf.logical_and(is_there, tf.equal(data_at, 0))

    def step(number, at, format_at, data_at, _):
        name = tf.strings.substr(content, at, _long(4))
        # In 32 bits a size of 2 GiB and more would be negative.
        chunk_bytes = tf.strings.join(
            [tf.strings.substr(content, at + 4, _long(4)), bytes(4)]
        )
        chunk_bytes = tf.io.decode_raw(chunk_bytes, tf.int64, little_endian=True)[0]
        format_at = tf.where(tf.equal(name, "fmt "), at + 8, format_at)
        data_at = tf.where(tf.equal(name, "data"), at + 8, data_at)
        after_it = at + 8 + chunk_bytes + chunk_bytes % 2
        return number + 1, after_it, format_at, data_at, chunk_bytes

    begin = tuple(map(_long, (0, 12, 0, 0, 0)))
    _, _, format_at, data_at, data_bytes = tf.while_loop(goes_on, step, begin)
    return format_at, data_at, data_bytes
