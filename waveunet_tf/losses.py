"""What training minimises: functions of targets, estimates and weights."""

from __future__ import annotations

from keras import ops


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


def _mean_over_sources(error, targets: dict, estimates: dict, weights):
    errors = sum(error(targets[source] - estimates[source]) for source in targets)
    # Without any weight, 0 and not 0 / 0.
    frames = ops.maximum(ops.sum(weights), 1.0)
    return ops.sum(errors * weights) / (frames * errors.shape[-1] * len(targets))
