"""Counts a network's weights, work and memory, layer by layer."""

from __future__ import annotations

import dataclasses

import keras

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.networks import layer_names, shapes
from waveunet_tf.networks.build import build_network

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
)


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """A layer with weights, in one window of training.

    Attributes:
        name: The layer's name.
        frames: The frames of its output; of a spectrogram, steps × bins.
        channels: The features of its output.
        parameters: The number of its weights, with those of a normalization after it.
        multiply_adds: The number of multiply-adds of a window.
    """

    name: str
    frames: int
    channels: int
    parameters: int
    multiply_adds: int

    @property
    def bytes(self) -> int:
        """The size of its output in float32."""
        return 4 * self.frames * self.channels


@dataclasses.dataclass(frozen=True)
class NetworkDescription:
    """A network's layers, and their sums.

    Attributes:
        config: The network's config.
        window: The frames of a window of training.
        rows: The layers with weights, in the order of computation, source by source if
            every source has a network of its own.
    """

    config: NetworkConfig
    window: shapes.WindowFrames
    rows: tuple[LayerRow, ...]

    @property
    def parameters(self) -> int:
        """The number of weights."""
        return sum(row.parameters for row in self.rows)

    @property
    def multiply_adds_per_second(self) -> float:
        """The multiply-adds for a second of output, in windows of training."""
        window = sum(row.multiply_adds for row in self.rows)
        return window * self.config.sample_rate_hz / self.window.output_frames

    @property
    def streaming_multiply_adds_per_second(self) -> float | None:
        """The multiply-adds for a second of a stream, which computes each frame once.

        None for a network that cannot stream.
        """
        if not self.config.can_stream:
            return None
        levels = {layer_names.BOTTLENECK: self.config.num_levels}
        for level in range(self.config.num_levels):
            for name in (layer_names.down, layer_names.upsample, layer_names.up):
                levels[name(level)] = level
        return self.config.sample_rate_hz * sum(
            row.multiply_adds / row.frames / 2 ** levels.get(row.name, 0)
            for row in self.rows
        )


def describe_network(config: NetworkConfig) -> NetworkDescription:
    """Counts the weights, work and memory of a network in one window of training.

    Args:
        config: The network's config.
    """
    window = shapes.window_frames(config)
    network = build_network(config, frames=window.input_frames, batch_size=1)
    rows = {}
    for layer in network.layers:
        if isinstance(layer, _CONVOLUTIONS):
            rows[layer.name] = _convolution_row(layer)
        elif layer.weights:
            row = _elementwise_row(layer)
            convolution = rows.get(layer_names.normalized(layer.name))
            if convolution:  # a normalization counts with its convolution
                row = dataclasses.replace(
                    convolution,
                    parameters=convolution.parameters + row.parameters,
                    multiply_adds=convolution.multiply_adds + row.multiply_adds,
                )
            rows[row.name] = row
    if config.has_spectrogram:  # Keras lists the sources' networks level by level
        ordered = [rows[name] for name in _mask_layers(config)]
    else:
        ordered = rows.values()
    return NetworkDescription(config, window, tuple(ordered))


def _mask_layers(config: NetworkConfig) -> list[str]:
    """Lists the convolutions to the masks, one source after the other."""
    names = []
    for source in config.sources:
        for level in range(config.num_levels):
            names.append(layer_names.source_down(source, level))
        for level in reversed(range(config.num_levels - 1)):
            names.append(layer_names.source_up(source, level))
        names.append(layer_names.mask(source))
    return names


def _convolution_row(layer: keras.layers.Layer) -> LayerRow:
    *places, channels = layer.output.shape[1:]
    frames = _product(places)
    # The whole kernel is used at each place of the output or, in a transposed
    # convolution, at each place of the input.
    transposed = "Transpose" in type(layer).__name__
    kernel_places = _product(layer.input.shape[1:-1]) if transposed else frames
    return LayerRow(
        layer.name,
        frames,
        channels,
        layer.count_params(),
        kernel_places * _product(layer.kernel.shape),
    )


def _elementwise_row(layer: keras.layers.Layer) -> LayerRow:
    """Counts a normalization or a learned interpolation: one product for each value."""
    *places, channels = layer.output.shape[1:]
    frames = _product(places)
    return LayerRow(
        layer.name, frames, channels, layer.count_params(), frames * channels
    )


def _product(numbers) -> int:
    product = 1
    for number in numbers:
        product *= int(number)
    return product


def format_description(description: NetworkDescription) -> str:
    """Formats a description as text: a table of the layers, and the sums below it."""
    config, window = description.config, description.window
    seconds = config.sample_rate_hz
    rate = config.sample_rate_hz / window.output_frames / 1e6
    lines = [
        f"{'layer':<24}{'frames':>10}{'channels':>10}{'parameters':>12}"
        f"{'M mult-adds/s':>15}{'MiB':>8}"
    ]
    for row in description.rows:
        lines.append(
            f"{row.name:<24}{row.frames:>10}{row.channels:>10}{row.parameters:>12}"
            f"{row.multiply_adds * rate:>15.1f}{row.bytes / 2**20:>8.2f}"
        )
    work = description.multiply_adds_per_second
    activations = sum(row.bytes for row in description.rows)
    lines += [
        "",
        f"{'parameters':<28}{description.parameters} "
        f"({4 * description.parameters / 2**20:.1f} MiB in float32)",
        f"{'window in':<28}{window.input_frames} frames, "
        f"{window.input_frames / seconds:.3f} s at {seconds} Hz",
        f"{'window out':<28}{window.output_frames} frames, "
        f"{window.output_frames / seconds:.3f} s",
        f"{'context on each side':<28}{window.context_frames} frames, "
        f"{window.context_frames / seconds:.3f} s",
        f"{'multiply-adds':<28}{work / 1e9:.2f} G for a second of output, in windows "
        "of training",
        f"{'outputs of these layers':<28}{activations / 2**20:.1f} MiB a window, in "
        "float32",
    ]
    streaming = description.streaming_multiply_adds_per_second
    if streaming:
        lines.append(f"{'':<28}{streaming / 1e9:.2f} G as a stream")
    return "\n".join(lines)
