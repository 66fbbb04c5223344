"""What all figures share: style, colours, panels, limits of axes, and files."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from waveunet_tf.system import files

# Okabe and Ito's colours without yellow and black: colour-blind readers can tell them
# apart. A seventh system has the colour of the first.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_MARKERS = "os^vPX"
# Song names are not formulas; identifiers and fonts do not depend on run or machine.
STYLE = {
    "text.parse_math": False,
    "svg.hashsalt": "waveunet-tf",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans"],
}


def save_figure(figure: Figure, stem: str | os.PathLike) -> list[pathlib.Path]:
    """Writes a figure as `<stem>.png` and `<stem>.svg`, both or none.

    The same figure gives the same bytes. The SVG needs no fonts.

    Args:
        figure: The figure.
        stem: The path without a suffix.

    Returns:
        The paths of both files.
    """
    paths = figure_paths(stem)
    with files.atomic_files(paths) as (png, svg), matplotlib.rc_context(STYLE):
        figure.savefig(png, dpi=120)
        figure.savefig(svg, metadata={"Date": None})
    return paths


def figure_paths(*stems: str | os.PathLike) -> list[pathlib.Path]:
    """Returns the files that `save_figure` writes for these paths without suffix."""
    return [
        pathlib.Path(f"{stem}.{suffix}") for stem in stems for suffix in ("png", "svg")
    ]


def make_panels(
    titles: Sequence[str],
    *,
    columns: int,
    size: tuple[float, float],
    heights: tuple[float, ...] = (1,),
) -> tuple[Figure, list[list[Axes]]]:
    """Makes a figure of panels with titles.

    Args:
        titles: The titles, one a panel.
        columns: The highest number of panels side by side.
        size: A panel's width and height in inches.
        heights: The relative heights of a panel's axes, which lie one below the other.

    Returns:
        The figure, and for each panel the list of its axes.
    """
    columns = min(columns, len(titles))
    rows = -(-len(titles) // columns)
    figure = Figure(
        figsize=(columns * size[0], rows * size[1] + 0.6), layout="constrained"
    )
    grid = figure.subplots(
        rows * len(heights), columns, squeeze=False, height_ratios=rows * heights
    )
    for axes in grid.flat:
        axes.grid(alpha=0.3)
    panels = []
    for place in range(rows * columns):
        row, column = divmod(place, columns)
        panel = grid[row * len(heights) : (row + 1) * len(heights), column]
        if place < len(titles):
            panel[0].set_title(titles[place], loc="left", fontsize=11)
            panels.append(list(panel))
        else:
            for axes in panel:
                axes.remove()
    return figure, panels


def axis_limits(groups: Iterable[np.ndarray]) -> tuple[float, float]:
    """Returns the ends of an axis that leaves out outliers, multiples of 5 dB.

    The axis holds each group's mean and Tukey's whiskers: the values within 1.5
    interquartile ranges of the quartiles.

    Args:
        groups: Arrays `(frames,)` in dB, without NaN.
    """
    lows, highs = [], []
    for values in groups:
        if len(values):
            first, third = np.percentile(values, [25, 75])
            reach = 1.5 * (third - first)
            lows += [values[values >= first - reach].min(), values.mean()]
            highs += [values[values <= third + reach].max(), values.mean()]
    if not lows:
        return -5.0, 5.0
    low, high = np.floor(min(lows) / 5) * 5, np.ceil(max(highs) / 5) * 5
    return float(low), float(max(high, low + 5))


def color_of(place: int) -> str:
    """Returns the colour of the system with this number."""
    return COLORS[place % len(COLORS)]


def marker_of(place: int) -> str:
    """Returns the marker of the system with this number."""
    return _MARKERS[place % len(_MARKERS)]


def add_legend(figure: Figure, systems: Iterable[str], *others: Line2D) -> None:
    """Adds a legend below a figure: the systems' colours, and other lines."""
    names = list(systems)
    handles = [
        Line2D([], [], color=color_of(place), lw=6, label="name")
        for place in range(len(names))
    ]
    legend = figure.legend(
        handles=[*handles, *others], loc="outside lower center", ncols=6, frameon=False
    )
    # As labels, matplotlib would leave out names that begin with "_".
    for text, name in zip(legend.get_texts(), names):
        text.set_text(name)
