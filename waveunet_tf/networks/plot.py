"""Draws a network as in the paper's figure 1: levels, skips and sizes."""

from __future__ import annotations

import os

import matplotlib
from matplotlib import pyplot

from waveunet_tf.configs.networks import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.networks import layer_names
from waveunet_tf.networks.description import LayerRow, NetworkDescription
from waveunet_tf.system import files

_WIDTH, _HEIGHT = 1.0, 0.62
_DOWN_X, _MIDDLE_X, _UP_X = 0.0, 0.8, 1.6
_COLORS = {"audio": "#f0f0f0", "down": "#cfe2f3", "up": "#d9ead3", "output": "#fce5cd"}


def plot_network(description: NetworkDescription, path: str | os.PathLike) -> None:
    """Draws a network: the way down on the left, the way up on the right, skips across.

    Args:
        description: The network, from description.describe_network.
        path: The picture to write; its suffix (.png, .svg or .pdf) tells the format.

    Raises:
        OSError: The picture cannot be written.
    """
    matplotlib.use("Agg")
    levels = description.config.num_levels
    figure, axes = pyplot.subplots(figsize=(10, 2.5 + 0.72 * levels))
    _DRAWINGS[description.config.architecture](axes, description)
    axes.set_xlim(-0.6, 2.2)
    axes.set_axis_off()
    figure.tight_layout()
    with files.atomic_file(path) as part:
        figure.savefig(part, dpi=120)
    pyplot.close(figure)


def _draw_wave_u_net(axes, description: NetworkDescription) -> None:
    config, window = description.config, description.window
    rows = {row.name: row for row in description.rows}
    channels = "stereo" if config.channels == 2 else "mono"
    _box(
        axes,
        _DOWN_X,
        1,
        "audio",
        f"mixture, {channels}, {config.sample_rate_hz} Hz\n"
        f"{window.input_frames} frames",
    )
    names = ", ".join(config.sources)
    _box(
        axes,
        _UP_X,
        1,
        "output",
        f"{names}\n{window.output_frames} frames, {config.output_type} output",
    )
    upsampling = {"transposed": "transposed convolution"}.get(
        config.upsampling, f"{config.upsampling} interpolation"
    )
    for level in range(config.num_levels):
        down, up = rows[layer_names.down(level)], rows[layer_names.up(level)]
        _box(axes, _DOWN_X, -level, "down", _sizes(down, config.down_kernel_size))
        _box(axes, _UP_X, -level, "up", _sizes(up, config.up_kernel_size))
        labels = ("decimate", upsampling) if level else ("", "")
        _arrow(axes, (_DOWN_X, -level + 1), (_DOWN_X, -level), labels[0])
        _arrow(axes, (_UP_X, -level), (_UP_X, -level + 1), labels[1])
        _skip(axes, -level, "crop and concatenate" if config.context else "concatenate")
    _skip(axes, 1, "")
    _draw_bottleneck(
        axes,
        config.num_levels,
        _sizes(rows[layer_names.BOTTLENECK], config.down_kernel_size),
        ("decimate", upsampling),
    )
    axes.set_ylim(-config.num_levels - 0.6, 1.6)


def _draw_spectrogram_u_net(axes, description: NetworkDescription) -> None:
    config, window = description.config, description.window
    rows = {row.name: row for row in description.rows}
    source = config.sources[0]
    _box(
        axes,
        _DOWN_X,
        1,
        "audio",
        f"log(1 + |STFT|) of the mixture\n{window.input_frames} frames, "
        f"{config.sample_rate_hz} Hz",
    )
    _box(axes, _UP_X, 1, "output", f"{source}: mask\n(one such U-Net a source)")
    deepest = config.num_levels - 1
    for level in range(deepest):
        down = rows[layer_names.source_down(source, level)]
        up = rows[layer_names.source_up(source, level)]
        _box(axes, _DOWN_X, -level, "down", _sizes(down, "5×5"))
        _box(axes, _UP_X, -level, "up", _sizes(up, "5×5"))
        _arrow(axes, (_DOWN_X, -level + 1), (_DOWN_X, -level), "stride 2")
        _arrow(axes, (_UP_X, -level), (_UP_X, -level + 1), "transposed, stride 2")
        _skip(axes, -level, "concatenate")
    _draw_bottleneck(
        axes,
        deepest,
        _sizes(rows[layer_names.source_down(source, deepest)], "5×5"),
        ("stride 2", "transposed, stride 2"),
    )
    axes.set_ylim(-deepest - 0.6, 1.6)


_DRAWINGS = {
    WaveUNetConfig.architecture: _draw_wave_u_net,
    SpectrogramUNetConfig.architecture: _draw_spectrogram_u_net,
}


def _draw_bottleneck(axes, depth: int, text: str, labels: tuple[str, str]) -> None:
    _box(axes, _MIDDLE_X, -depth, "down", text)
    above = -depth + 1 - _HEIGHT / 2
    axes.plot([_DOWN_X, _DOWN_X], [above, -depth], color="black", lw=1)
    _arrow_between(axes, (_DOWN_X, -depth), (_MIDDLE_X - _WIDTH / 2, -depth))
    axes.plot([_MIDDLE_X + _WIDTH / 2, _UP_X], [-depth, -depth], color="black", lw=1)
    _arrow_between(axes, (_UP_X, -depth), (_UP_X, above))
    for x, label in zip((_DOWN_X, _UP_X), labels):
        axes.text(x, -depth - 0.12, label, fontsize=7, ha="center", va="top")


def _sizes(row: LayerRow, kernel) -> str:
    # [<source>_]<kind>_<level>, or the bottleneck, which has no level.
    kind = ["", *row.name.split("_")][-2] or row.name
    return f"{kind}, kernel {kernel}\n{row.channels} × {row.frames}"


def _box(axes, x: float, y: float, kind: str, text: str) -> None:
    axes.add_patch(
        matplotlib.patches.FancyBboxPatch(
            (x - _WIDTH / 2, y - _HEIGHT / 2),
            _WIDTH,
            _HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.06",
            facecolor=_COLORS[kind],
            edgecolor="black",
        )
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=8)


def _arrow(axes, start: tuple, end: tuple, label: str) -> None:
    """Draws an arrow between boxes, one above the other, with a label beside it."""
    edge = _HEIGHT / 2 if end[1] > start[1] else -_HEIGHT / 2
    _arrow_between(axes, (start[0], start[1] + edge), (end[0], end[1] - edge))
    middle = (start[1] + end[1]) / 2
    axes.text(end[0] + 0.04, middle, label, fontsize=7, va="center")


def _skip(axes, y: float, label: str) -> None:
    start, end = (_DOWN_X + _WIDTH / 2, y), (_UP_X - _WIDTH / 2, y)
    _arrow_between(axes, start, end, linestyle="dashed", color="gray")
    place = {"ha": "center", "va": "bottom"}
    axes.text(_MIDDLE_X, y + 0.03, label, fontsize=7, color="gray", **place)


def _arrow_between(axes, start: tuple, end: tuple, **style) -> None:
    properties = {"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0, **style}
    axes.annotate("", end, start, arrowprops=properties)
