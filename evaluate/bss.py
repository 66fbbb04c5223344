"""BSSEval v4 of a track's stems, computed by museval."""

from __future__ import annotations

import os
import types
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError

if TYPE_CHECKING:
    from museval import TrackStore

# musdb's order, in which museval compares sources.
TARGETS = ("vocals", "drums", "bass", "other", "accompaniment")
# museval.evaluate returns them in this order.
_METRICS = ("SDR", "ISR", "SIR", "SAR")
_WINDOW_SECONDS = 1.0
# The greatest difference in length between an estimate and its target.
_MAX_LENGTH_SECONDS = 0.1


def score_estimates(
    name: str,
    references: dict[str, np.ndarray],
    estimates: dict[str, np.ndarray],
    sample_rate_hz: int,
    *,
    threads: int | None = None,
) -> TrackStore:
    """Scores the estimates of one track: SDR, ISR, SIR and SAR of every second.

    As in museval, no source has a score (NaN) in a second in which one source or one
    estimate is silent. Silence is zeros in all channels; museval also takes channels
    for it that add up to zero, which are heard.

    museval refuses a track in which one of them is silent throughout. Here such a
    source has no score in any second, and museval scores the others:

    - without a silent true source, which cannot interfere with them; a source that
      remains alone has no SIR;
    - with the true source of a silent estimate, for theirs may hold some of it.

    Args:
        name: The track's name.
        references: Target → the true stem, `(frames, channels)`.
        estimates: Target → the estimate, `(frames, channels)` of the same frames (see
            fit_length); a mono estimate of a stereo target counts for both channels.
        sample_rate_hz: The sample rate of all stems in Hz.
        threads: The number of threads of linear algebra; None: one a core, which slows
            down several workers.

    Returns:
        museval's store: `.scores` is a dict, `.json` the text of museval's file.

    Raises:
        InputError: The targets are unknown to musdb or fewer than two; or an estimate
            does not fit its target.
    """
    import threadpoolctl

    museval = import_sigsep("museval")
    unknown = sorted(set(estimates) - set(TARGETS))
    if unknown or len(estimates) < 2:
        raise InputError(
            f"{name}: estimates must be two or more of {', '.join(TARGETS)}. "
            f"Received: {', '.join(sorted(estimates))}"
        )
    stems = {}
    for target in TARGETS:
        if target in estimates:
            # museval computes in the precision that it gets, and musdb gives doubles.
            reference = np.asarray(references[target], np.float64)
            estimate = np.asarray(estimates[target], np.float64)
            label = f"{name}: {target}"
            estimate = fit_length(label, estimate, len(reference), sample_rate_hz)
            estimate = fit_estimate(label, estimate, reference)
            stems[target] = (reference, estimate)
    store = museval.TrackStore(name, win=_WINDOW_SECONDS, hop=_WINDOW_SECONDS)
    with threadpoolctl.threadpool_limits(threads):
        for together, kept in _comparisons(tuple(stems)):
            scores = _evaluate(
                museval, [stems[target] for target in together], sample_rate_hz
            )
            for target, values in zip(together, scores):
                if target in kept:
                    store.add_target(target, values)
    return store


def is_silent(stem: np.ndarray) -> bool:
    """Returns whether a stem is silent: all its samples are zero.

    Args:
        stem: `(frames, channels)`.
    """
    return not np.any(stem)


def fit_length(
    label: str | os.PathLike,
    estimate: np.ndarray,
    frames: int,
    sample_rate_hz: int,
    *,
    on_warning: Callable[[str], None] = logging.warning,
) -> np.ndarray:
    """Gives an estimate its target's length, as museval does.

    What is too long is cut, what is too short goes on with silence. Encoders and
    windows leave such differences; a greater one is another song's or another rate's.

    Args:
        label: The estimate's file or name.
        estimate: `(frames, channels)`.
        frames: The target's length.
        sample_rate_hz: The sample rate of both in Hz.
        on_warning: Called with a line where the lengths differ.

    Returns:
        `(frames, channels)`.

    Raises:
        InputError: The lengths differ by more than 0.1 s.
    """
    missing = frames - len(estimate)
    if abs(missing) > _MAX_LENGTH_SECONDS * sample_rate_hz:
        raise InputError(
            f"{label}: an estimate must have its target's {frames} frames, but for "
            f"{_MAX_LENGTH_SECONDS:g} s. Received: {len(estimate)} frames"
        )
    if not missing:
        return estimate
    how = "goes on with silence" if missing > 0 else "is cut"
    on_warning(
        f"{label}: has {len(estimate)} frames, its target {frames}: the estimate {how}"
    )
    return np.pad(estimate[:frames], ((0, max(missing, 0)), (0, 0)))


