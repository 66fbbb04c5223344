"""TensorFlow operations with gradients that are faster on a CPU than its own.

Values and gradients differ from TensorFlow's by rounding only.
"""

from __future__ import annotations

import tensorflow as tf

# Frames of a piece. One long row has no good blocks in oneDNN: in such pieces the
# kernel's gradient takes two thirds of its time.
_PIECE_FRAMES = 256
# With fewer taps or frames, cutting takes longer than it saves.
_MIN_TAPS = 7
_MIN_FRAMES = 768


def on_gpu() -> bool:
    """Tells whether TensorFlow has a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


@tf.custom_gradient
def convolve(inputs, kernel):
    """Convolves along frames, without padding.

    Args:
        inputs: Features `(batch, frames, features)`.
        kernel: Weights `(taps, features, filters)`.

    Returns:
        Sums `(batch, frames - taps + 1, filters)`.
    """
    outputs = tf.nn.conv1d(inputs, kernel, 1, "VALID")

    def gradient(upstream):
        of_inputs = tf.raw_ops.Conv2DBackpropInput(
            input_sizes=tf.shape(inputs[:, None]),
            filter=kernel[None],
            out_backprop=upstream[:, None],
            strides=[1, 1, 1, 1],
            padding="VALID",
        )
        rows, sums = inputs[:, None], upstream[:, None]
        taps, frames = kernel.shape[0], upstream.shape[1]
        if taps >= _MIN_TAPS and frames is not None and frames >= _MIN_FRAMES:
            rows, sums = _cut(inputs, upstream, taps)
        of_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=rows,
            filter_sizes=(1, *kernel.shape),
            out_backprop=sums,
            strides=[1, 1, 1, 1],
            padding="VALID",
        )
        return of_inputs[:, 0], of_kernel[0]

    return outputs, gradient


def _cut(inputs, upstream, taps: int):
    """Cuts inputs and gradients into pieces, each of which is a row of its own.

    Args:
        inputs: `(batch, frames + taps - 1, features)`.
        upstream: Gradients of the sums, `(batch, frames, filters)`.
        taps: The kernel's taps.

    Returns:
        Inputs `(batch * pieces, 1, frames + taps - 1, features)` and gradients
        `(batch * pieces, 1, frames, filters)`, with _PIECE_FRAMES frames. Zeros fill
        the last piece up.
    """
    _, frames, features = inputs.shape
    filters = upstream.shape[-1]
    pieces = -(-upstream.shape[1] // _PIECE_FRAMES)
    beyond = (pieces + 1) * _PIECE_FRAMES - frames
    inputs = tf.pad(inputs, ((0, 0), (0, beyond), (0, 0)))
    inputs = tf.reshape(inputs, (-1, pieces + 1, _PIECE_FRAMES, features))
    after = inputs[:, 1:, : taps - 1]  # the begin of the next piece
    inputs = tf.concat([inputs[:, :-1], after], axis=2)
    beyond = pieces * _PIECE_FRAMES - upstream.shape[1]
    upstream = tf.pad(upstream, ((0, 0), (0, beyond), (0, 0)))
    return (
        tf.reshape(inputs, (-1, 1, _PIECE_FRAMES + taps - 1, features)),
        tf.reshape(upstream, (-1, 1, _PIECE_FRAMES, filters)),
    )


def leaky_relu(inputs, slope: float):
    """Returns max(x, slope * x), of any shape.

    For bfloat16 its gradient is vectorised, which TensorFlow's own is not.

    Args:
        inputs: Features `(batch, frames, features)`.
        slope: The factor of negative values, from 0 to 1.
    """
    if inputs.dtype != tf.bfloat16:
        return tf.nn.leaky_relu(inputs, slope)

    @tf.custom_gradient
    def of_bfloat16(inputs):
        outputs = tf.nn.leaky_relu(inputs, slope)

        def gradient(upstream):
            positive = tf.raw_ops.ReluGrad(gradients=upstream, features=outputs)
            return slope * upstream + (1 - slope) * positive

        return outputs, gradient

    return of_bfloat16(inputs)
