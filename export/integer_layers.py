"""A network's layers for integer arithmetic, which rounds every layer's results."""

from __future__ import annotations

import keras
from keras import ops

from waveunet_tf.networks import layer_names
from waveunet_tf.networks.fused import FusedLayers

# AutoGraph, which reads these functions, knows no super().


class IntegerLayers(FusedLayers):
    """Layers of a stream whose sums are rounded once.

    A merge convolution in two parts rounds both and then their sum, which is smaller
    where they cancel. So features are upsampled and put beside the skip after all, as
    in the network: some more multiply-adds, and as few weights.
    """

    def __init__(self, config, network, *, first_level: int = 0):
        """Takes a network's layers; those of levels below `first_level` stay as are."""
        super().__init__(config, network)
        self._first_level = first_level

    def merge(self, level: int, skip, features):
        """See FusedLayers.merge."""
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
        """See FusedLayers.beside.

        What is side by side has one scale. So had, through slices, what is remembered
        of the left, and each step would round it to another one and back, were it not
        for a convolution, which only copies.
        """
        left = _depthwise(left, [ops.ones((1, 1, left.shape[-1]))])
        return FusedLayers.beside(self, left, right)


def _depthwise(inputs, taps: list):
    """Convolves each feature with its own taps, `(1, 1, features)` each."""
    kernel = ops.concatenate(taps, axis=1)[0, ..., None]
    if len(inputs.shape) == 4:  # see StreamingNetwork.step
        kernel = kernel[None]
    return ops.depthwise_conv(inputs, kernel)


class TwoPartLayers(FusedLayers):
    """Layers of a stream whose output layers have int8 weights of 16 bits.

    They add up few features, that may be large, to a quiet voice. What int8 weights
    leave of a kernel is a second kernel, with a scale of its own, over the same
    features: worth it where the sum of both has 16 bits.
    """

    def convolve(self, name: str, inputs):
        """See FusedLayers.convolve."""
        if not layer_names.is_output(name):
            return FusedLayers.convolve(self, name, inputs)
        layer = self.layer(name)
        coarse, fine = _two_parts(ops.convert_to_tensor(layer.kernel))
        sums = self._conv(inputs, coarse) + ops.convert_to_tensor(layer.bias)
        return self._activate(layer, sums + self._conv(inputs, fine))


class _TwoPartConvolution(keras.layers.Conv1D):
    """The same for a network that is no stream."""

    def call(self, inputs):
        coarse, fine = _two_parts(ops.convert_to_tensor(self.kernel))
        sums = ops.conv(inputs, coarse, padding=self.padding) + self.bias
        return self.activation(sums + ops.conv(inputs, fine, padding=self.padding))


def with_two_part_outputs(network: keras.Model) -> keras.Model:
    """A copy of a network, for windows, whose output layers are as TwoPartLayers'."""

    def copy(layer):
        is_output = layer_names.is_output(layer.name)
        if is_output and isinstance(layer, keras.layers.Conv1D):
            return _TwoPartConvolution.from_config(layer.get_config())
        return layer.__class__.from_config(layer.get_config())

    copied = keras.models.clone_model(network, clone_function=copy)
    copied.set_weights(network.get_weights())
    return copied


def _two_parts(kernel):
    """A kernel of what int8 weights can hold, `(taps, channels, filters)`; the rest."""
    step = ops.max(ops.abs(kernel), axis=(0, 1), keepdims=True) / 127
    coarse = ops.round(kernel / step) * step
    return coarse, kernel - coarse
