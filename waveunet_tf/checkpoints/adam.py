"""Adam with the epsilon of TensorFlow 1, and its moments in a checkpoint."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from waveunet_tf.checkpoints import arrays
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.system import files

if TYPE_CHECKING:  # a checkpoint's config is read without Keras
    import keras

MOMENTS = "optimizer.weights.h5"
EPSILON = 1e-8
"""TensorFlow 1's epsilon, with which the original trained; Keras' own is 1e-7."""


def build_adam(
    training: TrainingConfig, kind: type | None = None
) -> keras.optimizers.Adam:
    """Builds Adam as the original trains with it.

    Args:
        training: How to train; gives the learning rate.
        kind: A subclass of Keras' Adam to build instead of it.
    """
    import keras

    kind = kind or keras.optimizers.Adam
    return kind(training.learning_rate, epsilon=EPSILON, name="adam")


def save_moments(path: pathlib.Path, optimizer: keras.optimizers.Adam) -> None:
    """Writes Adam's moments and step.

    Args:
        path: The file.
        optimizer: Adam, built.

    Raises:
        OSError: The file cannot be written.
    """
    import h5py

    with files.atomic_file(path) as part, h5py.File(part, "w") as file:
        optimizer.save_own_variables(file)


def load_moments(
    path: pathlib.Path, network: keras.Model, optimizer: keras.optimizers.Adam
) -> bool:
    """Sets Adam's moments and step, but not its learning rate.

    Args:
        path: The file that save_moments wrote.
        network: The network that Adam trains.
        optimizer: Adam, built or not.

    Returns:
        Whether there is such a file; Adam is unchanged if there is none.

    Raises:
        InputError: The file is broken or of another network.
    """
    import h5py
    from keras import ops

    if not path.exists():
        return False
    optimizer.build(network.trainable_variables)
    learning_rate = float(ops.convert_to_numpy(optimizer.learning_rate))

    def load() -> None:
        with h5py.File(path) as file:
            optimizer.load_own_variables(file)

    arrays.load_exactly(path, optimizer.variables, load)
    optimizer.learning_rate = learning_rate
    return True
