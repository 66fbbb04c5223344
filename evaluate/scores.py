"""museval's JSON files, one a track, as arrays.

Files of all versions of museval and of the submissions to SiSEC 2018 are read: a score
that is NaN, null, infinite or not there is no score, and so NaN.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from waveunet_tf.errors import InputError

METRICS = ("SDR", "ISR", "SIR", "SAR")


@dataclasses.dataclass(frozen=True)
class TrackScores:
    """museval's scores of one track.

    Attributes:
        name: the track's name, which is its file's.
        times: `(frames,)`, the start of each frame in seconds.
        sources: source → metric (of METRICS) → `(frames,)` in dB; NaN: no score.
    """

    name: str
    times: np.ndarray
    sources: dict[str, dict[str, np.ndarray]]


def read_track(path: str | os.PathLike) -> TrackScores:
    """Reads a track's scores.

    Raises:
        InputError: the file is half-written or not museval's, or its sources differ in
            their frames.
        OSError: it cannot be read.
    """
    path = pathlib.Path(path)
    try:
        targets = json.loads(path.read_text(encoding="utf-8"))["targets"]
        frames = {target["name"]: target["frames"] for target in targets}
        if not frames or len(frames) < len(targets):
            raise ValueError("`targets` must have a name each, and be one or more")
        times = {name: _times(frames[name]) for name in frames}
        sources = {
            str(name): {
                metric: np.array([_score(frame["metrics"], metric) for frame in came])
                for metric in METRICS
            }
            for name, came in frames.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        message = f"{path}: must be museval's JSON, but is not: {reason}"
        raise InputError(message) from error
    first = next(iter(times.values()))
    if any(not np.array_equal(other, first) for other in times.values()):
        listing = ", ".join(f"{name}: {len(came)}" for name, came in times.items())
        raise InputError(
            f"{path}: all targets must have the same frames. Received: {listing}"
        )
    return TrackScores(path.stem, first, sources)


def read_system(
    scores_dir: str | os.PathLike,
    *,
    left_out: Callable[[InputError | OSError], Any] | None = None,
) -> dict[str, TrackScores]:
    """Reads all scores of a system.

    Args:
        scores_dir: a folder that has them in it or further below, such as in `test/`.
        left_out: is told of a file that cannot be read, and the others are; by default
            such a file is an error.

    Returns:
        Track's name → scores, sorted by name.

    Raises:
        InputError: there are none, a file is not museval's, or two have the same name.
    """
    return read_files(scores_dir, ".json", "museval's JSON files", read_track, left_out)


def read_files(scores_dir, suffix: str, what: str, read: Callable, left_out) -> dict:
    """Reads one file a track below a folder; see `read_system`.

    Args:
        scores_dir, left_out: see `read_system`.
        suffix: of the files; before it stands the track's name.
        what: what they are called, for errors.
        read: path → what it holds, which has a `name`.
    """
    root = pathlib.Path(scores_dir)
    if not root.is_dir():
        raise InputError(f"{root}: must be a folder of {what}, but is none")
    paths = [path for path in root.rglob(f"*{suffix}") if path.name[0] != "."]
    tracks: dict[str, Any] = {}
    for path in sorted(paths, key=lambda path: (path.name, path)):
        try:
            track = read(path)
            if track.name in tracks:
                raise InputError(
                    f"{path}: tracks must have different names, but there are two of "
                    "this one; name one subset's folder"
                )
            tracks[track.name] = track
        except (InputError, OSError) as error:
            if left_out is None:
                raise
            left_out(error)
    if not tracks:
        raise InputError(f"{root}: must hold {what}, but has none")
    return dict(sorted(tracks.items()))


def _times(frames: list[dict]) -> np.ndarray:
    times = [frame.get("time", number) for number, frame in enumerate(frames)]
    if not all(_is_number(time) and math.isfinite(time) for time in times):
        raise ValueError("`time` must be a number of seconds")
    return np.array(times, np.float64)


def _score(metrics: dict, metric: str) -> float:
    value = metrics.get(metric)
    if value is None:
        return math.nan
    if not _is_number(value):
        raise ValueError(f"{metric} must be a number. Received: {value!r}")
    return float(value) if math.isfinite(value) else math.nan


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
