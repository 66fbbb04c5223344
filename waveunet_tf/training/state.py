"""The state of a training, saved so that a stopped one continues exactly."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil

import keras
from absl import logging

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.system import files
from waveunet_tf.training import continuation
from waveunet_tf.training.history import HISTORY
from waveunet_tf.training.optimizer import adam_of
from waveunet_tf.training.progress import TrainingProgress
from waveunet_tf.training.weight_average import WeightAverage

RESULTS = ("best", HISTORY)
"""What a training leaves in its workdir beside its states."""
_PROGRESS = "progress.json"
_AVERAGES = "averages.npz"
_KEPT = 2


class StateStore:
    """The last states of a training, in `<workdir>/state`.

    A state is a checkpoint with Adam's moments, `progress.json`, and the averages of
    the weights, if there are any. It appears only when it is complete. The state before
    is kept, in case the disk spoils the last one, and so are the states to which the
    training would go back from these two.
    """

    def __init__(
        self,
        workdir: str | os.PathLike,
        config: NetworkConfig,
        training: TrainingConfig,
        network: keras.Model,
        optimizer: keras.Optimizer,
        average: WeightAverage,
    ):
        """Prepares to save and load; nothing is written yet.

        Args:
            workdir: The training's folder.
            config: The network's config.
            training: How it is trained.
            network: The network.
            optimizer: What optimizer.build_optimizer returned, built.
            average: The averages of the network's weights.
        """
        self._folder = pathlib.Path(workdir) / "state"
        self._config, self._training = config, training
        self._network, self._optimizer = network, optimizer
        self._average = average
        self._last = ""  # the name of the state that was saved or loaded last

    def save(self, progress: TrainingProgress) -> None:
        """Saves the state.

        Args:
            progress: Where the training stands.

        Raises:
            OSError: The state cannot be written; the last ones are kept.
        """
        progress.keep_state_of(self._network, self._optimizer)
        path = self._folder / progress.name
        if path.name == self._last:
            return
        if path.exists():  # broken, or of a training that took no step
            shutil.rmtree(path)
        with files.atomic_folder(path) as part:
            checkpoint.save_checkpoint(
                part,
                self._network,
                self._config,
                self._training,
                optimizer=adam_of(self._optimizer),
            )
            self._average.save(part / _AVERAGES)
            text = json.dumps(dataclasses.asdict(progress))
            (part / _PROGRESS).write_text(text, encoding="utf-8")
        self._last = path.name
        self._remove_old()

    def _remove_old(self) -> None:
        """Removes all but the last states, and those that they would go back to."""
        paths = self._paths()
        kept = {path.name for path in paths[:_KEPT]}
        for path in paths[:_KEPT]:
            with contextlib.suppress(InputError):
                kept.add(_read_progress(path).good)
        for path in paths:
            if path.name not in kept:
                shutil.rmtree(path)

    def load(self) -> TrainingProgress | None:
        """Loads the last state that can be read.

        Returns:
            Where the training stands; None where there is no state.

        Raises:
            InputError: The state is of another config, or no state can be read.
        """
        paths = self._paths()
        for path in paths:
            try:
                state = checkpoint.Checkpoint.open(path)
                differences = self._differences(state)
                progress = None if differences else self._load(state)
            except InputError as error:
                logging.warning("%s; loading the state before", error)
                continue
            if progress is None:
                if self._is_worthless(path):
                    return None
                raise continuation.another_training(self._folder.parent, differences)
            logging.info("going on after step %d", progress.step)
            self._last = path.name
            return progress
        if paths:
            raise InputError(f"{self._folder}: must hold a whole state, but none is")
        return None

    def _is_worthless(self, path: pathlib.Path) -> bool:
        """Returns whether a training took no step, so that another one may begin."""
        workdir = self._folder.parent
        made = [name for name in RESULTS if (workdir / name).exists()]
        return _order(path) == [0, 0, 0, 0] and not made

    def go_back(self, name: str) -> TrainingProgress:
        """Loads a state that the training goes back to.

        Args:
            name: Its name, see TrainingProgress.good.

        Returns:
            Where the training stood.

        Raises:
            InputError: The state cannot be read.
        """
        return self._load(checkpoint.Checkpoint.open(self._folder / name))

    def _paths(self) -> list[pathlib.Path]:
        """Lists the states, the last one first."""
        paths = [path for path in self._folder.glob("[0-9]*") if _order(path)]
        return sorted(paths, key=_order, reverse=True)

    def _load(self, state: checkpoint.Checkpoint) -> TrainingProgress:
        path, network = state.directory, self._network
        progress = _read_progress(path)
        network.set_weights(state.load_network().get_weights())
        if not state.load_adam(network, adam_of(self._optimizer)):
            raise InputError(f"{path}: must hold Adam's moments, but does not")
        self._average.load(path / _AVERAGES, network)
        progress.give_state_to(network, self._optimizer)
        return progress

    def _differences(self, state: checkpoint.Checkpoint) -> list[str]:
        """Lists the fields in which a state's configs differ from this training's."""
        if state.training is None:
            raise InputError(f"{state.directory}: must say how it was trained")
        return continuation.differences(
            (state.config, state.training), (self._config, self._training)
        )


def _order(path: pathlib.Path) -> list[int] | None:
    """Returns by what a state is sorted; None for what is no state.

    A name is the numbers of steps, finished epochs and the stage and, if there are any,
    of ways back, after which the steps count anew.
    """
    if not re.fullmatch(r"\d+-\d+-\d+(-\d+)?", path.name):
        return None
    numbers = [int(number) for number in path.name.split("-")]
    return [*numbers[3:], *numbers[:3]] if numbers[3:] else [0, *numbers]


def _read_progress(path: pathlib.Path) -> TrainingProgress:
    """Reads where a training stood in a state.

    Raises:
        InputError: It cannot be read.
    """
    try:
        progress = TrainingProgress.from_dict(files.read_json(path / _PROGRESS))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: its {_PROGRESS} cannot be read") from error
    progress.good = progress.good or path.name  # of an earlier version
    return progress
