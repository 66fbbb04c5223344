"""Where a training stands, kept so that one that was stopped goes on exactly."""

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
from waveunet_tf.training.optimizer import adam_of
from waveunet_tf.training.weight_average import WeightAverage

_PROGRESS = "progress.json"
_AVERAGES = "averages.npz"
_KEPT = 2
# Fields of TrainingConfig that a later call may change.
_FREE = ("max_epochs", "patience")


@dataclasses.dataclass
class Progress:
    """Where a training stands.

    Attributes:
        stage: 0, or 1 for the fine-tuning.
        epoch: epochs done, of both stages.
        step: optimiser steps done.
        excerpt: the number of the next excerpt.
        best_loss: the lowest validation loss, or negative SDR, or training loss, as
            they are judged.
        best_epoch: the epoch that gave it.
        stage_began: the epoch after which the stage began.
        epoch_steps: steps done of the epoch in work.
        epoch_loss: the sum of their losses.
        epoch_seconds: how long they took.
        random_state: of the network's layers that draw, such as dropout.
        loss_scale: float16's, and the steps since it last changed; else empty.
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

    def keep_state_of(self, network: keras.Model, optimizer) -> None:
        """Takes what of them is not in a checkpoint."""
        self.random_state = [
            keras.ops.convert_to_numpy(seed).tolist() for seed in _random_seeds(network)
        ]
        self.loss_scale = [
            keras.ops.convert_to_numpy(variable).item()
            for variable in _loss_scale(optimizer)
        ]

    def give_state_to(self, network: keras.Model, optimizer) -> None:
        """Sets it. What was saved by another precision has no loss scale to give."""
        for seed, value in zip(_random_seeds(network), self.random_state):
            seed.assign(value)
        for variable, value in zip(_loss_scale(optimizer), self.loss_scale):
            variable.assign(value)

    def end_step(self, loss: float, batch_size: int) -> None:
        """Counts a step."""
        self.step += 1
        self.epoch_steps += 1
        self.epoch_loss += loss
        self.excerpt += batch_size

    def end_epoch(self, loss: float) -> bool:
        """Counts an epoch judged by this loss; tells whether it is the best."""
        self.epoch += 1
        self.epoch_steps, self.epoch_loss, self.epoch_seconds = 0, 0.0, 0.0
        if better := loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
        return better

    def has_stalled(self, patience: int) -> bool:
        """Whether so many epochs of this stage brought nothing better."""
        return self.epoch - max(self.best_epoch, self.stage_began) >= patience


def _random_seeds(network: keras.Model) -> list:
    weights = {id(weight) for weight in network.weights}
    return [variable for variable in network.variables if id(variable) not in weights]


def _loss_scale(optimizer) -> list:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return [optimizer.dynamic_scale, optimizer.step_counter]
    return []


class StateStore:
    """The last states of a training, in `<workdir>/state/<step>`.

    A state is a checkpoint with Adam's moments, `progress.json`, and the averages of
    the weights, if there are any. It appears when it is whole; the one before is kept,
    should the disk spoil the last.
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
        """Takes what states are of; nothing is written yet.

        Args:
            workdir: the training's.
            config: the network's.
            training: how it is trained.
            network: the network.
            optimizer: what optimizer.build_optimizer gave, built.
            average: the averages of the network's weights.
        """
        self._folder = pathlib.Path(workdir) / "state"
        self._config, self._training = config, training
        self._network, self._optimizer = network, optimizer
        self._average = average

    def save(self, progress: Progress) -> None:
        """Saves a state.

        Raises:
            OSError: it cannot be written; the last one is kept.
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

    def load(self) -> Progress | None:
        """Goes where the last state that can be read stood.

        Returns:
            Where the training stood; None where there is no state.

        Raises:
            InputError: the state is of another config; or none can be read.
        """
        paths = self._paths()
        for path in paths:
            try:
                progress = self._load(path)
            except InputError as error:
                logging.warning("%s; taking the state before", error)
                continue
            self._refuse_another(path)
            logging.info("going on after step %d", progress.step)
            return progress
        if paths:
            raise InputError(f"{self._folder}: must hold a whole state, but none is")
        return None

    def _paths(self) -> list[pathlib.Path]:
        """The states, the last one first."""
        return sorted(self._folder.glob("[0-9]*"), reverse=True)

    def _load(self, path: pathlib.Path) -> Progress:
        try:
            text = (path / _PROGRESS).read_text(encoding="utf-8")
            progress = Progress(**json.loads(text))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path}: its {_PROGRESS} cannot be read") from error
        network, state = self._network, checkpoint.Checkpoint.open(path)
        network.set_weights(state.load_network().get_weights())
        if not state.load_adam(network, adam_of(self._optimizer)):
            raise InputError(f"{path}: must hold Adam's moments, but does not")
        self._average.load(path / _AVERAGES, network)
        progress.give_state_to(network, self._optimizer)
        return progress

    def _refuse_another(self, path: pathlib.Path) -> None:
        state = checkpoint.Checkpoint.open(path)
        theirs = {**state.config.to_dict(), **state.training.to_dict()}
        ours = {**self._config.to_dict(), **self._training.to_dict()}
        free = set(_FREE)
        if self._training.learning_rate_schedule == "cosine":
            free -= {"max_epochs"}  # the schedule depends on it
        differ = [
            f"{name} ({theirs.get(name)}, now {ours.get(name)})"
            for name in sorted(set(ours) | set(theirs))
            if theirs.get(name) != ours.get(name) and name not in free
        ]
        if differ:
            raise InputError(
                f"{path.parent.parent}: holds another training, to go on with the same "
                f"flags or to be left alone. What differs: {', '.join(differ)}"
            )
