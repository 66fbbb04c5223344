"""The states of a training on JAX: the last one, and one to go back to."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil

import numpy as np

from examples.pretrained.jax_training import LostAt, Trainer
from waveunet_tf.checkpoints.arrays import read_npz
from waveunet_tf.configs.networks import network_config_from_json
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.system import files
from waveunet_tf.training import continuation
from waveunet_tf.training.guard import Guard


class States:
    """The last state of a training, and the last good one, to which it goes back.

    Attributes:
        epochs: The number of epochs done.
        best: The highest mean SDR so far, in dB.
    """

    def __init__(self, workdir: str | os.PathLike, trainer: Trainer):
        """Loads the last state if there is one, or else writes the first.

        Args:
            workdir: The folder of both files.
            trainer: The training, whose state and guard are loaded and saved.

        Raises:
            InputError: The state is broken, of another version, or of a training with
                other flags.
            OSError: A state cannot be written.
        """
        self._last = os.path.join(workdir, "state.npz")
        self._good = os.path.join(workdir, "good.npz")
        self._trainer = trainer
        self.epochs, self.best = 0, -math.inf
        if os.path.exists(self._last):
            self.epochs, self.best = self._load(self._last)
        self.save()

    def save(self) -> None:
        """Writes the state, which is the good one, too, if it is good."""
        trainer = self._trainer
        arrays = {
            f"{name}/{number}": np.asarray(array)
            for name, list_ in trainer.state.items()
            for number, array in enumerate(list_)
        }
        texts = {
            "guard": dataclasses.asdict(trainer.guard),
            "network": trainer.config.to_json(),
            "training": trainer.training.to_dict(),
        }
        texts = {name: json.dumps(values) for name, values in texts.items()}
        with files.atomic_file(self._last) as part, part.open("wb") as out:
            np.savez(out, epoch=self.epochs, best=self.best, **texts, **arrays)
        if trainer.guard.is_good:
            with files.atomic_file(self._good) as part:
                try:
                    os.link(self._last, part)  # The state is large.
                except OSError:  # A file system without links.
                    shutil.copyfile(self._last, part)

    def go_back(self, lost: LostAt) -> None:
        """Goes back to the last good state, with half the learning rate.

        Args:
            lost: Where the training was lost, and how.

        Raises:
            InputError: It has gone back three times already.
        """
        trainer, guard = self._trainer, self._trainer.guard
        epochs, _ = self._load(self._good)
        training = trainer.training
        trainer.guard = guard.go_back(
            trainer.guard,
            lost.lost,
            lost.place,
            to_step=epochs * training.steps_per_epoch,
            learning_rate=training.learning_rate,
        )
        self.epochs = epochs
        self.save()

    def _load(self, path: str) -> tuple[int, float]:
        """Gives the trainer a state.

        Returns:
            The number of epochs done, and the highest mean SDR, in dB.
        """
        trainer = self._trainer
        try:
            file = read_npz(path)
            then = (
                network_config_from_json(json.loads(str(file["network"]))),
                TrainingConfig.from_dict(json.loads(str(file["training"]))),
            )
            state = {
                name: [file[f"{name}/{number}"] for number in range(len(list_))]
                for name, list_ in trainer.state.items()
            }
            found = int(file["epoch"]), float(file["best"])
            guard = Guard(**json.loads(str(file["guard"])))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}: must be the state of a training of this version: {error}"
            ) from error
        now = trainer.config, trainer.training
        if differences := continuation.differences(then, now):
            raise continuation.another_training(os.path.dirname(path), differences)
        trainer.state, trainer.guard = state, guard
        return found
