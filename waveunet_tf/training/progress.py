"""Where a training stands: what of it a checkpoint does not hold."""

from __future__ import annotations

import dataclasses
import math

import keras

from waveunet_tf.training.guard import Guard, Lost, Place
from waveunet_tf.training.optimizer import loss_scale_of


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
        guard: What watches the steps, and has told to go back.
        good: The name of the state to go back to.
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
    guard: Guard = dataclasses.field(default_factory=Guard)
    good: str = ""
    data: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def from_dict(cls, values: dict) -> TrainingProgress:
        """Takes what dataclasses.asdict gave, perhaps in an earlier version.

        Raises:
            TypeError: A field is unknown, or of another type.
        """
        values = _of_types(cls(), values)
        guard = Guard(first_excess=0.0)
        found = _of_types(guard, values.pop("guard", {}), may_be_none="first_excess")
        return cls(**values, guard=Guard(**found))

    @property
    def name(self) -> str:
        """The name of the state of this moment."""
        name = f"{self.step:09d}-{self.epoch}-{self.stage}"
        rollbacks = len(self.guard.rollbacks)
        return f"{name}-{rollbacks}" if rollbacks else name

    @property
    def place(self) -> Place:
        """Where the training stands, for the guard."""
        return Place(self.stage, self.epoch, self.step, self.epoch_steps)

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

    def begin_stage(self, stage: int) -> None:
        """Begins a stage, by its number."""
        self.stage, self.stage_began = stage, self.epoch
        self.guard.begin_stage()

    def mark_good(self) -> None:
        """Makes the state of this moment the one to go back to, if it is good.

        To be called at moments that do not depend on the time, so that a training goes
        back to the same one wherever it was stopped.
        """
        if self.guard.is_good:
            self.good = self.name

    def go_back(
        self,
        good: TrainingProgress,
        lost: Lost,
        *,
        learning_rate: float,
        best: str = "",
    ) -> TrainingProgress:
        """Returns where a lost training stands after going back.

        The best epoch stays what it is, as its checkpoint does.

        Args:
            good: Where it stood in the state that it goes back to.
            lost: How it was lost.
            learning_rate: The learning rate of the stage.
            best: Where the best checkpoint lies, for the message.

        Raises:
            InputError: It has gone back three times already.
        """
        guard = self.guard.go_back(
            good.guard,
            lost,
            self.place,
            to_step=good.step,
            learning_rate=learning_rate,
            best=best,
        )
        progress = dataclasses.replace(
            good,
            guard=guard,
            best_loss=self.best_loss,
            best_epoch=self.best_epoch,
            data=self.data,
        )
        progress.mark_good()
        return progress

    def has_stalled(self, patience: int) -> bool:
        """Returns whether the last `patience` epochs of this stage were no better.

        After a way back, epochs up to the best one's number are done again, and do not
        count: at half the learning rate they may need as many to be as good.
        """
        return self.epoch - max(self.best_epoch, self.stage_began) >= patience


def _of_types(defaults, values, *, may_be_none: str = "") -> dict:
    """Returns values for fields of a dataclass, if they are of the fields' types.

    Raises:
        TypeError: They are not.
    """
    kinds = {name: type(value) for name, value in vars(defaults).items()}
    kinds.update(guard=dict)
    for name, value in dict(values).items():
        if value is None and name == may_be_none:
            continue
        kind = kinds.get(name)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise TypeError(f"{name} must be of type {kind}. Received: {value!r}")
    return dict(values)


def _random_seeds(network: keras.Model) -> list:
    weights = {id(weight) for weight in network.weights}
    return [variable for variable in network.variables if id(variable) not in weights]
