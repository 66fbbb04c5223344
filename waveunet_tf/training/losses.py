"""What training minimises, functions of targets, estimates and weights; and the SDR."""

from __future__ import annotations

import functools
from collections.abc import Callable

from keras import ops

# Of a full-scale mixture's energy: what counts as silence.
_SILENCE = 1e-8


def mean_squared_error(targets: dict, estimates: dict, weights):
    """The waveform's squared error, its mean over sources (paper, section 4.2).

    Args:
        targets: source → `(batch, frames, channels)`.
        estimates: the same sources, of the same shapes.
        weights: `(batch, frames, 1)`, of each frame.

    Returns:
        A scalar, the mean over what has a weight.
    """
    return _mean_over_sources(ops.square, targets, estimates, weights)


def mean_absolute_error(targets: dict, estimates: dict, weights):
    """The absolute error, its mean over sources; of magnitudes it is U7a's.

    Args:
        targets: source → `(batch, frames, channels)`, or `(batch, steps, bins)`.
        estimates: the same sources, of the same shapes.
        weights: `(batch, frames, 1)`, of each frame or step.

    Returns:
        A scalar, the mean over what has a weight.
    """
    return _mean_over_sources(ops.abs, targets, estimates, weights)


def error_level_db(targets: dict, estimates: dict, weights, *, floor_db: float = -30):
    """The error's level below the mixture, in dB, its mean over excerpts and sources.

    10 log10(Σ (s - ŝ)² / Σ x² + τ): but for a constant of each excerpt, minus the
    SDR that "thresholded SNR" bounds (Wisdom et al., 2021, arXiv 2011.00803, section
    2.2), so that quiet excerpts count as much as loud ones, which in a squared error
    they do not, and those in which a source is silent count too.

    Args:
        targets: source → `(batch, frames, channels)`.
        estimates: the same sources, of the same shapes.
        weights: `(batch, frames, 1)`, of each frame.
        floor_db: 10 log10 τ. Excerpts that are solved to that level give way to others.

    Returns:
        A scalar, the mean over what has a weight.
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


def _mean_over_sources(error, targets: dict, estimates: dict, weights):
    errors = sum(error(targets[source] - estimates[source]) for source in targets)
    # Without any weight, 0 and not 0 / 0.
    frames = ops.maximum(ops.sum(weights), 1.0)
    return ops.sum(errors * weights) / (frames * errors.shape[-1] * len(targets))


OF_WAVEFORMS = {
    "mse": mean_squared_error,
    "l1": mean_absolute_error,
    "sdr": error_level_db,
}
"""The losses of networks that give waveforms, by their names in TrainingConfig."""


def of_waveforms(training) -> Callable:
    """The loss that a training of a network of waveforms minimises.

    Args:
        training: its TrainingConfig.

    Returns:
        A function of targets, estimates and weights, as above.

    Raises:
        KeyError: the loss is not one of OF_WAVEFORMS.
    """
    if training.loss == "sdr":
        return functools.partial(error_level_db, floor_db=training.sdr_floor_db)
    return OF_WAVEFORMS[training.loss]
