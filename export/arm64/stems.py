"""Separates a mixture with an exported file, on x86-64 and on ARM alike."""

from __future__ import annotations

import os

import numpy as np

from waveunet_tf.separation import runners, tflite_file


def write_stems(
    artefact: str | os.PathLike, mixture: str | os.PathLike, stems: str | os.PathLike
) -> None:
    """Separates a mixture on one thread, and writes the stems.

    Args:
        artefact: The exported file.
        mixture: A file `.npy` of `(frames, channels)` at the network's rate.
        stems: The file `.npz` to write, source → `(frames, channels)`.

    Raises:
        InputError: The exported file is broken, or not one of this project's.
        OSError: A file cannot be read or written.
    """
    runner = runners.start(*tflite_file.load_tflite_file(artefact, threads=1))
    np.savez(stems, **runner.run(np.load(mixture)))
