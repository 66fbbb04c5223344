"""Which excerpts random draws stand for, in `keras.ops`: on any Keras backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from keras import ops

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.networks.shapes import WindowFrames

DRAWS = 7
"""Draws that a stem of an excerpt takes, each uniform in [0, 1)."""


class Excerpts(NamedTuple):
    """What becomes of the stems of excerpts, `(…, stems)` each.

    Attributes:
        track: the number of its track, int32.
        start: the first frame of its input, int32; negative before the track.
        gain: what it is multiplied by; negative or 0 by augmentation.
        swapped: whether its channels are.
    """

    track: object
    start: object
    gain: object
    swapped: object


def excerpts_of(
    draws, track_frames: Sequence[int], window: WindowFrames, training: TrainingConfig
) -> Excerpts:
    """Places and augments excerpts.

    All stems of an excerpt have one place, unless they are remixed. Starts are
    uniform over a track that has the network's context on both sides.

    Args:
        draws: `(…, stems, DRAWS)`. A float32 has too few steps for the frames of
            tracks beyond some minutes.
        track_frames: the tracks' lengths.
        window: the network's.
        training: tells how tracks are drawn, and what the augmentation is.
    """
    lengths = np.array(track_frames, np.float64)
    weights = lengths if training.track_sampling == "length" else np.ones(len(lengths))
    below = np.cumsum(weights / weights.sum())[:-1]
    last_starts = lengths + 2 * window.context_frames - window.input_frames
    starts = ops.cast(np.maximum(last_starts, 0) + 1, draws.dtype)
    remixed = draws[..., :1, 2:3] < training.remix_probability
    places = ops.where(remixed, draws[..., :2], draws[..., :1, :2])
    is_beyond = places[..., :1] >= ops.cast(below, draws.dtype)
    track = ops.sum(ops.cast(is_beyond, "int32"), axis=-1)
    start = ops.cast(places[..., 1] * ops.take(starts, track), "int32")
    return Excerpts(
        track,
        start - window.context_frames,
        _gains(ops.cast(draws[..., 3:6], "float32"), training),
        draws[..., 6] < training.swap_probability,
    )


def _gains(draws, training: TrainingConfig):
    gain, polarity, dropout = (draws[..., number] for number in range(3))
    gain = training.min_gain + (1 - training.min_gain) * gain
    gain = ops.where(polarity < training.polarity_probability, -gain, gain)
    silent = dropout < training.dropout_probability
    # Of nothing nothing is learned.
    silent = ops.logical_and(
        silent, ops.logical_not(ops.all(silent, axis=-1, keepdims=True))
    )
    return ops.where(silent, 0.0, gain)
