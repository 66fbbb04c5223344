"""What training minimises."""

from __future__ import annotations

from keras import ops


def mean_squared_error(targets: dict, estimates: dict, weights=None):
    """The waveform's squared error, its mean over sources (paper, section 4.2).

    Args:
        targets: source → `(batch, frames, channels)`.
        estimates: the same sources, of the same shapes.
        weights: `(batch, frames, 1)`, of each frame; by default all 1.

    Returns:
        A scalar, the mean over what has a weight.
    """
    errors = [ops.square(targets[source] - estimates[source]) for source in targets]
    error = sum(errors) / len(errors)
    if weights is None:
        return ops.mean(error)
    return ops.sum(error * weights) / (ops.sum(weights) * error.shape[-1])
