"""Checks of requests inside a graph, which a server answers with INVALID_ARGUMENT."""

from __future__ import annotations

import tensorflow as tf


def require(received: tf.Tensor, *rules: tuple[tf.Tensor, str]) -> tf.Operation:
    """An operation that fails with the first rule that does not hold, and what came.

    What must wait for it goes through `after`. As it may be computed all the same, it
    must not fail in ways of its own.

    Args:
        received: what came, for the message.
        *rules: whether it holds, a scalar, and the rule's text.
    """
    text = tf.constant("")
    for holds, rule in reversed(rules):
        text = tf.where(holds, text, rule)
    received = tf.strings.format(". Received: {}", [received], summarize=8)
    return tf.raw_ops.Assert(
        condition=tf.reduce_all([holds for holds, _ in rules]),
        data=[tf.strings.join([text, received])],
    )


def after(checks: list[tf.Operation], tensor: tf.Tensor) -> tf.Tensor:
    """A tensor that is there only when the checks have passed.

    Let no tf.ensure_shape follow: TensorFlow's optimizer takes it before the checks.
    """
    with tf.control_dependencies(checks):
        return tf.identity(tensor)


def of_any_shape(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor with its static shape forgotten.

    A server does not compare what it is fed with the signature's shape, but a check
    of what is statically known would be folded away.
    """
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=tf.TensorShape(None))


def checked_audio(
    audio: tf.Tensor, name: str, channels: tuple[int, ...], max_batch: int
) -> tf.Tensor:
    """Audio `(batch, frames, channels)` that can be separated.

    Args:
        audio: float32 of any shape.
        name: of the input, for messages.
        channels: how many there may be.
        max_batch: the largest batch.
    """
    audio = of_any_shape(audio)
    shape = tf.shape(audio)
    batch, frames, came_channels = tf.unstack(
        tf.concat([shape, [0, 0, 0]], axis=0)[:3], num=3
    )
    check = require(
        shape,
        (tf.equal(tf.size(shape), 3), f"`{name}` must be (batch, frames, channels)"),
        (
            tf.logical_and(batch >= 1, batch <= max_batch),
            f"`{name}` must have a batch of 1 to {max_batch}",
        ),
        (frames >= 1, f"`{name}` must have at least 1 frame"),
        (
            tf.reduce_any(tf.equal(came_channels, channels)),
            f"`{name}` must have {' or '.join(map(str, channels))} channels",
        ),
    )
    audio = after([check], audio)
    audio.set_shape((None, None, None))
    return tf.debugging.check_numerics(audio, f"`{name}` must hold finite samples")


def checked_shape(tensor: tf.Tensor, name: str, shape: list) -> tf.Tensor:
    """A tensor of the given shape.

    Args:
        tensor: of any shape.
        name: of the input, for messages.
        shape: numbers, or scalar tensors for what is not known before.
    """
    static = [None if tf.is_tensor(size) else size for size in shape]
    known = ", ".join("batch" if size is None else str(size) for size in static)
    tensor = of_any_shape(tensor)
    came = tf.shape(tensor)
    # Shapes of other ranks cannot be compared by tf.equal.
    equal = tf.cond(
        tf.equal(tf.size(came), len(shape)),
        lambda: tf.reduce_all(tf.equal(came, tf.stack(shape))),
        lambda: tf.constant(False),
    )
    rule = f"`{name}` must be ({known}) for this model, with the batch of `chunk`"
    tensor = after([require(came, (equal, rule))], tensor)
    tensor.set_shape(static)
    return tensor


def checked_wav(content: tf.Tensor, name: str, sample_rate_hz: int) -> tf.Tensor:
    """The audio `(frames, channels)` of a 16-bit wav file, a scalar string."""
    # The file's and its format's head, which come first in all but odd files.
    head = tf.strings.join([tf.strings.substr(content, 0, 36), bytes(36)])

    def part(start: int, size: int) -> tf.Tensor:
        return tf.strings.substr(head, start, size)

    def number(start: int) -> tf.Tensor:
        return tf.io.decode_raw(part(start, 2), tf.int16, little_endian=True)[0]

    is_wav = tf.logical_and(tf.equal(part(0, 4), "RIFF"), tf.equal(part(8, 4), "WAVE"))
    check = require(part(0, 12), (is_wav, f"`{name}` must be a wav file"))
    content = after([check], content)
    is_format = tf.equal(part(12, 4), "fmt ")
    is_pcm = tf.logical_and(tf.equal(number(20), 1), tf.equal(number(34), 16))
    rule = f"`{name}` must be of 16-bit PCM, which is format 1 of 16 bits"
    check = require(
        tf.stack([number(20), number(34)]),
        (tf.logical_or(is_pcm, tf.logical_not(is_format)), rule),
    )
    audio, came_hz = tf.audio.decode_wav(after([check], content))
    rule = f"`{name}` must have the sample rate of this model, {sample_rate_hz} Hz"
    return after([require(came_hz, (tf.equal(came_hz, sample_rate_hz), rule))], audio)
