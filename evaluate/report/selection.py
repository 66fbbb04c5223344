"""Chooses the tracks of a report's player, and the part of each that is heard."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import bss, true_stems
from waveunet_tf.evaluate.estimators import Estimator
from waveunet_tf.evaluate.scores import TrackScores

DURATION_SECONDS = 20.0


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """An excerpt of a track: mixture, true sources and the systems' estimates.

    Attributes:
        name: The track's name.
        sample_rate_hz: The rate of all audio in Hz.
        start_seconds: The time in the track at which the excerpt begins.
        mixture: `(frames, channels)`.
        references: Source → the true source, `(frames, channels)`.
        estimates: System → source → the estimate, `(frames, channels)`.
    """

    name: str
    sample_rate_hz: int
    start_seconds: float
    mixture: np.ndarray
    references: dict[str, np.ndarray]
    estimates: dict[str, dict[str, np.ndarray]]

    @property
    def duration_seconds(self) -> float:
        """The length in seconds."""
        return len(self.mixture) / self.sample_rate_hz


def typical_tracks(tracks: dict[str, TrackScores], names: set[str]) -> list[str]:
    """Returns a system's worst, median and best track.

    Tracks are ordered by the mean of their sources' median SDRs.

    Args:
        tracks: Track → the system's scores.
        names: The tracks to choose from.

    Returns:
        Up to three names, the worst first.
    """
    means = {
        name: np.nanmean(medians)
        for name, track in tracks.items()
        if name in names and np.isfinite(medians := _median_sdrs(track)).any()
    }
    ranked = sorted(means, key=lambda name: (means[name], name))
    places = {0: None, len(ranked) // 2: None, len(ranked) - 1: None}
    return [ranked[place] for place in places if 0 <= place < len(ranked)]


def _median_sdrs(track: TrackScores) -> list[float]:
    frames = [metrics["SDR"] for metrics in track.sources.values()]
    return [np.nanmedian(sdr) if np.isfinite(sdr).any() else np.nan for sdr in frames]


def read_excerpt(
    track: Track,
    sources: tuple[str, ...],
    estimators: dict[str, Estimator],
    *,
    start_seconds: float | None = None,
    duration_seconds: float = DURATION_SECONDS,
    left_out: Callable[[InputError | OSError], Any],
) -> Excerpt:
    """Reads an excerpt of a track, and of the estimates of its sources.

    Args:
        track: The track.
        sources: The names of the sources.
        estimators: System → its estimator.
        start_seconds: Where the excerpt begins; by default in the part whose quietest
            source is loudest.
        duration_seconds: The highest length of the excerpt.
        left_out: Called with an error for each system whose estimates cannot be used;
            the excerpt is without them.

    Raises:
        InputError: The track cannot be read, or ends before the excerpt begins.
        OSError: A file of the track cannot be read.
    """
    stems = true_stems.read_true_stems(track, sources)
    rate_hz, frames = stems.sample_rate_hz, len(stems.mixture)
    if start_seconds is None:
        start = _fullest_second(stems.sources, rate_hz, duration_seconds) * rate_hz
    else:
        start = round(min(start_seconds * rate_hz, frames))
    if start >= frames:
        raise InputError(
            f"{track.label}: --start_seconds must be before its end at "
            f"{frames / rate_hz:.1f} s. Received: {start_seconds:g}"
        )
    part = slice(start, start + max(round(duration_seconds * rate_hz), 1))
    estimates: dict[str, dict[str, np.ndarray]] = {}
    for system, estimator in estimators.items():
        try:
            estimates[system] = {
                source: bss.fit_estimate(
                    f"{track.label}: {source} of {system}",
                    estimate,
                    stems.sources[source],
                )[part]
                for source, estimate in estimator.estimate(track, stems).items()
            }
        except (InputError, OSError) as error:
            left_out(error)
    return Excerpt(
        track.name,
        rate_hz,
        start / rate_hz,
        stems.mixture[part],
        {source: stem[part] for source, stem in stems.sources.items()},
        estimates,
    )


def _fullest_second(
    references: dict[str, np.ndarray], rate_hz: int, duration_seconds: float
) -> int:
    """Returns the second at which the part begins whose quietest source is loudest.

    Sources that are silent throughout have no say.
    """
    seconds = max(round(duration_seconds), 1)
    quietest = None
    for reference in references.values():
        if not reference.any():
            continue
        count = len(reference) // rate_hz
        squares = np.square(reference[: count * rate_hz], dtype=np.float64)
        energies = squares.reshape(max(count, 1), -1).sum(1) if count else np.zeros(1)
        sums = np.convolve(energies, np.ones(min(seconds, len(energies))), "valid")
        quietest = sums if quietest is None else np.minimum(quietest, sums)
    return 0 if quietest is None else int(np.argmax(quietest))
