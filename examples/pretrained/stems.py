"""Stems of many tracks in one small file, 8 bits a sample.

By the μ-law of ITU-T G.711 without its segments, whose noise is some 38 dB below the
music.
"""

from __future__ import annotations

import dataclasses
import zipfile

import numpy as np

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.data.stem_sums import stems_of_sources
from waveunet_tf.errors import InputError

_MU = 255


@dataclasses.dataclass(frozen=True)
class Stems:
    """Tracks of one subset, one after the other.

    Attributes:
        names: the tracks'.
        frames: their lengths.
        codes: source → stem → int8 `(all frames, channels)`; a source is the sum of its
            stems.
    """

    names: list[str]
    frames: list[int]
    codes: dict[str, dict[str, np.ndarray]]

    @property
    def firsts(self) -> np.ndarray:
        """Where each track begins."""
        return np.cumsum([0, *self.frames])[:-1]


def encode(samples: np.ndarray) -> np.ndarray:
    """Samples within [-1, 1] as int8; what is beyond is clipped."""
    samples = np.clip(samples, -1, 1)
    levels = np.sign(samples) * np.log1p(_MU * np.abs(samples)) / np.log1p(_MU)
    return np.round(127 * levels).astype(np.int8)


def decode(codes):
    """The samples of int8 codes, float32, on any Keras backend."""
    from keras import ops

    levels = ops.cast(codes, "float32") / 127
    return ops.sign(levels) * (ops.exp(ops.abs(levels) * np.log1p(_MU)) - 1) / _MU


def read(path: str, subset: str, config: NetworkConfig) -> Stems:
    """Reads a subset of a file that this program wrote, for a network.

    Raises:
        InputError: it cannot be read, or is of other sources, another rate or number
            of channels.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            stems = file["stems"].tolist()
            codes = {stem: file[f"{subset}/{stem}"] for stem in stems}
            names = file[f"names/{subset}"].tolist()
            frames = file[f"frames/{subset}"].tolist()
            rate_hz = int(file["sample_rate_hz"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: must be a file of the stems: {error}") from error
    stems_of = stems_of_sources(config.sources, stems, f"{path}:")
    came = (rate_hz, codes[stems[0]].shape[1])
    wanted = (config.sample_rate_hz, config.channels)
    if came != wanted:
        raise InputError(
            f"{path}: must have the network's {wanted[0]} Hz and {wanted[1]} channels. "
            f"Received: {came[0]}, {came[1]}"
        )
    return Stems(
        names,
        frames,
        {
            source: {stem: codes[stem] for stem in of}
            for source, of in zip(config.sources, stems_of)
        },
    )


def longest_allowed(frames: list[int], budget: int) -> int:
    """The length to cut tracks to, so that they have no more frames together."""
    low, high = 0, max(frames)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(middle, length) for length in frames) <= budget:
            low = middle
        else:
            high = middle - 1
    return low
