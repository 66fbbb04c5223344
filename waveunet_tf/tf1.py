"""The original implementation's TF1 checkpoints: names, order, values."""

from __future__ import annotations

import keras
import numpy as np


def variable_names(network: keras.Model) -> dict[str, str]:
    """Maps our variables to the original's, which numbers layers as it makes them.

    Args:
        network: a Wave-U-Net from `model.build_network`.

    Returns:
        Our variable's path (such as `down_0/kernel`) → the original's name (such as
        `separator/conv1d/kernel`).
    """
    names = {}
    convolutions = interpolations = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv1D):
            number = f"_{convolutions}" if convolutions else ""
            names[f"{layer.name}/kernel"] = f"separator/conv1d{number}/kernel"
            names[f"{layer.name}/bias"] = f"separator/conv1d{number}/bias"
            convolutions += 1
        elif layer.weights:
            names[f"{layer.name}/interpolation"] = f"separator/interp_{interpolations}"
            interpolations += 1
    return names


def load_weights(network: keras.Model, prefix: str) -> None:
    """Sets the network's weights from the original's checkpoint.

    Args:
        network: a Wave-U-Net of the checkpoint's sizes.
        prefix: the checkpoint's path without `.index`.
    """
    import tensorflow as tf

    reader = tf.train.load_checkpoint(prefix)
    names = variable_names(network)
    for variable in network.weights:
        variable.assign(np.asarray(reader.get_tensor(names[variable.path])))
