"""A network's layers for integer arithmetic, which rounds the results of each layer."""

from __future__ import annotations

import keras
from keras import ops

from waveunet_tf.networks import layer_names
from waveunet_tf.networks.fused import FusedLayers

# AutoGraph reads these functions, and does not know super().


class IntegerLayers(FusedLayers):
    """The layers of a stream, with sums that are rounded once.

    A merge convolution in two parts rounds both parts and then their sum, which is
    smaller where they cancel. So here features are upsampled and concatenated with the
    skip, as in the network. This costs some multiply-adds and no weights.
    """

    def __init__(self, config, network, *, first_level: int = 0):
        """Takes a network's layers.

        Args:
            config: The network's config.
            network: The Keras network.
            first_level: The levels below this one are computed as in FusedLayers.
        """
        super().__init__(config, network)
        self._first_level = first_level

    def merge(self, level: int, skip, features):
        """Upsamples features and computes the merge convolution.

        Args:
            level: The level of the skip.
            skip: The cropped skip, `(batch, frames + taps - 1, skip_features)`.
            features: The features from below,
                `(batch, frames / 2 + (taps + 1) / 2, features)`.

        Returns:
            `(batch, frames, filters)`.
        """
        if level < self._first_level:
            return FusedLayers.merge(self, level, skip, features)
        zero, one = (ops.full((1, 1, features.shape[-1]), x) for x in (0.0, 1.0))
        between = self.layer(layer_names.upsample(level)).between
        pairs = [
            _depthwise(features, [between(one, zero), between(zero, one)]),
            _depthwise(features, [zero, one]),
        ]
        pairs = ops.concatenate(pairs, axis=-1)
        upsampled = ops.reshape(pairs, (*skip.shape[:-1], features.shape[-1]))
        return self.convolve(layer_names.up(level), self.beside(skip, upsampled))

    def beside(self, left, right):
        """Concatenates features with a copy of the left ones.

        The parts of a concatenation have one scale, and so have, through slices, the
        left frames that the state keeps. Without the copy, which a convolution makes,
        each step would round them to another scale and back.
        """
        left = _depthwise(left, [ops.ones((1, 1, left.shape[-1]))])
        return FusedLayers.beside(self, left, right)


def _depthwise(inputs, taps: list):
    """Convolves each feature with taps of its own.

    Args:
        inputs: `(batch, frames, features)`, or with an axis of 1 before frames.
        taps: The taps, each `(1, 1, features)`.
    """
    kernel = ops.concatenate(taps, axis=1)[0, ..., None]
    if len(inputs.shape) == 4:  # (batch, 1, frames, features)
        kernel = kernel[None]
    return ops.depthwise_conv(inputs, kernel)


class TwoPartLayers(FusedLayers):
    """The layers of a stream, with output layers of two int8 kernels.

    Output layers add up few features, which may be large, to a quiet source. The second
    kernel is the rest that the int8 weights of the first one leave, with a scale of its
    own. It is worth its cost where sums have 16 bits.
    """

    def convolve(self, name: str, inputs):
        """Computes a layer, in two parts if it is an output layer.

        Args:
            name: The layer's name.
            inputs: `(batch, frames, features)`.

        Returns:
            `(batch, frames - taps + 1, filters)`.
        """
        if not layer_names.is_output(name):
            return FusedLayers.convolve(self, name, inputs)
        layer = self.layer(name)
        coarse, fine = _two_parts(ops.convert_to_tensor(layer.kernel))
        sums = self._conv(inputs, coarse) + ops.convert_to_tensor(layer.bias)
        return self._activate(layer, sums + self._conv(inputs, fine))


class _TwoPartConvolution(keras.layers.Conv1D):
    """A convolution of two kernels, as those of TwoPartLayers."""

    def call(self, inputs):
        coarse, fine = _two_parts(ops.convert_to_tensor(self.kernel))
        sums = ops.conv(inputs, coarse, padding=self.padding) + self.bias
        return self.activation(sums + ops.conv(inputs, fine, padding=self.padding))


def with_two_part_outputs(network: keras.Model) -> keras.Model:
    """Copies a network of windows, with output layers as those of TwoPartLayers."""

    def copy(layer):
        is_output = layer_names.is_output(layer.name)
        if is_output and isinstance(layer, keras.layers.Conv1D):
            return _TwoPartConvolution.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    copied = keras.models.clone_model(network, clone_function=copy)
    copied.set_weights(network.get_weights())
    return copied


def _two_parts(kernel):
    """Splits a kernel `(taps, channels, filters)`: what int8 can hold, and the rest."""
    largest = ops.max(ops.abs(kernel), axis=(0, 1), keepdims=True)
    step = ops.maximum(largest, 1e-30) / 127  # of a filter without weights, too
    coarse = ops.round(kernel / step) * step
    return coarse, kernel - coarse
