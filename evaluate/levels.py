"""Scores by the level of the true source, and without the quietest frames."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from evaluate.energies import TrackEnergies
from evaluate.scores import TrackScores
from waveunet_tf.errors import InputError

BIN_DB = 5.0


class LevelBin(NamedTuple):
    """Statistics of the frames whose true source's level lies in a range.

    Attributes:
        from_dbfs, to_dbfs: the range, without its upper end.
        frames: with a score.
        median, quartiles, mean: of these, in dB.
    """

    from_dbfs: float
    to_dbfs: float
    frames: int
    median: float
    quartiles: tuple[float, float]
    mean: float


class LeftOut(NamedTuple):
    """Mean and median of a metric as the quietest frames are left out.

    Attributes:
        percents: `(points,)`, how many percent of the frames with a score.
        from_dbfs: `(points,)`, the level of the quietest frame that is left.
        means, medians: `(points,)`, of those that are left, in dB.
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
    """The true source's level and the metric of each frame that has a score.

    Args:
        tracks: a system's scores.
        energies: track → energies; tracks without any of the source are left out.
        source: its name.
        metric: of scores.METRICS.

    Returns:
        `(frames,)` in dBFS and `(frames,)` in dB.

    Raises:
        InputError: a track's energies are of other frames than its scores.
    """
    levels, values = [np.zeros(0)], [np.zeros(0)]
    for name, track in tracks.items():
        measured = energies.get(name)
        if not measured or source not in {*track.sources} & {*measured.reference}:
            continue
        came = track.sources[source][metric]
        if measured.frames != len(came):
            raise InputError(
                f"{name}: energies must be of the {len(came)} frames of its scores. "
                f"Received: {measured.frames}"
            )
        level = measured.levels_db(source)
        scored = ~np.isnan(came) & np.isfinite(level)
        levels.append(level[scored])
        values.append(came[scored])
    return np.concatenate(levels), np.concatenate(values)


def bin_by_level(
    levels: np.ndarray, values: np.ndarray, bin_db: float = BIN_DB
) -> list[LevelBin]:
    """Statistics of values in ranges of level, from the quietest to the loudest.

    Args:
        levels: `(frames,)` in dBFS.
        values: `(frames,)` in dB.
        bin_db: how wide a range is; ranges begin at multiples of it.
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
) -> LeftOut:
    """How mean and median move as the quietest frames are left out.

    Args:
        levels: `(frames,)` in dBFS, one frame or more.
        values: `(frames,)` in dB.
        percents: `(points,)`, how many percent of the frames, below 100.
    """
    order = np.argsort(levels, kind="stable")
    firsts = (np.asarray(percents) / 100 * len(order)).astype(int)
    return LeftOut(
        np.asarray(percents),
        levels[order[firsts]],
        np.array([values[order[first:]].mean() for first in firsts]),
        np.array([np.median(values[order[first:]]) for first in firsts]),
    )


COLUMNS = (
    *("system", "source", "metric", "from_dbfs", "to_dbfs", "frames"),
    *("median", "low_quartile", "high_quartile", "mean"),
)


def rows(
    systems: dict[str, dict[str, TrackScores]],
    energies: dict[str, dict[str, TrackEnergies]],
    metrics: list[str],
    *,
    bin_db: float = BIN_DB,
) -> list[dict]:
    """A table's rows, by COLUMNS: one a metric, system, source and range of level.

    Args:
        systems: system → track → scores.
        energies: system → track → energies; tracks without any are left out.
        metrics: of scores.METRICS.
        bin_db: see `bin_by_level`.

    Raises:
        InputError: see `levels_and_values`.
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
