"""Moving averages of a training's weights (Polyak averaging)."""

from __future__ import annotations

import contextlib
import os
import zipfile
from collections.abc import Iterator

import keras
import numpy as np

from waveunet_tf.errors import InputError

# So near to each other weights hardly differ, and to fetch them from a GPU takes time.
_STEPS = 10


class WeightAverage:
    """Averages of all weights, each new one a share of them.

    They lie on the host, so that they are the same with any number of devices. The
    first weights are forgotten sooner, by a momentum of at most (1 + n) / (10 + n) at
    the nth update, as TF1's `ExponentialMovingAverage` has it.
    """

    def __init__(self, momentum: float):
        """Takes the momentum of a step; 0: there are no averages."""
        self._momentum = momentum**_STEPS
        self._updates = 0
        self._averages: list[np.ndarray] = []

    def end_step(self, step: int, network: keras.Model) -> None:
        """Takes the weights after so many steps into account."""
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
        """Puts the averages, if there are any, into the network for a while."""
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
        """Writes them as `.npz`, if there are any."""
        if self._averages:
            with open(path, "wb") as file:
                np.savez(file, *self._averages, updates=self._updates)

    def load(self, path: str | os.PathLike, network: keras.Model) -> None:
        """Reads what `save` wrote; without a file there are no averages yet.

        Raises:
            InputError: they are broken or of another network.
        """
        if not self._momentum or not os.path.exists(path):
            self.restart()
            return
        shapes = [tuple(weight.shape) for weight in network.weights]
        try:
            with np.load(path, allow_pickle=False) as file:
                averages = [file[f"arr_{number}"] for number in range(len(shapes))]
                self._updates = int(file["updates"])
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise InputError(
                f"{path}: must be whole, but is broken: {error}"
            ) from error
        if [average.shape for average in averages] != shapes:
            raise InputError(f"{path}: must be of the same network, but is not")
        self._averages = averages
