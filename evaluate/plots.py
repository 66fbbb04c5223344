"""Figures of museval's scores: distributions, over time, and by the sources' level.

A system has the same colour in all figures. SDR has outliers of −60 dB, which would
leave no room for the rest. So axes of single frames end at `figures.axis_limits`, and
marks at their edges show the frames beyond. The `gid` of an artist says what it shows.
"""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from waveunet_tf.errors import InputError, printable
from waveunet_tf.evaluate import figures, levels
from waveunet_tf.evaluate.scores import TrackScores
from waveunet_tf.evaluate.systems import Energies, Systems

_MOST_LEFT_OUT_PERCENT = 90
_MEAN = {"ls": "", "marker": "D", "mfc": "white", "mec": "black", "ms": 6}


def sources_of(systems: Systems) -> list[str]:
    """Returns the names of all sources that have scores in any system, sorted."""
    tracks = [track for system in systems.values() for track in system.values()]
    return sorted({source for track in tracks for source in track.sources})


def frame_values(
    tracks: dict[str, TrackScores], source: str, metric: str
) -> np.ndarray:
    """Returns all frames of a system's source, NaN included.

    Args:
        tracks: Track → the system's scores.
        source: The source's name.
        metric: One of scores.METRICS.

    Returns:
        `(frames,)` in dB.
    """
    values = [
        track.sources[source][metric]
        for track in tracks.values()
        if source in track.sources
    ]
    return np.concatenate([np.zeros(0), *values])


