"""Adam as the original has it, and its moments in a checkpoint."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError

if TYPE_CHECKING:  # a checkpoint's config is read without Keras
    import keras


OPTIMIZER = "optimizer.weights.h5"


def build_adam(
    training: TrainingConfig, kind: type | None = None
) -> keras.optimizers.Adam:
    """Adam as the original has it: TF1's epsilon is a tenth of Keras' own.

    Args:
        training: tells the learning rate.
        kind: a subclass of Keras' Adam, by default itself.
    """
    import keras

    kind = kind or keras.optimizers.Adam
    return kind(training.learning_rate, epsilon=1e-8, name="adam")


def load_adam(
    directory: str | os.PathLike,
    network: keras.Model,
    optimizer: keras.optimizers.Adam,
) -> bool:
    """Sets Adam's moments and step, but not the learning rate, from a checkpoint.

    Args:
        directory: the checkpoint.
        network: its network.
        optimizer: Adam, built or not.

    Returns:
        False where the checkpoint holds none.

    Raises:
        InputError: they are broken or of another network.
    """
    import h5py
    from keras import ops

    path = pathlib.Path(directory) / OPTIMIZER
    if not path.exists():
        return False
    optimizer.build(network.trainable_variables)
    learning_rate = float(ops.convert_to_numpy(optimizer.learning_rate))

    def load() -> None:
        with h5py.File(path) as file:
            optimizer.load_own_variables(file)

    load_checked(path, optimizer.variables, load)
    optimizer.learning_rate = learning_rate
    return True


def load_checked(path: pathlib.Path, variables: list, load: Callable[[], None]):
    """Loads arrays if the file holds those of the variables, and no others.

    Keras' own loading passes over arrays that it does not use.
    """
    import h5py

    expected = sorted(tuple(variable.shape) for variable in variables)
    saved = []
    try:
        with h5py.File(path) as file:
            file.visititems(
                lambda _, item: (
                    saved.append(item.shape) if isinstance(item, h5py.Dataset) else None
                )
            )
        if matches := sorted(saved) == expected:
            load()
    except (OSError, KeyError, ValueError, RuntimeError) as error:  # h5py's and Keras'
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: must be whole, but is broken: {reason}") from error
    if not matches:
        other = [shape for shape in saved if shape not in expected]
        raise InputError(
            f"{path}: must hold the config's {len(expected)} arrays. Received: "
            f"{len(saved)} arrays"
            + (f", one of them of shape {other[0]}" if other else "")
        )
