"""Prepared stems of noise, for trainings and readers to be tried on."""

from __future__ import annotations

import pathlib

import numpy as np

from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.configs.networks import NetworkConfig

_TRACKS = 4


def write_noise_stems(
    data_dir: pathlib.Path, config: NetworkConfig, seconds: float
) -> None:
    """Writes training tracks of noise, 16-bit WAV, and none for validation.

    Args:
        data_dir: The folder, as `prepare` would write it.
        config: The network: its sources and its rate.
        seconds: The length of each track.
    """
    generator = np.random.default_rng(9)
    frames = round(seconds * config.sample_rate_hz)
    for number in range(_TRACKS):
        folder = data_dir / "train" / f"noise {number}"
        folder.mkdir(parents=True)
        for source in config.sources:
            stem = generator.normal(0, 0.2, (frames, 2)).astype(np.float32).clip(-1, 1)
            path = folder / f"{source}.wav"
            with AudioWriter(path, config.sample_rate_hz, 2, bit_depth=16) as writer:
                writer.write(stem)
