"""The state of a training, saved so that a stopped one continues exactly."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import shutil

import keras
from absl import logging

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.system import files
from waveunet_tf.training.optimizer import adam_of, loss_scale_of
from waveunet_tf.training.weight_average import WeightAverage

_PROGRESS = "progress.json"
_AVERAGES = "averages.npz"
_KEPT = 2
# Fields of TrainingConfig that a later call may change.
_FREE = ("max_epochs", "patience")


@dataclasses.dataclass
class TrainingProgress:
    """Where a training stands.

    Attributes:
        stage: 0, or 1 for the fine-tuning.
        epoch: The number of finished epochs, of both stages.
        step: The number of finished optimiser steps.
        excerpt: The number of the next excerpt.
        best_loss: The lowest score of an epoch (checks.epoch_score).
        best_epoch: The epoch that has it.
        stage_began: The epoch after which the stage began.
        epoch_steps: The number of finished steps of the current epoch.
        epoch_loss: The sum of their losses.
        epoch_seconds: The time that they took.
        random_state: The seeds of layers that draw random numbers, such as dropout.
        loss_scale: float16's loss scale and the steps since it last changed; else
            empty.
        data: What prepared.identify says of each folder of data; empty in states of
            earlier versions.
    """

    stage: int = 0
    epoch: int = 0
    step: int = 0
    excerpt: int = 0
    best_loss: float = math.inf
    best_epoch: int = 0
    stage_began: int = 0
    epoch_steps: int = 0
    epoch_loss: float = 0.0
    epoch_seconds: float = 0.0
    random_state: list = dataclasses.field(default_factory=list)
    loss_scale: list = dataclasses.field(default_factory=list)
    data: list[str] = dataclasses.field(default_factory=list)

    def keep_state_of(self, network: keras.Model, optimizer: keras.Optimizer) -> None:
        """Copies the state that a checkpoint does not hold."""
        self.random_state = [
            keras.ops.convert_to_numpy(seed).tolist() for seed in _random_seeds(network)
        ]
        self.loss_scale = [
            keras.ops.convert_to_numpy(variable).item()
            for variable in loss_scale_of(optimizer)
        ]

    def give_state_to(self, network: keras.Model, optimizer: keras.Optimizer) -> None:
        """Sets what keep_state_of copied; a state of float32 has no loss scale."""
        for seed, value in zip(_random_seeds(network), self.random_state):
            seed.assign(value)
        for variable, value in zip(loss_scale_of(optimizer), self.loss_scale):
            variable.assign(value)

    def end_step(self, loss: float, batch_size: int) -> None:
        """Counts a step of this loss and batch size."""
        self.step += 1
        self.epoch_steps += 1
        self.epoch_loss += loss
        self.excerpt += batch_size

    def end_epoch(self, score: float) -> bool:
        """Counts an epoch of this score, and returns whether it is the best so far."""
        self.epoch += 1
        self.epoch_steps, self.epoch_loss, self.epoch_seconds = 0, 0.0, 0.0
        if better := score < self.best_loss:
            self.best_loss, self.best_epoch = score, self.epoch
        return better

    def has_stalled(self, patience: int) -> bool:
        """Returns whether the last `patience` epochs of this stage were no better."""
        return self.epoch - max(self.best_epoch, self.stage_began) >= patience


def _random_seeds(network: keras.Model) -> list:
    weights = {id(weight) for weight in network.weights}
    return [variable for variable in network.variables if id(variable) not in weights]


class StateStore:
    """The last states of a training, in `<workdir>/state/<step>`.

    A state is a checkpoint with Adam's moments, `progress.json`, and the averages of
    the weights, if there are any. It appears only when it is complete. The state before
    is kept, in case the disk spoils the last one.
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

    def save(self, progress: TrainingProgress) -> None:
        """Saves the state.

        Args:
            progress: Where the training stands.

        Raises:
            OSError: The state cannot be written; the last ones are kept.
        """
        progress.keep_state_of(self._network, self._optimizer)
        path = self._folder / f"{progress.step:09d}-{progress.epoch}-{progress.stage}"
        if path.exists():
            return
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
        for old in self._paths()[_KEPT:]:
            shutil.rmtree(old)

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
                raise InputError(
                    f"{self._folder.parent}: holds another training, to go on with the "
                    "same flags or to be left alone. What differs: "
                    f"{', '.join(differences)}"
                )
            logging.info("going on after step %d", progress.step)
            return progress
        if paths:
            raise InputError(f"{self._folder}: must hold a whole state, but none is")
        return None

    def _paths(self) -> list[pathlib.Path]:
        """Lists the states, the last one first."""
        return sorted(self._folder.glob("[0-9]*"), reverse=True)

    def _load(self, state: checkpoint.Checkpoint) -> TrainingProgress:
        path, network = state.directory, self._network
        try:
            progress = TrainingProgress(**files.read_json(path / _PROGRESS))
        except (OSError, InputError, TypeError) as error:
            raise InputError(f"{path}: its {_PROGRESS} cannot be read") from error
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
        theirs = {**state.config.to_dict(), **state.training.to_dict()}
        ours = {**self._config.to_dict(), **self._training.to_dict()}
        free = set(_FREE)
        if self._training.learning_rate_schedule == "cosine":
            free -= {"max_epochs"}  # on which the schedule depends
        return [
            f"{name} ({theirs.get(name)}, now {ours.get(name)})"
            for name in sorted(set(ours) | set(theirs))
            if theirs.get(name) != ours.get(name) and name not in free
        ]
