"""Checks of requests inside a graph: where one fails, a server refuses the request.

The answer is INVALID_ARGUMENT and names the input, the rule and what was received.
"""

from __future__ import annotations

import tensorflow as tf


def require(
    received: tf.Tensor, *rules: tuple[tf.Tensor, str], unit: str = ""
) -> tf.Operation:
    """Returns an operation that fails with the first rule that does not hold.

    A tensor that depends on the check goes through `after`. TensorFlow may compute it
    before the check all the same, so its computation must not fail by itself.

    Args:
        received: What was received, of any shape, for the message.
        *rules: For each rule a scalar, whether it holds, and the rule's text.
        unit: What follows the received number in the message.
    """
    text = tf.constant("")
    for holds, rule in reversed(rules):
        text = tf.where(holds, text, rule)
    received = tf.strings.format(". Received: {}", [received], summarize=8)
    return tf.raw_ops.Assert(
        condition=tf.reduce_all([holds for holds, _ in rules]),
        data=[tf.strings.join([text, received, unit])],
    )


def after(checks: list[tf.Operation], tensor: tf.Tensor) -> tf.Tensor:
    """Returns the tensor, which is available only when the checks have passed.

    No tf.ensure_shape may follow: TensorFlow's optimizer moves it before the checks.

    Args:
        checks: Operations of `require`.
        tensor: A tensor of any shape.
    """
    with tf.control_dependencies(checks):
        return tf.identity(tensor)


def of_any_shape(tensor: tf.Tensor) -> tf.Tensor:
    """Returns the tensor without its static shape.

    A server does not compare an input with the signature's shape, but TensorFlow would
    remove a check of a shape that is statically known.

    Args:
        tensor: A tensor of any shape.
    """
    return tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=tf.TensorShape(None))


def checked_audio(
    audio: tf.Tensor,
    name: str,
    channels: tuple[int, ...],
    max_batch: int,
    max_frames: int,
) -> tf.Tensor:
    """Checks audio that is to be separated.

    Args:
        audio: Samples in float32, of any shape.
        name: The input's name, for messages.
        channels: The numbers of channels that are allowed.
        max_batch: The largest batch that is allowed.
        max_frames: The most frames of all songs of the batch together.

    Returns:
        The audio, `(batch, frames, channels)`, of finite samples.
    """
    audio = of_any_shape(audio)
    shape = tf.shape(audio)
    batch, frames, channel_count = tf.unstack(
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
            frames <= max_frames // tf.maximum(batch, 1),
            f"`{name}` must have at most {max_frames} frames in all",
        ),
        (
            tf.reduce_any(tf.equal(channel_count, channels)),
            f"`{name}` must have {' or '.join(map(str, channels))} channels",
        ),
    )
    audio = after([check], audio)
    audio.set_shape((None, None, None))
    return tf.debugging.check_numerics(audio, f"`{name}` must hold finite samples")


def checked_shape(tensor: tf.Tensor, name: str, shape: list) -> tf.Tensor:
    """Checks the shape of a tensor.

    Args:
        tensor: A tensor of any shape.
        name: The input's name, for messages.
        shape: The shape that it must have: numbers, and scalar tensors for the sizes
            that only the request tells.

    Returns:
        The tensor, of that shape.
    """
    static = [None if tf.is_tensor(size) else size for size in shape]
    known = ", ".join("batch" if size is None else str(size) for size in static)
    tensor = of_any_shape(tensor)
    received = tf.shape(tensor)
    # Shapes of other ranks cannot be compared by tf.equal.
    equal = tf.cond(
        tf.equal(tf.size(received), len(shape)),
        lambda: tf.reduce_all(tf.equal(received, tf.stack(shape))),
        lambda: tf.constant(False),
    )
    rule = f"`{name}` must be ({known}) for this model, with the batch of `chunk`"
    tensor = after([require(received, (equal, rule))], tensor)
    tensor.set_shape(static)
    return tensor