@matplotlib.rc_context(figures.STYLE)
def sdr_distributions(systems: Systems, metric: str = "SDR") -> Figure:
    """Draws a violin of all frames for each source and system.

    Each violin shows its median, quartiles and mean.

    Args:
        systems: System → track → scores.
        metric: One of scores.METRICS.
    """
    sources = sources_of(systems)
    values = {
        (source, system): frame_values(tracks, source, metric)
        for source in sources
        for system, tracks in systems.items()
    }
    scored = {key: own[~np.isnan(own)] for key, own in values.items()}
    low, high = figures.axis_limits(scored.values())
    rows = len(sources) * (0.6 * len(systems) + 0.5)
    figure = Figure(figsize=(9, 1.2 + rows), layout="constrained")
    panels = figure.subplots(len(sources), 1, sharex=True, squeeze=False)[:, 0]
    for axes, source in zip(panels, sources):
        for place, system in enumerate(systems):
            own = scored[source, system]
            _draw_violin(axes, place, own, (low, high), figures.color_of(place))
            unscored = len(values[source, system]) - len(own)
            text = f"{len(values[source, system])} frames,\n{unscored} without score"
            _note(axes, 1.01, place, text)
        axes.set_yticks(range(len(systems)), list(systems))
        axes.set_ylim(len(systems) - 0.5, -0.5)  # the first system above
        axes.set_title(source, loc="left", fontsize=11)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_xlim(low, high)
    panels[-1].set_xlabel(f"{metric} of a frame (dB); ◀ ▶ frames beyond the axis")
    figure.legend(
        handles=[
            Line2D([], [], color="black", lw=2, label="median"),
            Line2D([], [], color="black", lw=5, alpha=0.5, label="quartiles"),
            Line2D([], [], label="mean", **_MEAN),
        ],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    return figure


def _draw_violin(axes, place: int, values: np.ndarray, limits, color: str) -> None:
    """Draws one violin along the x axis, from values `(frames,)` in dB."""
    if not len(values):
        _note(axes, 0.5, place, "no frame has a score", ha="center")
        return
    low, high = limits
    at = np.linspace(low, high, 300)
    density = _density(values, at)
    half = 0.42 * density / density.max()
    axes.fill_between(
        at, place - half, place + half, color=color, alpha=0.6, lw=0, gid="violin"
    )
    first, median, third = np.percentile(values, [25, 50, 75])
    axes.hlines(place, first, third, color="black", lw=5, alpha=0.5, gid="quartiles")
    axes.vlines(
        median, place - 0.3, place + 0.3, color="black", lw=2, gid="median", zorder=3
    )
    axes.plot(values.mean(), place, gid="mean", zorder=4, **_MEAN)
    for text, count, x, side in (
        ("◀ {}", np.count_nonzero(values < low), 0.005, "left"),
        ("{} ▶", np.count_nonzero(values > high), 0.995, "right"),
    ):
        if count:
            _note(axes, x, place + 0.32, text.format(count), ha=side, gid="beyond")


def _note(axes, share: float, y: float, text: str, **style) -> None:
    """Writes small text at a share of the axes' width and a height of the data."""
    axes.annotate(
        text,
        (share, y),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=8,
        **style,
    )


def _density(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Computes a Gaussian kernel density with Silverman's robust bandwidth.

    The bandwidth is 0.2 dB or more.

    Args:
        values: `(frames,)` in dB.
        at: `(points,)` in dB, where the density is computed.
    """
    first, third = np.percentile(values, [25, 75])
    spread = min(values.std(), (third - first) / 1.34)
    bandwidth = max(0.9 * spread * len(values) ** -0.2, 0.2)
    distance = (at[:, None] - values) / bandwidth
    return np.exp(-0.5 * distance**2).mean(axis=1) / (bandwidth * np.sqrt(2 * np.pi))


@matplotlib.rc_context(figures.STYLE)
def sdr_over_time(systems: Systems, track: str, metric: str = "SDR") -> Figure:
    """Draws a line for each system over a track's seconds, one panel a source.

    Frames without a score are gaps. Triangles at an axis' edge are frames beyond it.

    Args:
        systems: System → track → scores; systems without the track are left out.
        track: The track's name.
        metric: One of scores.METRICS.

    Raises:
        InputError: No system has the track.
    """
    having = {
        name: {track: own[track]} for name, own in systems.items() if track in own
    }
    if not having:
        raise InputError(f"`track` must be one that a system has. Received: {track}")
    sources = sources_of(having)
    figure, panels = figures.make_panels(sources, columns=1, size=(10, 2.4))
    for (axes,), source in zip(panels, sources):
        lines = {
            place: (
                having[name][track].times,
                frame_values(having[name], source, metric),
            )
            for place, name in enumerate(systems)
            if name in having and source in having[name][track].sources
        }
        low, high = figures.axis_limits(
            [line[~np.isnan(line)] for _, line in lines.values()]
        )
        for place, (times, line) in lines.items():
            color = figures.color_of(place)
            axes.plot(times, line, ".-", color=color, lw=1, ms=3, gid="line")
            for beyond, edge, marker in (
                (line < low, low, "v"),
                (line > high, high, "^"),
            ):
                if beyond.any():
                    edges = np.full(np.count_nonzero(beyond), edge)
                    axes.plot(
                        times[beyond], edges, marker, color=color, ms=8, gid="beyond"
                    )[0].set_clip_on(False)
        axes.set_ylim(low, high)
        axes.margins(x=0.01)
        axes.set_ylabel(f"{metric} (dB)")
    panels[-1][0].set_xlabel("start of the frame (s); ▼ ▲ frames beyond the axis")
    figure.suptitle(printable(track), x=0.01, ha="left", fontsize=11)
    figures.add_legend(figure, systems)
    return figure


@matplotlib.rc_context(figures.STYLE)
def sdr_by_energy(systems: Systems, energies: Energies, metric: str = "SDR") -> Figure:
    """Draws median, quartiles and mean by the true source's level, one panel a source.

    Bars below each panel count the frames in each range of level.

    Args:
        systems: System → track → scores.
        energies: System → track → energies, of which only the true sources' are used.
        metric: One of scores.METRICS.

    Raises:
        InputError: Energies and scores have different frames, or no track and source
            in common.
    """
    sources = _by_source(systems, energies, metric)
    figure, panels = figures.make_panels(
        list(sources), columns=2, size=(7, 4.5), heights=(3, 1)
    )
    width = levels.BIN_DB / (len(systems) + 1)  # of a system's bar in a range
    for (axes, counts), pairs in zip(panels, sources.values()):
        for place, pair in enumerate(pairs):
            bins = levels.bin_by_level(*pair)
            at = [each.from_dbfs + width * (place + 1) for each in bins]
            color = figures.color_of(place)
            quartiles = np.array([each.quartiles for each in bins]).reshape(-1, 2)
            axes.vlines(at, *quartiles.T, color=color, lw=2, alpha=0.6)
            line = {"lw": 1, "marker": figures.marker_of(place), "ms": 4}
            medians = [each.median for each in bins]
            axes.plot(at, medians, color=color, gid="median", **line)
            means = [each.mean for each in bins]
            axes.plot(at, means, "x", color=color, ms=4, gid="mean")
            frames = [each.frames for each in bins]
            counts.bar(at, frames, width, color=color, gid="frames")
        axes.set_ylabel(f"{metric} (dB)")
        axes.sharex(counts)
        axes.tick_params(labelbottom=False)
        counts.set_ylabel("frames")
        counts.set_xlabel(
            f"level of the true source (dBFS), in ranges of {levels.BIN_DB:g} dB"
        )
        counts.xaxis.set_major_locator(MaxNLocator(10, steps=[5, 10]))
        counts.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    figures.add_legend(
        figure,
        systems,
        Line2D([], [], color="gray", marker="o", label="median"),
        Line2D([], [], color="gray", lw=2, alpha=0.6, label="quartiles"),
        Line2D([], [], ls="", color="gray", marker="x", label="mean"),
    )
    return figure


@matplotlib.rc_context(figures.STYLE)
def quietest_left_out(
    systems: Systems, energies: Energies, metric: str = "SDR"
) -> Figure:
    """Draws mean and median as the quietest x % of frames are left out.

    Args:
        systems: System → track → scores.
        energies: System → track → energies, of which only the true sources' are used.
        metric: One of scores.METRICS.

    Raises:
        InputError: Energies and scores have different frames, or no track and source
            in common.
    """
    sources = _by_source(systems, energies, metric)
    figure, panels = figures.make_panels(list(sources), columns=2, size=(7, 3.5))
    percents = np.linspace(0, _MOST_LEFT_OUT_PERCENT, 2 * _MOST_LEFT_OUT_PERCENT + 1)
    for (axes,), pairs in zip(panels, sources.values()):
        for place, pair in enumerate(pairs):
            if len(pair[0]):
                curve = levels.leave_out_quietest(*pair, percents)
                style = {"color": figures.color_of(place)}
                axes.plot(percents, curve.medians, lw=2, gid="median", **style)
                axes.plot(percents, curve.means, "--", lw=1.5, gid="mean", **style)
        axes.set_xlim(0, _MOST_LEFT_OUT_PERCENT)
        axes.set_xlabel("quietest frames left out (% of those with a score)")
        axes.set_ylabel(f"{metric} of the others (dB)")
    figures.add_legend(
        figure,
        systems,
        Line2D([], [], color="gray", lw=2, label="median"),
        Line2D([], [], color="gray", lw=1.5, ls="--", label="mean"),
    )
    return figure


def _by_source(
    systems: Systems, energies: Energies, metric: str
) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Returns each source's levels and values in each system.

    Sources without any are left out.

    Raises:
        InputError: Energies and scores have different frames, or no track and source
            in common.
    """
    sources = {
        source: [
            levels.levels_and_values(tracks, energies.get(system, {}), source, metric)
            for system, tracks in systems.items()
        ]
        for source in sources_of(systems)
    }
    found = {
        source: pairs
        for source, pairs in sources.items()
        if any(len(values) for _, values in pairs)
    }
    if not found:
        raise InputError(
            "`energies` must be of tracks and sources of the systems that have scores, "
            "but are of none"
        )
    return found
