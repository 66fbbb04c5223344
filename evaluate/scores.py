"""museval's JSON files, one a track, as arrays.

Files of all versions of museval and of the submissions to SiSEC 2018 are read. A score
that is missing, null, NaN or infinite is no score, and becomes NaN.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from waveunet_tf.errors import InputError

METRICS = ("SDR", "ISR", "SIR", "SAR")
_Track = TypeVar("_Track")


@dataclasses.dataclass(frozen=True)
class TrackScores:
    """museval's scores of one track.

    Attributes:
        name: The track's name, which is its file's.
        times: `(frames,)`, the start of each frame in seconds.
        sources: Source → metric (of METRICS) → `(frames,)` in dB; NaN: no score.
    """

    name: str
    times: np.ndarray
    sources: dict[str, dict[str, np.ndarray]]


def read_track_scores(path: str | os.PathLike) -> TrackScores:
    """Reads a track's scores.

    Args:
        path: museval's file.

    Raises:
        InputError: The file is half-written or not museval's, or its sources differ in
            their frames.
        OSError: The file cannot be read.
    """
    path = pathlib.Path(path)
    try:
        targets = json.loads(path.read_text(encoding="utf-8"))["targets"]
        frames = {target["name"]: target["frames"] for target in targets}
        if not frames or len(frames) < len(targets):
            raise ValueError("`targets` must be one or more, and their names differ")
        times = {name: _times(frames[name]) for name in frames}
        sources = {
            str(name): {
                metric: np.array([_score(frame["metrics"], metric) for frame in own])
                for metric in METRICS
            }
            for name, own in frames.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        message = f"{path}: must be museval's JSON, but is not: {reason}"
        raise InputError(message) from error
    first = next(iter(times.values()))
    if any(not np.array_equal(other, first) for other in times.values()):
        listing = ", ".join(f"{name}: {len(own)}" for name, own in times.items())
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
        scores_dir: A folder of the files, or of folders with them, such as `test/`.
        left_out: Called with the error of each file that cannot be read, which is then
            left out. By default the first error is raised.

    Returns:
        The track's name → its scores, sorted by name.

    Raises:
        InputError: The folder has no scores, a file is not museval's, or two files have
            the same name.
    """
    return read_track_files(
        scores_dir, ".json", "museval's JSON files", read_track_scores, left_out
    )


def find_track_files(folder: pathlib.Path, suffix: str) -> list[pathlib.Path]:
    """Lists the files of tracks in a folder and those in it, by name; follows links.

    Args:
        folder: The folder.
        suffix: The end of the files' names.
    """
    paths, seen = [], set()
    for place, inside, names in os.walk(folder, followlinks=True):
        inside.sort()
        if (real := os.path.realpath(place)) in seen:  # Two links may lead to one.
            inside.clear()
            continue
        seen.add(real)
        paths += [pathlib.Path(place, name) for name in names if name[0] != "."]
    paths = [path for path in paths if path.name.endswith(suffix)]
    return sorted(paths, key=lambda path: (path.name, path))


def read_track_files(
    folder: str | os.PathLike,
    suffix: str,
    what: str,
    read: Callable[[pathlib.Path], _Track],
    left_out: Callable[[InputError | OSError], Any] | None,
) -> dict[str, _Track]:
    """Reads one file a track, from a folder and the folders in it.

    Args:
        folder: The folder.
        suffix: The end of the files' names, after the track's name.
        what: The files' name in errors.
        read: Reads a file; the result has a `name`.
        left_out: Called with the error of each file that cannot be read; None: the
            first error is raised.

    Returns:
        The track's name → what its file holds, sorted by name.

    Raises:
        InputError: The folder has no such files, one is wrong, or two have the same
            name.
        OSError: A file cannot be read.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: must be a folder of {what}, but is none")
    tracks: dict[str, Any] = {}
    for path in find_track_files(root, suffix):
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
    if isinstance(value, int) and abs(value) >= 2**1023:
        return False  # It is beyond a float.
    return isinstance(value, (int, float)) and not isinstance(value, bool)
