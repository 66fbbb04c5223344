"""Defines the Wave-U-Net's own layers, in `keras.ops`: any Keras backend runs them.

Tensors are `(batch, frames, channels)`.
"""

from __future__ import annotations

import keras
from keras import ops

from waveunet_tf.errors import InputError

_register = keras.saving.register_keras_serializable(package="waveunet_tf")


@_register
class Decimate(keras.layers.Layer):
    """Keeps every second frame, from the first (paper, section 3.1).

    Input shape: `(batch, frames, channels)`
    Output shape: `(batch, ceil(frames / 2), channels)`
    """

    def call(self, inputs, training=False):
        batch, frames, channels = ops.shape(inputs)
        if not (training and isinstance(frames, int)):
            return inputs[:, ::2]
        # The same as the first frames of pairs. On a CPU TensorFlow's gradient of a
        # strided slice takes half as long as those of all convolutions together.
        pairs = (frames + 1) // 2
        if frames % 2:
            inputs = ops.pad(inputs, ((0, 0), (0, 1), (0, 0)))
        inputs = ops.reshape(inputs, (batch, pairs, 2 * channels))
        return ops.slice(inputs, (0, 0, 0), (batch, pairs, channels))

    def compute_output_shape(self, input_shape):
        batch, frames, channels = input_shape
        return batch, None if frames is None else -(-frames // 2), channels


class _Interpolation(keras.layers.Layer):
    """Puts a value, which subclasses define, between every two neighbouring frames.

    Args:
        context: Whether the result ends with the last frame, and so has 2n - 1 frames.
            Otherwise one value more, at the border, makes them 2n.
    """

    def __init__(self, *, context: bool, **kwargs):
        super().__init__(**kwargs)
        self.context = context

    def between(self, left, right):
        """Computes the values between neighbours.

        Args:
            left: The earlier neighbours, `(batch, frames, channels)`.
            right: The later neighbours, of the same shape.

        Returns:
            `(batch, frames, channels)`.
        """
        raise NotImplementedError

    def after_last(self, last):
        """Computes the value after the last frame, both `(batch, 1, channels)`."""
        raise NotImplementedError

    def call(self, inputs):
        batch, frames, channels = ops.shape(inputs)
        left = window(inputs, 0, frames - 1)
        between = self.between(left, window(inputs, 1, frames - 1))
        pairs = ops.stack([left, between], axis=2)  # (b, n - 1, 2, c)
        pairs = ops.reshape(pairs, (batch, 2 * (frames - 1), channels))
        last = window(inputs, frames - 1, 1)
        if self.context:
            return ops.concatenate([pairs, last], axis=1)  # (b, 2n - 1, c)
        return ops.concatenate([pairs, last, self.after_last(last)], axis=1)

    def compute_output_shape(self, input_shape):
        batch, frames, channels = input_shape
        if frames is not None:
            frames = 2 * frames - self.context
        return batch, frames, channels

    def get_config(self):
        return {**super().get_config(), "context": self.context}


@_register
class LinearInterpolation(_Interpolation):
    """Upsamples by 2 with the mean of neighbours (paper, section 3.2.1).

    Without context the last frame is repeated, as TF1's `resize_bilinear` does.

    Input shape: `(batch, frames, channels)`
    Output shape: `(batch, 2 * frames - 1, channels)` with context, else
        `(batch, 2 * frames, channels)`
    """

    def between(self, left, right):
        return 0.5 * (left + right)

    def after_last(self, last):
        return last


@_register
class LearnedInterpolation(_Interpolation):
    """Upsamples by 2 with one learned weight a feature (paper, section 3.2.3).

    The value between f_t and f_{t+1} is σ(w) · f_t + (1 - σ(w)) · f_{t+1}. Without
    context, zeros follow the last frame, as in the original's "same" convolution.

    Input shape: `(batch, frames, channels)`
    Output shape: `(batch, 2 * frames - 1, channels)` with context, else
        `(batch, 2 * frames, channels)`
    """

    def build(self, input_shape):
        self.interpolation = self.add_weight(
            name="interpolation",
            shape=(input_shape[-1],),
            initializer="glorot_uniform",  # TF1's default, which the original uses
        )

    def between(self, left, right):
        weight = ops.sigmoid(ops.cast(self.interpolation, left.dtype))
        return weight * left + (1 - weight) * right

    def after_last(self, last):
        return self.between(last, ops.zeros_like(last))


@_register
class CropAndConcat(keras.layers.Layer):
    """Crops a skip connection around its centre and puts it before other features.

    Args:
        uneven: Whether the skip's surplus is odd, as it is at some levels of networks
            with an `input_kernel_size`. Then the end loses one frame more than the
            beginning, as in the original.

    Input shape: `(batch, skip_frames, skip_channels)`, `(batch, frames, channels)`
    Output shape: `(batch, frames, skip_channels + channels)`

    Raises:
        InputError: The skip is shorter, or its surplus is odd or even against `uneven`:
            the input's frames do not fit the network.
    """

    def __init__(self, *, uneven: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.uneven = uneven

    def call(self, inputs):
        skip, features = inputs
        skip = crop(skip, ops.shape(features)[1], uneven=self.uneven)
        return ops.concatenate([skip, features], axis=-1)

    def compute_output_shape(self, input_shape):
        skip, features = input_shape
        return *features[:2], skip[-1] + features[-1]

    def get_config(self):
        return {**super().get_config(), "uneven": self.uneven}


@_register
class AudioClip(keras.layers.Layer):
    """Clips to [-1, 1] at inference and does nothing in training.

    In training, clipping would leave samples that are too loud without a gradient.

    Input shape: `(batch, frames, channels)`
    Output shape: `(batch, frames, channels)`
    """

    def call(self, inputs, training=False):
        return inputs if training else ops.clip(inputs, -1.0, 1.0)

    def compute_output_shape(self, input_shape):
        return input_shape


@_register
class DifferenceOutput(AudioClip):
    """Subtracts the other sources from the mixture (paper, section 3.2.4).

    The mixture is cropped around its centre. At inference the result is clipped to
    [-1, 1], as in the original.

    Input shape: `(batch, mixture_frames, channels)`, and `(batch, frames, channels)` of
        each other source
    Output shape: `(batch, frames, channels)`
    """

    def call(self, inputs, training=False):
        mixture, *others = inputs
        mixture = crop(mixture, ops.shape(others[0])[1])
        return super().call(mixture - sum(others), training=training)

    def compute_output_shape(self, input_shape):
        return input_shape[1]


def crop(inputs, frames, *, uneven=False):
    """Takes the frames around the centre.

    Args:
        inputs: Features `(batch, more_frames, channels)`.
        frames: The number of frames to take.
        uneven: Whether the surplus is odd. Then the end loses one frame more than the
            beginning.

    Returns:
        `(batch, frames, channels)`.

    Raises:
        InputError: The inputs have fewer frames, or their surplus is odd or even
            against `uneven`.
    """
    surplus = ops.shape(inputs)[1] - frames
    if isinstance(surplus, int) and (surplus < 0 or surplus % 2 != uneven):
        raise InputError(
            "The input's frames must fit the network (shapes.window_frames): at one "
            "level the frames to cut off a skip must be an "
            f"{'odd' if uneven else 'even'} number, at least 0. Received: {surplus}"
        )
    return window(inputs, surplus // 2, frames)


def window(inputs, start, frames):
    """Returns `inputs[:, start : start + frames]`, with a gradient fast on a CPU.

    Args:
        inputs: Features `(batch, more_frames, channels)`.
        start: The first frame to take.
        frames: The number of frames to take.

    Returns:
        `(batch, frames, channels)`.
    """
    batch, _, channels = ops.shape(inputs)
    return ops.slice(inputs, (0, start, 0), (batch, frames, channels))
