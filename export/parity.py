"""How far an exported artefact is from the network that it was made of."""

from __future__ import annotations

import os

import numpy as np

from export.tflite import TFLiteWindow
from waveunet_tf import checkpoint


def window_difference(
    checkpoint_dir: str | os.PathLike, tflite_path: str | os.PathLike
) -> float:
    """The largest difference of a TFLite file's output from the Keras network's.

    The input is noise, in its second half of full scale.

    Args:
        checkpoint_dir: the checkpoint.
        tflite_path: a file of what `tflite.convert_float32` gave for it.

    Returns:
        The largest absolute difference over all sources and frames.
    """
    artefact = TFLiteWindow(tflite_path)
    frames = artefact.metadata["input_frames"]
    channels = artefact.metadata["network"]["channels"]
    generator = np.random.default_rng(0)
    mixture = generator.normal(0, 0.1, (1, frames, channels)).astype(np.float32)
    mixture[:, frames // 2 :] *= 20
    mixture = mixture.clip(-1, 1)
    expected = checkpoint.load_network(checkpoint_dir)(mixture)
    actual = artefact(mixture)
    return max(
        float(np.abs(actual[source] - np.asarray(expected[source])).max())
        for source in expected
    )
