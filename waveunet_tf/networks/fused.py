"""Computes a network's layers with upsampling and the next convolution in one.

Upsampled frames are sums of two neighbours. So the merge convolution over them equals a
convolution over the frames before upsampling, with fewer taps: 7 instead of 10 for two
frames of the output. The upsampled frames are then never written, nor joined to the
skip. The weights are the network's own.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import ops

from waveunet_tf.configs.networks import NetworkConfig, WaveUNetConfig
from waveunet_tf.networks import layer_names, layers


class FusedLayers:
    """The layers of a network with context and interpolation, as functions.

    Features may have an axis of 1 before their frames, as phones' 2-D convolutions
    have: `(batch, 1, frames, features)`.

    Attributes:
        config: The network's config.
        layer: Returns a layer of the network by its name.
    """

    def __init__(self, config: WaveUNetConfig, network: keras.Model):
        """Takes the layers of a network whose `config.can_stream`."""
        self.config = config
        self.layer = network.get_layer
        self._conv, self._leaky_relu = _conv, None

    def take_fast_gradients(self) -> None:
        """Selects operations with faster gradients, where TensorFlow has no GPU."""
        if keras.backend.backend() != "tensorflow":
            return
        from waveunet_tf.networks import cpu_gradients

        if not cpu_gradients.on_gpu():
            self._conv = cpu_gradients.convolve
            self._leaky_relu = cpu_gradients.leaky_relu

    def convolve(self, name: str, inputs):
        """Computes a layer's convolution, bias and activation.

        Args:
            name: The layer's name.
            inputs: Features `(batch, frames, features)`.

        Returns:
            `(batch, frames - taps + 1, filters)`.
        """
        layer = self.layer(name)
        inputs = ops.cast(inputs, layer.compute_dtype)
        sums = self._conv(inputs, _weight(layer, layer.kernel))
        return self._activate(layer, sums + _weight(layer, layer.bias))

    def merge(self, level: int, skip, features):
        """Computes the merge convolution over a skip and features before upsampling.

        Args:
            level: The level of the skip.
            skip: The cropped skip, `(batch, frames + taps - 1, skip_features)`.
            features: The features from below,
                `(batch, frames / 2 + (taps + 1) / 2, features)`. One of them lies at
                the place of the result's second frame, none at that of the first.

        Returns:
            `(batch, frames, filters)`.
        """
        layer = self.layer(layer_names.up(level))
        kernel = _weight(layer, layer.kernel)
        of_skip = skip.shape[-1]
        pairs = self._conv(features, self._pair_kernel(level, kernel[:, of_skip:]))
        merged = self._conv(skip, kernel[:, :of_skip]) + _weight(layer, layer.bias)
        merged += ops.reshape(pairs, ops.shape(merged))
        return self._activate(layer, merged)

    def beside(self, left, right):
        """Joins two features of the same frames, such as the mixture and the last ones.

        Args:
            left: `(batch, frames, left_features)`.
            right: `(batch, frames, right_features)`.

        Returns:
            `(batch, frames, left_features + right_features)`.
        """
        return ops.concatenate([left, right], axis=-1)

    def outputs(self, features) -> dict:
        """Computes the output layers, without clipping and without the difference.

        Args:
            features: The mixture and the last features, `(batch, frames, features)`.

        Returns:
            Source → `(batch, frames - taps + 1, channels)`.
        """
        return {
            source: self.convolve(layer_names.output(source), features)
            for source in self.config.estimated_sources
        }

    def _activate(self, layer, sums):
        """Applies a layer's activation, with the faster gradient if one is chosen."""
        activation = layer.activation
        if self._leaky_relu and isinstance(activation, keras.layers.LeakyReLU):
            return self._leaky_relu(sums, activation.negative_slope)
        return activation(sums)

    def _pair_kernel(self, level: int, kernel):
        """Makes a kernel that also upsamples, and gives two frames side by side.

        With u the upsampled and f the given features, u[2m + 1] = f[m], and u[2m] is
        the interpolation's value between f[m - 1] and f[m].

        Args:
            level: The level of the interpolation.
            kernel: The kernel for upsampled features, `(taps, features, filters)`.

        Returns:
            `((taps + 3) / 2, features, 2 * filters)`.
        """
        interpolation = self.layer(layer_names.upsample(level))
        one, zero = (
            ops.full((1, 1, kernel.shape[1]), value, kernel.dtype)
            for value in (1.0, 0.0)
        )
        left = interpolation.between(one, zero)[0, 0, :, None]
        right = 1 - left
        # By features of the pair. Each tap of `between` is on two neighbours, each of
        # `given` on the second of them.
        even, odd = kernel[::2], kernel[1::2]
        between = ops.concatenate([even, _pad_taps(odd, 1, 0)], axis=-1)
        given = ops.concatenate([_pad_taps(odd, 0, 1), even], axis=-1)
        of_first = _pad_taps(left * between, 0, 1)
        return of_first + _pad_taps(right * between + given, 1, 0)


