"""Losses: functions of targets, estimates and weights that a training minimises."""

from __future__ import annotations

import functools
from collections.abc import Callable

from keras import ops

from waveunet_tf.configs.training import TrainingConfig

# Samples beyond this magnitude are saturated: a tanh hardly has a gradient there.
_SATURATED = 0.99
# A share of a full-scale mixture's energy; less than it is silence.
_SILENCE = 1e-8


def mean_squared_error(targets: dict, estimates: dict, weights):
    """Returns the mean squared error of the waveforms (paper, section 4.2).

    Args:
        targets: Source → `(batch, frames, channels)`.
        estimates: The same sources, of the same shapes.
        weights: `(batch, frames, 1)`, of each frame.

    Returns:
        A scalar, the weighted mean over all sources, frames and channels.
    """
    return _mean_over_sources(ops.square, targets, estimates, weights)


def mean_absolute_error(targets: dict, estimates: dict, weights):
    """Returns the mean absolute error of waveforms, or of magnitudes (U7a's loss).

    Args:
        targets: Source → `(batch, frames, channels)`, or `(batch, steps, bins)`.
        estimates: The same sources, of the same shapes.
        weights: `(batch, frames, 1)` or `(batch, steps, 1)`.

    Returns:
        A scalar, the weighted mean over all sources, frames and channels.
    """
    return _mean_over_sources(ops.abs, targets, estimates, weights)


def error_level_db(targets: dict, estimates: dict, weights, *, floor_db: float = -30):
    """Returns the error's mean level relative to the mixture, in dB.

    A source of an excerpt has the level 10 log10(Σ (s - ŝ)² / Σ x² + τ). But for a
    constant of each excerpt, that is the negative of the bounded SDR of "thresholded
    SNR" (Wisdom et al., 2021, arXiv 2011.00803, section 2.2). Quiet excerpts count as
    much as loud ones, unlike in a squared error. Excerpts in which a source is silent
    count, too.

    Args:
        targets: Source → `(batch, frames, channels)`.
        estimates: The same sources, of the same shapes.
        weights: `(batch, frames, 1)`, of each frame.
        floor_db: 10 log10 τ. Errors below this level hardly change the loss, so that
            the training turns to other excerpts.

    Returns:
        A scalar, the mean over sources and, by their weights, over excerpts.
    """
    floor = 10 ** (floor_db / 10)
    frames = ops.sum(weights, axis=(1, 2))

    def energy(signal):
        return ops.sum(ops.square(signal) * weights, axis=(1, 2))

    silence = _SILENCE * ops.maximum(frames, 1.0)
    mixture = energy(sum(targets.values())) + silence
    levels = [
        10 * ops.log10(energy(target - estimates[source]) / mixture + floor)
        for source, target in targets.items()
    ]
    total = ops.maximum(ops.sum(frames), 1.0)
    return ops.sum(sum(levels) * frames) / (total * len(targets))


def saturated_share(estimates: dict | None):
    """Returns the share of samples beyond ±0.99, a scalar.

    Args:
        estimates: Source → `(batch, frames, channels)`; None, which gives 0, where no
            waveform is computed.
    """
    shares = [
        ops.mean(ops.cast(ops.abs(estimate) > _SATURATED, "float32"))
        for estimate in (estimates or {}).values()
    ]
    return sum(shares) / len(shares) if shares else ops.zeros(())


def _mean_over_sources(error: Callable, targets: dict, estimates: dict, weights):
    errors = sum(error(targets[source] - estimates[source]) for source in targets)
    # Without any weight the loss is 0, not 0 / 0.
    frames = ops.maximum(ops.sum(weights), 1.0)
    return ops.sum(errors * weights) / (frames * errors.shape[-1] * len(targets))


OF_WAVEFORMS = {
    "mse": mean_squared_error,
    "l1": mean_absolute_error,
    "sdr": error_level_db,
}
"""Losses of waveforms, by their names in TrainingConfig."""


def of_waveforms(training: TrainingConfig) -> Callable:
    """Returns the loss of waveforms that a training minimises.

    Args:
        training: The name of the loss, and the floor of `sdr`.

    Returns:
        A function of targets, estimates and weights, such as mean_squared_error.

    Raises:
        KeyError: The loss is not one of OF_WAVEFORMS.
    """
    if training.loss == "sdr":
        return functools.partial(error_level_db, floor_db=training.sdr_floor_db)
    return OF_WAVEFORMS[training.loss]
