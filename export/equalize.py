"""Rescales channels to one range, for integers that have one scale for a tensor.

Leaky rectifiers are homogeneous, f(x / s) = f(x) / s, and interpolation works channel
by channel. So a feature can be divided by any s > 0 and its consumers' weights
multiplied by it: the network stays the same function. A channel that is far smaller
than the largest of its tensor is then no longer lost in rounding.

Which s: the peaks themselves would make activations alike, but weights unlike, which
are integers, too. As in "SmoothQuant" (Xiao et al., 2023, arXiv 2211.10438, equation
4), s = peak^a / weight^(1 - a), with the largest weight that consumers have for the
channel. Weights have one scale for each filter, so each is relative to the largest of
its filter.
"""

from __future__ import annotations

import keras
import numpy as np

from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.networks import layer_names, shapes
from waveunet_tf.separation import runners

# Frames of one call of the network while peaks are measured.
_HOP_FRAMES = 65536
# Peaks leave out the highest thousandth: clipping it costs less than the range for it.
_QUANTILE = 0.999
# The least peak or weight, for channels that are always silent or that nothing uses.
_TINY = 1e-9


def equalize(
    config: WaveUNetConfig,
    network: keras.Model,
    excerpts: list[np.ndarray],
    exponent: float,
) -> None:
    """Rescales the channels of a network's features; its function stays the same.

    The largest channel of every layer then has a peak of 1, as the mixture may have,
    with which features are concatenated.

    Args:
        config: The network's config.
        network: A network of waveforms; its weights are changed.
        excerpts: Excerpts of music, `(frames, channels)`, on which peaks are measured.
        exponent: The exponent a above: 1 makes peaks equal, 0 makes weights equal.
    """
    kernels = {
        layer.name: _Kernel(layer)
        for layer in network.layers
        if isinstance(layer, (keras.layers.Conv1D, keras.layers.Conv1DTranspose))
    }
    outputs = [name for name in kernels if layer_names.is_output(name)]
    features = [name for name in kernels if name not in outputs]
    for name, peak in _peaks(config, network, features, excerpts).items():
        consumers = [
            (kernels[consumer], slice(first, first + len(peak)))
            for consumer, first in _consumers(config, name, outputs)
        ]
        weight = np.max(
            [kernel.relative(channels) for kernel, channels in consumers], axis=0
        )
        peak, weight = np.maximum(peak, _TINY), np.maximum(weight, _TINY)
        scale = peak**exponent / weight ** (1 - exponent)
        scale *= np.max(peak / scale)
        kernels[name].divide_filters(scale)
        for kernel, channels in consumers:
            kernel.weights[:, channels] *= scale[:, None]
    for kernel in kernels.values():
        kernel.assign()


class _Kernel:
    """A convolution's weights, `(taps, channels, filters)`, and its bias."""

    def __init__(self, layer):
        self._layer = layer
        self._transposed = isinstance(layer, keras.layers.Conv1DTranspose)
        weights, self._bias = (np.array(w, np.float64) for w in layer.get_weights())
        self.weights = weights.swapaxes(1, 2) if self._transposed else weights

    def relative(self, channels: slice) -> np.ndarray:
        """Returns each channel's largest share of a filter's largest, `(channels,)`."""
        largest = np.abs(self.weights).max((0, 1))
        relative = np.abs(self.weights[:, channels]) / np.maximum(largest, 1e-30)
        return relative.max((0, 2))

    def divide_filters(self, scale: np.ndarray) -> None:
        self.weights /= scale
        self._bias /= scale

    def assign(self) -> None:
        weights = self.weights
        weights = weights.swapaxes(1, 2) if self._transposed else weights
        self._layer.set_weights([weights, self._bias])


def _peaks(
    config: WaveUNetConfig,
    network: keras.Model,
    names: list[str],
    excerpts: list[np.ndarray],
) -> dict[str, np.ndarray]:
    """Measures layer → the peak of each of its channels, `(channels,)`."""
    features = {name: network.get_layer(name).output for name in names}
    probe = keras.Model(network.input, (network.output, features))
    peaks = {name: np.zeros(tensor.shape[-1]) for name, tensor in features.items()}

    def engine(mixture):
        sources, values = probe(mixture)
        for name, value in values.items():
            levels = np.abs(keras.ops.convert_to_numpy(value)[0])
            own = np.quantile(levels, _QUANTILE, axis=0)
            peaks[name] = np.maximum(peaks[name], own)
        return sources

    if network.input_shape[1]:
        windows = shapes.windows_of(config, shapes.window_frames(config))
    else:
        windows = shapes.song_windows(config, _HOP_FRAMES)
    for excerpt in excerpts:
        runners.start(config, engine, windows).run(excerpt)
    return peaks


def _consumers(
    config: WaveUNetConfig, name: str, outputs: list[str]
) -> list[tuple[str, int]]:
    """Returns the convolutions that take a layer's features.

    Each is a layer's name and the first of its channels that the features are.
    """
    levels = range(config.num_levels)
    down = {layer_names.down(level): level for level in levels}
    upsample = {layer_names.upsample(level): level for level in levels}
    up = {layer_names.up(level): level for level in levels}
    if name in down:
        level = down[name]
        deepest = level + 1 == config.num_levels
        below = layer_names.BOTTLENECK if deepest else layer_names.down(level + 1)
        return [(below, 0), (layer_names.up(level), 0)]
    if name in upsample:
        level = upsample[name]
        return [(layer_names.up(level), config.base_filters * (level + 1))]
    level = up.get(name, config.num_levels)  # else the bottleneck
    if not level:
        return [(output, config.channels) for output in outputs]
    if config.upsampling == "transposed":
        return [(layer_names.upsample(level - 1), 0)]
    behind_the_skip = config.base_filters * level
    return [(layer_names.up(level - 1), behind_the_skip)]