def training_pass(config: NetworkConfig, network: keras.Model) -> Callable:
    """Returns the fastest function that equals `network(mixture, training=True)`.

    Args:
        config: The network's config.
        network: The Keras network.

    Returns:
        A function from a mixture `(batch, frames, channels)`, of as many frames as
        `shapes.window_frames` gives, to a dict of sources
        `(batch, output_frames, channels)`.
    """
    # The fused pass begins a frame before the output. Where no kernel on the way down
    # has neighbours, a skip may have no such frame.
    if config.can_stream and config.down_kernel_size > 1:
        return _TrainingPass(config, network)
    return lambda mixture: network(mixture, training=True)


class _TrainingPass:
    """A pass of the network in training, by fused layers with fast gradients.

    Fused layers give pairs of frames, and the first pair begins a frame before the
    output. That frame is computed of padding and is dropped at the end.
    """

    def __init__(self, config: WaveUNetConfig, network: keras.Model):
        self._config, self._network = config, network
        self._decimate = layers.Decimate()
        self._fused = FusedLayers(config, network)
        self._fused.take_fast_gradients()

    def __call__(self, mixture):
        """Computes the sources, not clipped.

        Args:
            mixture: `(batch, frames, channels)`.

        Returns:
            Source → `(batch, output_frames, channels)`.
        """
        features, skips = self._down(mixture)
        features = ops.pad(features, ((0, 0), (1, 0), (0, 0)))
        for level in reversed(range(self._config.num_levels)):
            features = self._up(level, skips[level], features)
        beside = _window_before(mixture, features.shape[1])
        features = self._fused.beside(beside, features)
        estimates = {
            source: layers.window(estimate, 1, estimate.shape[1] - 1)
            for source, estimate in self._fused.outputs(features).items()
        }
        if self._config.has_difference_output:
            last = self._config.sources[-1]
            difference = self._network.get_layer(layer_names.output(last))
            estimates[last] = difference([mixture, *estimates.values()], training=True)
        return estimates

    def _down(self, mixture) -> tuple:
        """Computes the way down: the bottleneck's features, and every level's skip."""
        features, skips = mixture, []
        for level in range(self._config.num_levels):
            features = self._fused.convolve(layer_names.down(level), features)
            skips.append(features)
            features = self._decimate(features, training=True)
        return self._fused.convolve(layer_names.BOTTLENECK, features), skips

    def _up(self, level: int, skip, features):
        """Merges a skip, not cropped yet, and the features from below."""
        taps = self._config.up_kernel_size
        frames = 2 * (features.shape[1] - (taps + 1) // 2)
        skip = _window_before(skip, frames + taps - 1)
        return self._fused.merge(level, skip, features)


def _window_before(inputs, frames: int):
    """Takes the centre of one frame less, as layers.crop does, and one frame before.

    Args:
        inputs: Features `(batch, more_frames, features)`.
        frames: The number of frames to take.

    Returns:
        `(batch, frames, features)`.
    """
    start = (inputs.shape[1] - (frames - 1)) // 2 - 1
    return layers.window(inputs, start, frames)


def _weight(layer, variable):
    """Returns a layer's weight in the type with which the layer computes."""
    return ops.cast(ops.convert_to_tensor(variable), layer.compute_dtype)


def _pad_taps(kernel, before: int, after: int):
    """Puts taps of zeros before and after a kernel's `(taps, features, filters)`."""
    return ops.pad(kernel, ((before, after), (0, 0), (0, 0)))


def _conv(inputs, kernel):
    """Convolves along frames; inputs may have an axis of 1 before them."""
    if len(inputs.shape) == 4:
        kernel = kernel[None]
    return ops.conv(inputs, kernel)