def fit_estimate(label: str, estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Checks an estimate, and gives it its target's shape.

    Args:
        label: The estimate's name in errors.
        estimate: `(frames, channels)` or `(frames, 1)`.
        reference: The true stem, `(frames, channels)`.

    Returns:
        `(frames, channels)`.

    Raises:
        InputError: The frames or channels differ, or a sample is not finite.
    """
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


def _comparisons(targets: tuple[str, ...]) -> list[tuple[tuple[str, ...], set[str]]]:
    """Returns the targets that are compared, and those whose scores are then kept.

    museval compares the accompaniment with the vocals only, and the other targets with
    each other; the vocals' scores are then those beside the accompaniment.
    """
    halves = ("vocals", "accompaniment")
    if not set(halves) <= set(targets):
        return [(targets, set(targets))]
    parts = tuple(target for target in targets if target != "accompaniment")
    comparisons = [(parts, set(parts) - {"vocals"})] if len(parts) > 1 else []
    return [*comparisons, (halves, set(halves))]


def _evaluate(
    museval: types.ModuleType,
    stems: Sequence[tuple[np.ndarray, np.ndarray]],
    sample_rate_hz: int,
) -> list[dict[str, list[float]]]:
    """Compares sources with each other.

    Args:
        museval: The package.
        stems: Reference and estimate of each source, `(frames, channels)` both.
        sample_rate_hz: The sample rate in Hz.

    Returns:
        Metric → dB of each second, for each source; NaN: no score.
    """
    window = int(_WINDOW_SECONDS * sample_rate_hz)
    windows = museval.metrics.Framing(window, window, len(stems[0][0])).nwin
    scores = np.full((len(_METRICS), len(stems), windows), np.nan)
    heard = [place for place, pair in enumerate(stems) if not is_silent(pair[0])]
    if heard:
        references, estimates = zip(
            *_without_cancelling([stems[place] for place in heard], window)
        )
        # No score depends on another source's estimate, so anything audible can stand
        # for a silent one; the stand-in's own scores are dropped.
        silent = [is_silent(estimate) for estimate in estimates]
        scores[:, heard] = museval.evaluate(
            references,
            [
                reference if is_dropped else estimate
                for reference, estimate, is_dropped in zip(
                    references, estimates, silent
                )
            ],
            win=window,
            hop=window,
        )
        scores[:, np.array(heard)[silent]] = np.nan
        if len(heard) == 1:
            scores[_METRICS.index("SIR")] = np.nan
    return [dict(zip(_METRICS, values.tolist())) for values in scores.swapaxes(0, 1)]


def _without_cancelling(
    stems: Sequence[tuple[np.ndarray, np.ndarray]], window: int
) -> Sequence[tuple[np.ndarray, np.ndarray]]:
    """Turns the channels where museval would take what is heard for silence.

    museval adds up the channels, so that left = −right is silent to it. Scores are
    energies over all channels, after filters from all channels to all. So they stay
    the same when one orthogonal matrix mixes the channels of all stems.

    Args:
        stems: Reference and estimate of each source, `(frames, channels)` both.
        window: The frames of one of museval's windows.

    Returns:
        The same stems where no channels cancel in any window, else mixed ones.
    """
    if not any(_cancels(stem, window) for pair in stems for stem in pair):
        return stems
    # A reflection; e is irrational, so that no channels of other audio cancel now.
    normal = np.exp(np.arange(stems[0][0].shape[1]))
    matrix = np.eye(len(normal)) - 2 * np.outer(normal, normal) / (normal @ normal)
    return [(reference @ matrix, estimate @ matrix) for reference, estimate in stems]


def _cancels(stem: np.ndarray, window: int) -> bool:
    """Returns whether channels add up to zero in a window that is not silent."""
    parts = (stem[start : start + window] for start in range(0, len(stem), window))
    return any(np.any(part) and not np.any(part.sum(axis=1)) for part in parts)
