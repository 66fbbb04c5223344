"""Moving averages of a training's weights (Polyak averaging)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import keras
import numpy as np

from waveunet_tf.checkpoints import arrays
from waveunet_tf.errors import InputError

# Steps between two updates: weights so near hardly differ, and fetching them from a GPU
# takes time.
_STEPS = 10


class WeightAverage:
    """Exponential moving averages of all weights of a network.

    They are computed on the host, so that they are the same with any number of devices.
    The momentum of update n is at most (1 + n) / (10 + n), as in TF1's
    `ExponentialMovingAverage`, so that the first weights are forgotten sooner.
    """

    def __init__(self, momentum: float):
        """Begins without weights.

        Args:
            momentum: The share of the averages that a step keeps; 0: no averages.
        """
        self._momentum = momentum**_STEPS
        self._updates = 0
        self._averages: list[np.ndarray] = []

    def end_step(self, step: int, network: keras.Model) -> None:
        """Updates the averages, at every tenth step.

        Args:
            step: The number of finished steps.
            network: The network.
        """
        if not self._momentum or step % _STEPS:
            return
        weights = network.get_weights()
        if not self._averages:
            self._averages = weights
            return
        self._updates += 1
        momentum = min(self._momentum, (1 + self._updates) / (10 + self._updates))
        for average, weight in zip(self._averages, weights):
            average += np.float32(1 - momentum) * (weight - average)

    def restart(self) -> None:
        """Forgets all weights."""
        self._updates, self._averages = 0, []

    @contextlib.contextmanager
    def within(self, network: keras.Model) -> Iterator[None]:
        """Replaces the weights by the averages, if any, within a `with` block."""
        if not self._averages:
            yield
            return
        weights = network.get_weights()
        network.set_weights(self._averages)
        try:
            yield
        finally:
            network.set_weights(weights)

    def save(self, path: str | os.PathLike) -> None:
        """Writes the averages as `.npz`, if there are any.

        Raises:
            OSError: The file cannot be written.
        """
        if self._averages:
            with open(path, "wb") as file:
                np.savez(file, *self._averages, updates=self._updates)

    def load(self, path: str | os.PathLike, network: keras.Model) -> None:
        """Reads what `save` wrote; without a file there are no averages yet.

        Args:
            path: The file.
            network: The network whose weights are averaged.

        Raises:
            InputError: The file is broken, or its averages are of another network.
        """
        if not self._momentum or not os.path.exists(path):
            self.restart()
            return
        shapes = [tuple(weight.shape) for weight in network.weights]
        try:
            file = arrays.read_npz(path)
            averages = [file[f"arr_{number}"] for number in range(len(shapes))]
            self._updates = int(file["updates"])
        except InputError:
            raise
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}: must be whole, but is broken: {error}"
            ) from error
        if [average.shape for average in averages] != shapes:
            raise InputError(f"{path}: must be of the same network, but is of another")
        self._averages = averages
