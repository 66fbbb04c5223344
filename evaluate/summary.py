"""The paper's rank-based statistics of museval's scores (paper, section 5.2).

Nearly silent seconds give extreme outliers of SDR, which dominate a mean; so the paper
reports the median and the median absolute deviation (MAD) beside mean and deviation.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import numpy as np

from waveunet_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Summary:
    """Statistics of one source's frames (seconds) over all tracks, in dB.

    Attributes:
        median: median over all frames that are not NaN.
        mad: median absolute deviation from the median.
        mean: mean of the same frames.
        sd: their standard deviation.
        track_median: median of the tracks' medians.
        frames: frames, NaN included.
        nan_frames: frames without a score (a silent source or estimate).
    """

    median: float
    mad: float
    mean: float
    sd: float
    track_median: float
    frames: int
    nan_frames: int


def score_files(scores_dir: str | os.PathLike) -> list[pathlib.Path]:
    """All of museval's JSON files below a folder.

    Raises:
        InputError: there are none.
    """
    paths = sorted(pathlib.Path(scores_dir).rglob("*.json"))
    if not paths:
        raise InputError(f"{scores_dir}: must hold museval's JSON files, but has none")
    return paths


def summarize(paths: list[pathlib.Path], metric: str = "SDR") -> dict[str, Summary]:
    """Summarises museval's JSON files, one a track.

    Args:
        paths: the files.
        metric: SDR, ISR, SIR or SAR.

    Returns:
        Source → summary.

    Raises:
        InputError: a file is not museval's.
    """
    tracks: dict[str, list[np.ndarray]] = {}
    for path in paths:
        try:
            for target in json.loads(path.read_text(encoding="utf-8"))["targets"]:
                frames = [frame["metrics"][metric] for frame in target["frames"]]
                values = np.array(frames, np.float64)
                tracks.setdefault(target["name"], []).append(values)
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}: must be museval's JSON, but is not: {error}"
            ) from error
    return {source: _summary(values) for source, values in tracks.items()}


def _summary(tracks: list[np.ndarray]) -> Summary:
    frames = np.concatenate(tracks)
    scored = frames[~np.isnan(frames)]
    if not len(scored):
        return Summary(*[np.nan] * 5, len(frames), len(frames))
    median = np.median(scored)
    medians = [np.nanmedian(track) for track in tracks if not np.isnan(track).all()]
    return Summary(
        median=float(median),
        mad=float(np.median(np.abs(scored - median))),
        mean=float(scored.mean()),
        sd=float(scored.std()),
        track_median=float(np.median(medians)),
        frames=len(frames),
        nan_frames=len(frames) - len(scored),
    )


def format_table(systems: dict[str, dict[str, Summary]], metric: str = "SDR") -> str:
    """A table of systems' summaries, one line a system and source.

    Args:
        systems: system → source → summary.
        metric: its name, for the heading.
    """
    columns = ["median", "mad", "mean", "sd", "track_median"]
    lines = [
        f"{metric + ' (dB)':<16} {'source':<14}"
        + "".join(f"{column:>14}" for column in columns)
        + f"{'frames':>8}{'NaN':>6}"
    ]
    for system, summaries in systems.items():
        for source, summary in sorted(summaries.items()):
            lines.append(
                f"{system:<16} {source:<14}"
                + "".join(f"{getattr(summary, column):>14.2f}" for column in columns)
                + f"{summary.frames:>8}{summary.nan_frames:>6}"
            )
    return "\n".join(lines)
