"""A network's layers as functions, upsampling and the convolution after it in one.

Upsampled frames are sums of two neighbours. So the merge convolution over them is one
over the frames before upsampling, of fewer taps: 7 instead of 10 for two frames of the
output, in an output without the upsampled frames, and without their concatenation to
the skip. The weights are the network's own.
"""

from __future__ import annotations

import keras
from keras import ops

from waveunet_tf.configs.networks import NetworkConfig, WaveUNetConfig
from waveunet_tf.networks import layers, shapes


class FusedLayers:
    """The layers of a network that interpolates with context."""

    def __init__(self, config: WaveUNetConfig, network: keras.Model):
        """Takes a network's layers; `shapes.can_stream(config)`."""
        self.config = config
        self.layer = network.get_layer
        self._conv, self._leaky_relu = _conv, None

    def take_fast_gradients(self) -> None:
        """Computes so that gradients are faster on a CPU, where there is no GPU."""
        if keras.backend.backend() != "tensorflow":
            return
        from waveunet_tf.networks import cpu_gradients

        if not cpu_gradients.on_gpu():
            self._conv = cpu_gradients.convolve
            self._leaky_relu = cpu_gradients.leaky_relu

    def convolve(self, name: str, inputs):
        """A layer's convolution, bias and activation."""
        layer = self.layer(name)
        inputs = ops.cast(inputs, layer.compute_dtype)
        sums = self._conv(inputs, _weight(layer, layer.kernel))
        return self._activate(layer, sums + _weight(layer, layer.bias))

    def merge(self, level: int, skip, features):
        """The merge convolution over a skip and features not yet upsampled.

        Args:
            level: which.
            skip: `(batch, frames + taps - 1, skip features)`.
            features: `(batch, frames / 2 + (taps + 1) / 2, features)`, of which the
                output's second frame, and not its first, is at the place of one.
        """
        layer = self.layer(f"up_{level}")
        kernel = _weight(layer, layer.kernel)
        of_skip = skip.shape[-1]
        pairs = self._conv(features, self._pair_kernel(level, kernel[:, of_skip:]))
        merged = self._conv(skip, kernel[:, :of_skip]) + _weight(layer, layer.bias)
        merged += ops.reshape(pairs, ops.shape(merged))
        return self._activate(layer, merged)

    def beside(self, left, right):
        """Features side by side, such as the mixture and the last ones."""
        return ops.concatenate([left, right], axis=-1)

    def _activate(self, layer, sums):
        activation = layer.activation
        if self._leaky_relu and isinstance(activation, keras.layers.LeakyReLU):
            return self._leaky_relu(sums, activation.negative_slope)
        return activation(sums)

    def _pair_kernel(self, level: int, kernel):
        """A kernel that upsamples too, and gives two frames side by side.

        With u the upsampled and f the given features, u[2m + 1] = f[m], and u[2m] is
        what the interpolation puts between f[m - 1] and f[m].

        Args:
            level: of the interpolation.
            kernel: `(taps, features, filters)`, for upsampled features.

        Returns:
            `((taps + 3) / 2, features, 2 * filters)`.
        """
        taps, features, filters = kernel.shape
        interpolation = self.layer(f"upsample_{level}")
        one, zero = (
            ops.full((1, 1, features), value, kernel.dtype) for value in (1.0, 0.0)
        )
        left = interpolation.between(one, zero)[0, 0, :, None]
        right = interpolation.between(zero, one)[0, 0, :, None]
        low_taps = (taps + 3) // 2
        pair = []
        for phase in range(2):
            sums = [ops.zeros((features, filters), kernel.dtype)] * low_taps
            for tap in range(taps):
                # Of the output frame 2m + phase, this tap is on u[2m + offset].
                offset = phase - (taps - 1) + tap
                at = low_taps - 1 + offset // 2  # the tap on f[m + offset // 2]
                if offset % 2:
                    sums[at] += kernel[tap]
                else:
                    sums[at - 1] += left * kernel[tap]
                    sums[at] += right * kernel[tap]
            pair.append(ops.stack(sums))
        return ops.concatenate(pair, axis=-1)

    def outputs(self, features) -> dict:
        """What the output layers give, before clipping and the difference."""
        sources = self.config.sources
        if self.config.output_type == "difference":
            sources = sources[:-1]
        return {
            source: self.convolve(f"output_{source}", features) for source in sources
        }


def training_pass(config: NetworkConfig, network: keras.Model):
    """What `network(mixture, training=True)` gives, as a function, faster if it can be.

    Args:
        config: the network's config.
        network: the network.

    Returns:
        A function of a mixture `(batch, frames, channels)`, of frames that
        `shapes.window_frames` gives, to a dict of sources.
    """
    if not shapes.can_stream(config) or config.down_kernel_size == 1:
        return lambda mixture: network(mixture, training=True)
    fused = FusedLayers(config, network)
    fused.take_fast_gradients()
    decimate = layers.Decimate()

    def of_mixture(mixture):
        features, skips = mixture, []
        for level in range(config.num_levels):
            features = fused.convolve(f"down_{level}", features)
            skips.append(features)
            features = decimate(features, training=True)
        features = fused.convolve("bottleneck", features)
        # Pairs of frames begin before the first one. What is there is of no account,
        # and makes again a frame of no account before the merged ones.
        features = ops.pad(features, ((0, 0), (1, 0), (0, 0)))
        for level in reversed(range(config.num_levels)):
            frames = 2 * (features.shape[1] - (config.up_kernel_size + 1) // 2)
            skip = _window_before(skips[level], frames + config.up_kernel_size - 1)
            features = fused.merge(level, skip, features)
        beside = _window_before(mixture, features.shape[1])
        features = fused.beside(beside, features)
        estimates = {
            source: layers.window(estimate, 1, estimate.shape[1] - 1)
            for source, estimate in fused.outputs(features).items()
        }
        if config.output_type == "difference":
            last = config.sources[-1]
            estimates[last] = network.get_layer(f"output_{last}")(
                [mixture, *estimates.values()], training=True
            )
        return estimates

    return of_mixture


def _window_before(inputs, frames: int):
    """The centre's frames but one, and one before them."""
    start = (inputs.shape[1] - (frames - 1)) // 2 - 1
    return layers.window(inputs, start, frames)


def _weight(layer, variable):
    """A layer's weight as the numbers that it computes with."""
    return ops.cast(ops.convert_to_tensor(variable), layer.compute_dtype)


def _conv(inputs, kernel):
    """Convolves along frames; inputs with an axis of 1 before it keep it."""
    if len(inputs.shape) == 4:
        kernel = kernel[None]
    return ops.conv(inputs, kernel)
