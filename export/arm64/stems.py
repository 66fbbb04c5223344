"""What one exported file gives of a mixture; runs on x86-64 and ARM alike."""

from __future__ import annotations

import os

import numpy as np

from waveunet_tf.separation import runners, tflite_file


def write_stems(
    artefact: str | os.PathLike, mixture: str | os.PathLike, stems: str | os.PathLike
) -> None:
    """Separates a mixture on one thread.

    Args:
        artefact: the exported file.
        mixture: `.npy`, `(frames, channels)` at the network's rate.
        stems: `.npz` to write, source → `(frames, channels)`.

    Raises:
        InputError, OSError: see tflite_file.load_tflite_file.
    """
    runner = runners.start(*tflite_file.load_tflite_file(artefact, threads=1))
    np.savez(stems, **runner.run(np.load(mixture)))
