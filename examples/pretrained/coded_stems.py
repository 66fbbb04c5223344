"""Stems of many tracks on one device, 8 bits a sample.

The code is the μ-law of ITU-T G.711 without its segments. Its noise lies some 38 dB
below the music.
"""

from __future__ import annotations

import dataclasses

import numpy as np

_MU = 255


@dataclasses.dataclass(frozen=True)
class CodedStems:
    """The tracks of one subset, one after the other.

    Attributes:
        names: The names of the tracks.
        frames: The lengths of the tracks.
        codes: Source → stem → int8 `(frames, channels)` of all tracks; a source is the
            sum of its stems.
        weights: The tracks' weights; see augmentation.track_probabilities. None: 1.
        data_sets: The folders of the tracks' data sets, where they are known.
    """

    names: list[str]
    frames: list[int]
    codes: dict[str, dict[str, np.ndarray]]
    weights: list[float] | None = None
    data_sets: list[str] | None = None

    @property
    def firsts(self) -> list[int]:
        """The first frame of each track."""
        return np.cumsum([0, *self.frames])[:-1].tolist()


def encode_samples(samples: np.ndarray) -> np.ndarray:
    """Encodes samples in 8 bits; samples beyond ±1 are clipped.

    Args:
        samples: An array of any shape, at a full scale of ±1.

    Returns:
        int8 codes of the same shape.
    """
    samples = np.clip(samples, -1, 1)
    levels = np.sign(samples) * np.log1p(_MU * np.abs(samples)) / np.log1p(_MU)
    return np.round(127 * levels).astype(np.int8)


def decode_samples(codes):
    """Decodes what encode_samples gave, on any Keras backend.

    Args:
        codes: int8 codes of any shape.

    Returns:
        A float32 tensor of the same shape.
    """
    from keras import ops

    levels = ops.cast(codes, "float32") / 127
    return ops.sign(levels) * (ops.exp(ops.abs(levels) * np.log1p(_MU)) - 1) / _MU
