"""BSSEval v4 of a track's stems, computed by museval itself."""

from __future__ import annotations

import types

import numpy as np
import threadpoolctl

from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError

# musdb's order, in which museval compares sources.
TARGETS = ("vocals", "drums", "bass", "other", "accompaniment")


def score_track(
    name: str,
    references: dict[str, np.ndarray],
    estimates: dict[str, np.ndarray],
    sample_rate_hz: int,
    *,
    threads: int | None = None,
):
    """Scores the estimates of one track: SDR, ISR, SIR and SAR for every second.

    Args:
        name: the track's name, for errors.
        references: target → the true stem, `(frames, channels)`.
        estimates: the same targets, `(frames, channels)` each; a mono estimate of a
            stereo target counts for both channels.
        sample_rate_hz: the sample rate of both in Hz.
        threads: of linear algebra; by default one a core. Several workers with as many
            each would get into each other's way.

    Returns:
        museval's TrackStore: `.scores` is a dict, `.json` museval's JSON.

    Raises:
        InputError: the targets are none of musdb's or fewer than two; an estimate is
            of another length or other channels than its target, or no finite number;
            one of both is silent throughout.
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
            # museval reckons in the precision that it gets, and musdb gives doubles.
            reference = np.asarray(references[target], np.float64)
            estimate = np.asarray(estimates[target], np.float64)
            fitted[target] = fit(f"{name}: {target}", estimate, reference)
            targets[target] = types.SimpleNamespace(audio=reference)
    track = types.SimpleNamespace(name=name, rate=sample_rate_hz, targets=targets)
    museval = import_sigsep("museval")
    with threadpoolctl.threadpool_limits(threads):
        return museval.eval_mus_track(track, fitted)


def fit(label: str, estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Checks an estimate against its target; gives it in the target's shape.

    Args:
        label: what the estimate is called, for errors.
        estimate, reference: `(frames, channels)`.

    Raises:
        InputError: it is of another length or other channels, holds no finite samples,
            or one of the two is silent throughout.
    """
    if len(estimate) != len(reference):
        raise InputError(
            f"{label}: an estimate must have its target's {len(reference)} frames. "
            f"Received: {len(estimate)}"
        )
    if not np.isfinite(estimate).all():
        raise InputError(f"{label}: an estimate must hold finite samples")
    for what, stem in (("a true source", reference), ("an estimate", estimate)):
        if not np.any(stem.sum(axis=1)):  # as museval asks, which refuses it, too
            raise InputError(f"{label}: {what} must not be silent throughout")
    try:
        return np.broadcast_to(estimate, reference.shape)
    except ValueError:
        raise InputError(
            f"{label}: an estimate must have its target's {reference.shape[1]} "
            f"channels. Received: {estimate.shape[1]}"
        ) from None
