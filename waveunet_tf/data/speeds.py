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
    excerpts = ops.arange(ops.shape(samples)[0], dtype=speeds.dtype)[:, None, None]
    blocks = ops.arange(-(-frames // STEPS), dtype=speeds.dtype)
    speeds = speeds[:, None, None]
    # A block of STEPS frames moves on by whole frames, so one matrix plays all blocks.
    # Matrices are several times faster than a gather for each tap. (A GPU that takes
    # TF32 for them rounds to 11 bits: noise at -66 dB.)
    matrix = _matrices(speeds, limits(training))
    reach = ops.arange(matrix.shape[-1], dtype=speeds.dtype)
    # What lies behind the end weighs nothing in the frames that are kept.
    places = ops.minimum(speeds * blocks[:, None] + reach, length - 1)
    samples = ops.reshape(samples, (-1, channels))
    samples = ops.take(samples, places + length * excerpts, axis=0)
    played = ops.einsum("ebpc,efp->ebfc", samples, matrix)
    return ops.reshape(played, (-1, blocks.shape[0] * STEPS, channels))[:, :frames]


def _matrices(speeds, limits: tuple[int, int]):
    """Gathers what each place weighs in each frame of a block.

    Args:
        speeds: `(excerpts, 1, 1)`.
        limits: The lowest and the highest speed.

    Returns:
        float32 `(excerpts, STEPS, places)`.
    """
    lowest, highest = limits
    advances = speeds * ops.arange(STEPS, dtype=speeds.dtype)[:, None]
    taps = ops.arange(highest + _TAPS, dtype=speeds.dtype) - advances // STEPS
    taps = ops.where((taps < 0) | (taps >= _TAPS), _TAPS, taps)
    rows = (speeds - lowest) * STEPS + advances % STEPS
    return ops.take(_weights(lowest, highest), rows * (_TAPS + 1) + taps)


@functools.lru_cache(maxsize=4)
def _weights(lowest: int, highest: int) -> np.ndarray:
    """Computes what each tap weighs, and 0: flat, of `(speeds, STEPS, _TAPS + 1)`."""
    cutoff = np.minimum(1, STEPS / np.arange(lowest, highest + 1))[:, None, None]
    offsets = np.arange(_TAPS) - LEAD - np.arange(STEPS)[:, None] / STEPS
    inside = np.clip(1 - (offsets / (_TAPS // 2)) ** 2, 0, None)
    weights = np.sinc(cutoff * offsets) * np.i0(_KAISER_BETA * np.sqrt(inside))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.pad(weights, ((0, 0), (0, 0), (0, 1))).astype(np.float32).ravel()
