"""Notices a training that is lost, and counts how often it has gone back."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from waveunet_tf.errors import InputError

LOST_STEPS = 200
"""Steps in a row, worse than the mixture, after which a training is lost."""
MAX_ROLLBACKS = 3
"""Times that a training goes back before it ends."""
# Steps in a row with saturated outputs after which a training is lost.
_SATURATED_STEPS = 20
# Steps within which a training must become better than the mixture.
_BEGINNING_STEPS = 2000


class Lost(Exception):
    """A training that cannot learn any more; the text is the rule that it broke."""


class StepNumbers(NamedTuple):
    """What a step of gradient descent tells about a training.

    Attributes:
        loss: The mean over the batch, before the step.
        mixture_loss: The same loss of the mixture taken as every estimate.
        gradient_norm: The gradients' Euclidean norm over all weights, before clipping.
        saturated: The share of the estimates' samples beyond ±0.99.
    """

    loss: float
    mixture_loss: float
    gradient_norm: float
    saturated: float


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a training stands.

    Attributes:
        stage: 0, or 1 for the fine-tuning.
        epoch: The number of finished epochs.
        step: The number of finished steps.
        epoch_step: Those of the current epoch.
    """

    stage: int
    epoch: int
    step: int
    epoch_step: int


@dataclasses.dataclass
class Guard:
    """Watches the steps of a training; a part of its state.

    A step is bad where its loss is above that of the mixture taken as every estimate,
    on the same excerpts. A training may begin there, for instance with new output
    layers, or since a difference network begins with the mixture as its last source.
    Within the first 2000 steps after the warm-up, a step is therefore good if it is
    nearer to the mixture's loss than the first step was; what counts as near falls
    linearly to nothing.

    Attributes:
        bad_steps: The number of bad steps since the last good one.
        saturated_steps: The number of steps in a row with saturated outputs.
        first_excess: The first step's loss above the mixture's; None before it.
        rate_factor: What the learning rate is multiplied by.
        rollbacks: What the history says about each time that the training went back.
    """

    bad_steps: int = 0
    saturated_steps: int = 0
    first_excess: float | None = None
    rate_factor: float = 1.0
    rollbacks: list[dict] = dataclasses.field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether a state of this moment is one to go back to."""
        return self.bad_steps == 0 and self.saturated_steps == 0

    def check(
        self,
        numbers: StepNumbers,
        step: int,
        *,
        warmup_steps: int = 0,
        gradients_count: bool = True,
    ) -> None:
        """Checks a step.

        Args:
            numbers: What the step tells.
            step: The number of the step, from 0, in the whole training.
            warmup_steps: The steps in which no loss is too high.
            gradients_count: Whether gradients must be finite: the loss scale of float16
                skips those that are not.

        Raises:
            Lost: The loss or the gradient is not finite; most of the outputs have been
                saturated for 20 steps, so that no gradient leads back; or 200 steps in
                a row were bad.
            InputError: The excerpts are not finite.
        """
        loss, mixture_loss, norm, saturated = numbers
        if not math.isfinite(mixture_loss):
            raise InputError(
                "All samples of the excerpts must be finite numbers, but those of step "
                f"{step + 1} are not; `waveunet data` looks at what was prepared"
            )
        if not math.isfinite(loss) or (gradients_count and not math.isfinite(norm)):
            raise Lost(
                f"The loss must stay a finite number, but is {loss} (gradient {norm})"
            )
        self.saturated_steps = self.saturated_steps + 1 if saturated > 0.5 else 0
        if self.saturated_steps >= _SATURATED_STEPS:
            raise Lost(
                "At least half of the output's samples must be within ±0.99, but for "
                f"{_SATURATED_STEPS} steps {saturated:.0%} are not"
            )
        is_bad = self._is_bad(loss - mixture_loss, step - warmup_steps)
        self.bad_steps = self.bad_steps + 1 if is_bad else 0
        if self.bad_steps >= LOST_STEPS:
            raise Lost(
                "The loss must be below that of the mixture taken as every estimate "
                f"({mixture_loss:.3g}), but for {LOST_STEPS} steps is above it, now "
                f"{loss:.3g}"
            )

    def _is_bad(self, excess: float, step: int) -> bool:
        """Returns whether a loss is too far above the mixture's after the warm-up."""
        if self.first_excess is None:
            self.first_excess = max(excess, 0.0)
        allowed = self.first_excess * max(0.0, 1 - step / _BEGINNING_STEPS)
        return step >= 0 and excess > allowed

    def begin_stage(self) -> None:
        """Begins a stage, which has a learning rate of its own."""
        self.bad_steps = self.saturated_steps = 0
        self.rate_factor = 1.0

    def go_back(
        self,
        good: Guard,
        lost: Lost,
        place: Place,
        *,
        to_step: int,
        learning_rate: float,
        best: str = "",
    ) -> Guard:
        """Returns the guard of the training that goes back, at half the learning rate.

        Args:
            good: The guard of the state that it goes back to.
            lost: How it was lost.
            place: Where it was lost.
            to_step: The steps of the state that it goes back to.
            learning_rate: The learning rate of the stage, before the guard's factor.
            best: Where the best checkpoint lies, for the message.

        Raises:
            InputError: It has gone back three times already.
        """
        here = f"at step {place.epoch_step + 1} of epoch {place.epoch + 1}"
        if len(self.rollbacks) >= MAX_ROLLBACKS:
            raise InputError(
                f"{lost}, {here}; a lower `learning_rate` may help, or more "
                f"`warmup_steps`: {MAX_ROLLBACKS} times half of it did not{best}"
            )
        factor = self.rate_factor / 2
        record = {
            "rollback": len(self.rollbacks) + 1,
            "reason": f"{lost}, {here}",
            "epoch": place.epoch + 1,
            "stage": place.stage + 1,
            "step": place.step + 1,
            "to_step": to_step,
            "learning_rate": learning_rate * factor,
        }
        return dataclasses.replace(
            good,
            bad_steps=0,
            saturated_steps=0,
            rate_factor=factor,
            rollbacks=[*self.rollbacks, record],
        )
