"""Plays excerpts faster or slower, as a tape does, in `keras.ops`: on any backend.

Speeds are whole numbers of 256ths, so that a frame's place between two others is one of
256, and the same on every backend. Each place has the weights of a windowed sinc, as
J. O. Smith describes ("Digital Audio Resampling", 1984). A higher speed lowers its
cutoff. So short a sinc is right up to a third of the sample rate of what is heard.
Nearly all energy of music lies there. Above, it fades, and some of its images pass.
"""

from __future__ import annotations

import functools

import numpy as np
from keras import ops

from waveunet_tf.configs.training import TrainingConfig

STEPS = 256
"""The speed that changes nothing."""
LEAD = 7
"""The frames that are read before the first one that is heard."""
_TAPS = 2 * LEAD + 2
_KAISER_BETA = 6.0


def limits(training: TrainingConfig) -> tuple[int, int]:
    """Returns the lowest and the highest speed, in 256ths."""
    most = 1 + training.max_speed_change
    return int(np.ceil(STEPS / most)), int(STEPS * most)


def frames_read(frames: int, training: TrainingConfig) -> int:
    """Counts the frames of a track that an excerpt of `frames` needs at any speed."""
    if not training.max_speed_change:
        return frames
    return (frames - 1) * limits(training)[1] // STEPS + _TAPS


def play(samples, speeds, frames: int, training: TrainingConfig):
    """Plays excerpts at a speed of their own.

    Args:
        samples: `(excerpts, frames_read, channels)`. The first frame that is heard has
            LEAD others before it.
        speeds: `(excerpts,)`, in 256ths, within the limits: int32, or int64, in which
            places are then computed. TensorFlow computes int32 on the host only.
        frames: The length of what is heard.
        training: The limits of the speeds.

    Returns:
        `(excerpts, frames, channels)`. At a speed of STEPS they are the samples.
    """
    _, length, channels = samples.shape
    lowest, highest = limits(training)
    weights = _weights(lowest, highest)
    places = ops.arange(frames, dtype=speeds.dtype) * speeds[:, None]
    rows = (speeds[:, None] - lowest) * STEPS + places % STEPS
    firsts = length * ops.arange(ops.shape(samples)[0], dtype=speeds.dtype)
    places = places // STEPS + firsts[:, None]
    samples = ops.reshape(samples, (-1, channels))
    return sum(
        ops.take(weights[tap], rows)[..., None]
        * ops.take(samples, places + tap, axis=0)
        for tap in range(_TAPS)
    )


@functools.lru_cache(maxsize=4)
def _weights(lowest: int, highest: int) -> np.ndarray:
    """Computes what each tap weighs, float32 `(taps, speeds * places)`."""
    cutoff = np.minimum(1, STEPS / np.arange(lowest, highest + 1))[:, None]
    offsets = np.arange(_TAPS)[:, None, None] - LEAD - np.arange(STEPS) / STEPS
    inside = np.clip(1 - (offsets / (_TAPS // 2)) ** 2, 0, None)
    weights = np.sinc(cutoff * offsets) * np.i0(_KAISER_BETA * np.sqrt(inside))
    weights /= weights.sum(axis=0)
    return weights.reshape(_TAPS, -1).astype(np.float32)
