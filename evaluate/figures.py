"""What the figures share: style, colours, panels, ends of axes, and their files."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from waveunet_tf.errors import InputError
from waveunet_tf.system import files

# Okabe and Ito's colours, which the colour-blind can tell apart, but for yellow and
# black. A seventh system gets the first one's.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
_MARKERS = "os^vPX"
# Song names are no formulas; identifiers and fonts do not depend on run or machine.
STYLE = {
    "text.parse_math": False,
    "svg.hashsalt": "waveunet-tf",
    "svg.fonttype": "path",
    "font.family": ["DejaVu Sans"],
}


def save(figure: Figure, stem: str | os.PathLike) -> list[pathlib.Path]:
    """Writes a figure as `<stem>.png` and `<stem>.svg`, both or none.

    The same figure gives the same bytes; the SVG needs no fonts.

    Args:
        figure: what to write.
        stem: the path without a suffix.

    Returns:
        The paths.
    """
    paths = paths_of(stem)
    with files.atomic_files(paths) as (png, svg), matplotlib.rc_context(STYLE):
        figure.savefig(png, dpi=120)
        figure.savefig(svg, metadata={"Date": None})
    return paths


def paths_of(stem: str | os.PathLike) -> list[pathlib.Path]:
    """What `save` writes."""
    return [pathlib.Path(f"{stem}.{suffix}") for suffix in ("png", "svg")]


def require_new(stems: Iterable[str | os.PathLike], overwrite: bool) -> None:
    """Refuses to replace figures.

    Raises:
        InputError: one exists, and `overwrite` is not given.
    """
    for path in (path for stem in stems for path in paths_of(stem)):
        if path.exists() and not overwrite:
            raise InputError(f"{path}: must be a new file, or --overwrite be given")


def make_panels(
    titles: Sequence[str],
    *,
    columns: int,
    size: tuple[float, float],
    heights: tuple[float, ...] = (1,),
) -> tuple[Figure, list[list[Axes]]]:
    """A figure of titled panels of so many axes each, one below the other.

    Args:
        titles: of the panels.
        columns: panels side by side, at most.
        size: a panel's width and height in inches.
        heights: of a panel's axes, in proportion.

    Returns:
        The figure, and a list of each panel's axes.
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
    """Ends of an axis, multiples of 5 dB, that leave out outliers.

    It holds each group's mean and Tukey's whiskers: what is within 1.5 quartile ranges
    of the quartiles.

    Args:
        groups: `(frames,)` in dB each, without NaN.
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
    """The colour of the system with this number."""
    return COLORS[place % len(COLORS)]


def marker_of(place: int) -> str:
    """The marker of the system with this number."""
    return _MARKERS[place % len(_MARKERS)]


def add_legend(figure: Figure, systems: Iterable[str], *others: Line2D) -> None:
    """Puts the systems' colours, and other lines, below a figure."""
    handles = [
        Line2D([], [], color=color_of(place), lw=6, label=name)
        for place, name in enumerate(systems)
    ]
    figure.legend(
        handles=[*handles, *others], loc="outside lower center", ncols=6, frameon=False
    )
