"""Scores by the true source's level, and scores without the quietest frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from waveunet_tf.errors import InputError
from waveunet_tf.evaluate.energies import TrackEnergies
from waveunet_tf.evaluate.scores import TrackScores

BIN_DB = 5.0


class LevelBin(NamedTuple):
    """Statistics of the frames in which the true source's level is in a range.

    Attributes:
        from_dbfs: The lower end of the range.
        to_dbfs: The upper end, which is not in the range.
        frames: The number of frames with a score.
        median: The median of their scores in dB.
        quartiles: The first and third quartile in dB.
        mean: The mean in dB.
    """

    from_dbfs: float
    to_dbfs: float
    frames: int
    median: float
    quartiles: tuple[float, float]
    mean: float


class LouderFrames(NamedTuple):
    """Mean and median of a metric as the quietest frames are left out.

    Attributes:
        percents: `(points,)`, the share left out, in percent of the frames with a
            score.
        from_dbfs: `(points,)`, the level of the quietest remaining frame.
        means: `(points,)`, the mean of the remaining frames in dB.
        medians: `(points,)`, their median in dB.
    """

    percents: np.ndarray
    from_dbfs: np.ndarray
    means: np.ndarray
    medians: np.ndarray


def levels_and_values(
    tracks: dict[str, TrackScores],
    energies: dict[str, TrackEnergies],
    source: str,
    metric: str = "SDR",
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the true source's level and the metric of each frame with a score.

    Args:
        tracks: Track → a system's scores.
        energies: Track → energies; tracks without energies of the source are left out.
        source: The source's name.
        metric: One of scores.METRICS.

    Returns:
        The levels, `(frames,)` in dBFS, and the values, `(frames,)` in dB.

    Raises:
        InputError: A track's energies and scores have different frames.
    """
    levels, values = [np.zeros(0)], [np.zeros(0)]
    for name, track in tracks.items():
        measured = energies.get(name)
        if not measured or source not in {*track.sources} & {*measured.reference}:
            continue
        own = track.sources[source][metric]
        if measured.frames != len(own):
            raise InputError(
                f"{name}: energies must be of the {len(own)} frames of its scores. "
                f"Received: {measured.frames}"
            )
        level = measured.levels_db(source)
        scored = ~np.isnan(own) & np.isfinite(level)
        levels.append(level[scored])
        values.append(own[scored])
    return np.concatenate(levels), np.concatenate(values)


def bin_by_level(
    levels: np.ndarray, values: np.ndarray, bin_db: float = BIN_DB
) -> list[LevelBin]:
    """Returns statistics in ranges of level, from the quietest to the loudest.

    Args:
        levels: `(frames,)` in dBFS.
        values: `(frames,)` in dB.
        bin_db: The width of a range, which begins at a multiple of it.
    """
    numbers = np.floor(levels / bin_db).astype(int)
    bins = []
    for number in np.unique(numbers):
        inside = values[numbers == number]
        low, median, high = np.percentile(inside, [25, 50, 75])
        bins.append(
            LevelBin(
                number * bin_db,
                (number + 1) * bin_db,
                len(inside),
                median,
                (low, high),
                inside.mean(),
            )
        )
    return bins


def leave_out_quietest(
    levels: np.ndarray, values: np.ndarray, percents: np.ndarray
) -> LouderFrames:
    """Computes mean and median without the quietest frames.

    Args:
        levels: `(frames,)` in dBFS, one frame or more.
        values: `(frames,)` in dB.
        percents: `(points,)`, the shares to leave out in percent, below 100.
    """
    order = np.argsort(levels, kind="stable")
    # The product first: 29 / 100 × 100 would be a bit less than 29.
    firsts = (np.asarray(percents) * len(order) / 100).astype(int)
    return LouderFrames(
        np.asarray(percents),
        levels[order[firsts]],
        np.array([values[order[first:]].mean() for first in firsts]),
        np.array([np.median(values[order[first:]]) for first in firsts]),
    )


LEVEL_COLUMNS = (
    *("system", "source", "metric", "from_dbfs", "to_dbfs", "frames"),
    *("median", "low_quartile", "high_quartile", "mean"),
)


def level_rows(
    systems: dict[str, dict[str, TrackScores]],
    energies: dict[str, dict[str, TrackEnergies]],
    metrics: list[str],
    *,
    bin_db: float = BIN_DB,
) -> list[dict]:
    """Returns a table's rows: one a metric, system, source and range of level.

    Args:
        systems: System → track → scores.
        energies: System → track → energies; tracks without energies are left out.
        metrics: Some of scores.METRICS.
        bin_db: The width of a range.

    Returns:
        Rows with the keys LEVEL_COLUMNS.

    Raises:
        InputError: A track's energies and scores have different frames.
    """
    rows = []
    for metric in metrics:
        for system, tracks in systems.items():
            for source in sorted(
                {name for own in tracks.values() for name in own.sources}
            ):
                pairs = levels_and_values(tracks, energies[system], source, metric)
                for level in bin_by_level(*pairs, bin_db=bin_db):
                    values = {**level._asdict(), "metric": metric}
                    low, high = values.pop("quartiles")
                    values.update(low_quartile=low, high_quartile=high)
                    rows.append({"system": system, "source": source, **values})
    return rows
