"""BSSEval v4 of a track's stems, computed and written by museval itself."""

from __future__ import annotations

import os
import pathlib
import types

import numpy as np

from waveunet_tf import files
from waveunet_tf.errors import InputError
from waveunet_tf.sigsep import import_sigsep
from waveunet_tf.tracks import Track

# musdb's order, in which museval compares sources.
TARGETS = ("vocals", "drums", "bass", "other", "accompaniment")


def score_track(
    name: str,
    references: dict[str, np.ndarray],
    estimates: dict[str, np.ndarray],
    sample_rate_hz: int,
):
    """Scores the estimates of one track: SDR, ISR, SIR and SAR for every second.

    Args:
        name: the track's name.
        references: target → the true stem, `(frames, channels)`.
        estimates: the same targets, `(frames, channels)` each; a mono estimate of a
            stereo target counts for both channels.
        sample_rate_hz: the sample rate of both in Hz.

    Returns:
        museval's TrackStore: `.scores` is a dict, `.json` museval's JSON.

    Raises:
        InputError: the targets are none of musdb's or fewer than two; an estimate is
            of another length than its target, or no finite number.
    """
    unknown = sorted(set(estimates) - set(TARGETS))
    if unknown or len(estimates) < 2:
        raise InputError(
            f"{name}: estimates must be two or more of {', '.join(TARGETS)}. "
            f"Received: {', '.join(sorted(estimates))}"
        )
    targets = {}
    fitted = {}
    for target in TARGETS:
        if target in estimates:
            reference = references[target]
            fitted[target] = _fit(f"{name}: {target}", estimates[target], reference)
            targets[target] = types.SimpleNamespace(audio=reference)
    track = types.SimpleNamespace(name=name, rate=sample_rate_hz, targets=targets)
    return import_sigsep("museval").eval_mus_track(track, fitted)


def _fit(label: str, estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    if len(estimate) != len(reference):
        raise InputError(
            f"{label}: an estimate must have its target's {len(reference)} frames. "
            f"Received: {len(estimate)}"
        )
    if not np.isfinite(estimate).all():
        raise InputError(f"{label}: an estimate must hold finite samples")
    try:
        return np.broadcast_to(estimate, reference.shape)
    except ValueError:
        raise InputError(
            f"{label}: an estimate must have its target's {reference.shape[1]} "
            f"channels. Received: {estimate.shape[1]}"
        ) from None


def scores_path(output_dir: str | os.PathLike, track: Track) -> pathlib.Path:
    """Where museval writes a track's scores: `<output_dir>/<subset>/<track>.json`."""
    return pathlib.Path(output_dir) / track.subset / f"{track.name}.json"


def write_scores(path: pathlib.Path, scores) -> None:
    """Writes a track's scores as museval does.

    Args:
        path: what scores_path gave.
        scores: what score_track gave.
    """
    scores.validate()
    with files.atomic_file(path) as part:
        part.write_text(scores.json, encoding="utf-8")
