"""Turns random draws into excerpts, in `keras.ops`: on any Keras backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from keras import ops

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import speeds
from waveunet_tf.networks.shapes import WindowFrames


class Excerpts(NamedTuple):
    """The place and the augmentation of the stems of excerpts, `(…, stems)` each.

    Attributes:
        track: The numbers of the tracks, int32.
        start: The first frames that are read, int32; negative before a track.
        gain: The factors of the samples, float32; negative or 0 by augmentation.
        swapped: Whether the channels are swapped, bool.
        speed: What speeds.play takes, int32; None where no speed changes.
    """

    track: object
    start: object
    gain: object
    swapped: object
    speed: object = None


def count_draws(training: TrainingConfig) -> int:
    """Counts the draws for each stem of an excerpt, each uniform in [0, 1)."""
    return 8 if training.max_speed_change else 7


def track_probabilities(
    track_frames: Sequence[int],
    training: TrainingConfig,
    track_weights: Sequence[float] | None = None,
) -> np.ndarray:
    """Computes how likely each track is to be drawn.

    Args:
        track_frames: The tracks' lengths.
        training: How tracks are drawn.
        track_weights: What multiplies a track's probability before they are scaled to
            a sum of 1; None: 1 for all. A weight of 3 is as if a track was there three
            times.

    Returns:
        float64 `(tracks,)`.
    """
    lengths = np.array(track_frames, np.float64)
    weights = lengths if training.track_sampling == "length" else np.ones(len(lengths))
    if track_weights is not None:
        weights = weights * np.array(track_weights, np.float64)
    return weights / weights.sum()


def share_lines(
    data_sets: Sequence[str],
    track_frames: Sequence[int],
    training: TrainingConfig,
    track_weights: Sequence[float],
) -> list[str]:
    """Says, in a line for each data set, which share of the excerpts it gives.

    Args:
        data_sets: The name of each track's data set.
        track_frames: The tracks' lengths.
        training: How tracks are drawn.
        track_weights: The tracks' weights.
    """
    names = np.array(data_sets)
    shares = track_probabilities(track_frames, training, track_weights)
    return [
        f"{shares[names == name].sum():.1%} of the excerpts from {name} "
        f"({np.sum(names == name)} tracks)"
        for name in dict.fromkeys(data_sets)
    ]


def excerpts_of(
    draws,
    track_frames: Sequence[int],
    window: WindowFrames,
    training: TrainingConfig,
    track_weights: Sequence[float] | None = None,
) -> Excerpts:
    """Places and augments excerpts.

    All stems of an excerpt have one place and speed, unless they are remixed. Starts
    are uniform over a track that has the network's context on both sides.

    Args:
        draws: `(…, stems, count_draws)`, uniform in [0, 1). Use float64: a float32 has
            too few steps for the frames of tracks beyond some minutes.
        track_frames: The tracks' lengths.
        window: The frames of the network's input, context and output.
        training: How tracks are drawn, and the augmentation.
        track_weights: The tracks' weights; see track_probabilities.

    Returns:
        The excerpts, `(…, stems)`.
    """
    lengths = np.array(track_frames, np.float64)
    below = np.cumsum(track_probabilities(track_frames, training, track_weights))[:-1]
    remixed = draws[..., :1, 2:3] < training.remix_probability
    shared = ops.where(remixed, draws, draws[..., :1, :])
    is_beyond = shared[..., :1] >= ops.cast(below, draws.dtype)
    track = ops.sum(ops.cast(is_beyond, "int32"), axis=-1)
    context, read = window.context_frames, window.input_frames
    speed = None
    if training.max_speed_change:
        lowest, highest = speeds.limits(training)
        speed = lowest + ops.cast(shared[..., 7] * (highest + 1 - lowest), "int32")
        context = _times(context, speed)
        read = _times(read - 1, speed) + 1
    starts = ops.take(ops.cast(lengths, "int32"), track) + 2 * context - read
    starts = ops.cast(ops.maximum(starts, 0) + 1, draws.dtype)
    start = ops.cast(shared[..., 1] * starts, "int32") - context
    return Excerpts(
        track,
        start if speed is None else start - speeds.LEAD,
        _gains(ops.cast(draws[..., 3:6], "float32"), training),
        draws[..., 6] < training.swap_probability,
        speed,
    )


def _times(frames: int, speed):
    """Returns frames × speed, rounded down, of any excerpt that int32 can count."""
    whole, rest = divmod(frames, speeds.STEPS)
    return whole * speed + rest * speed // speeds.STEPS


def _gains(draws, training: TrainingConfig):
    gain, polarity, dropout = (draws[..., number] for number in range(3))
    gain = training.min_gain + (1 - training.min_gain) * gain
    gain = ops.where(polarity < training.polarity_probability, -gain, gain)
    silent = dropout < training.dropout_probability
    # Never silence every stem: the excerpt would teach nothing.
    silent = ops.logical_and(
        silent, ops.logical_not(ops.all(silent, axis=-1, keepdims=True))
    )
    return ops.where(silent, 0.0, gain)
