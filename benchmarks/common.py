"""Functions that several benchmarks need."""

from __future__ import annotations

import pathlib
import re
import subprocess
import time

import numpy as np

from waveunet_tf.configs.networks import NetworkConfig


def matrix_product_rate() -> float:
    """Measures float32 matrix products, in floating-point operations a second."""
    import keras

    size = 2048
    matrix = keras.random.normal((size, size))
    best = 0.0
    for _ in range(6):
        started = time.perf_counter()
        keras.ops.convert_to_numpy(keras.ops.matmul(matrix, matrix)[0])
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best


def write_noise(root: pathlib.Path, config: NetworkConfig) -> None:
    """Writes eight tracks of noise, of a minute each, as `prepare` does."""
    from waveunet_tf.audio.encode import AudioWriter

    generator = np.random.default_rng(0)
    frames = 60 * config.sample_rate_hz
    for number in range(8):
        folder = root / "train" / f"track {number}"
        folder.mkdir(parents=True)
        shape = (len(config.sources), frames, 2)
        stems = generator.normal(0, 0.1, shape).astype(np.float32)
        named = {**dict(zip(config.sources, stems)), "mixture": stems.sum(axis=0)}
        for name, stem in named.items():
            path = folder / f"{name}.wav"
            with AudioWriter(path, config.sample_rate_hz, 2) as writer:
                writer.write(stem)


def save_small_network(directory: pathlib.Path) -> None:
    """Saves an untrained M4 of 9 levels and 8 first filters."""
    import dataclasses

    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.configs.networks import VARIANTS
    from waveunet_tf.networks.build import build_network

    config = dataclasses.replace(VARIANTS["M4"], num_levels=9, base_filters=8)
    checkpoint.save_checkpoint(directory, build_network(config), config)


def peak_memory_mib() -> float:
    """Returns this process's peak memory in MiB, on Linux.

    ru_maxrss is wrong here: a process inherits it from the one that started it.
    """
    status = pathlib.Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024


def last_error(child: subprocess.CompletedProcess) -> str:
    """Returns the last line that a failed child wrote on stderr, without `error: `."""
    lines = child.stderr.strip().splitlines() or [f"exit code {child.returncode}"]
    return lines[-1].removeprefix("error: ")
