"""What must hold for a training to begin, to go on, and to be judged."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Callable, Iterator

import keras
import tensorflow as tf

from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.training.log import HISTORY
from waveunet_tf.training.optimizer import adam_of
from waveunet_tf.training.state import Progress
from waveunet_tf.training.step import Step

# So many steps in a row whose outputs are saturated end a training.
_SATURATED_STEPS = 20


def require_division(batch_size: int, replicas: int, parts: int) -> None:
    """Requires that devices and their parts divide a batch.

    Raises:
        InputError: they do not.
    """
    if batch_size % (replicas * parts):
        raise InputError(
            f"`batch_size` and `fine_tuning_batch_size` must be multiples of "
            f"{replicas * parts}, {replicas} devices times {parts} "
            f"`accumulate_steps`. Received: {batch_size}"
        )


def refuse_used(workdir: pathlib.Path) -> None:
    """Requires that a workdir without a state holds no training's results.

    Raises:
        InputError: it does.
    """
    for name in ("best", HISTORY):
        if (workdir / name).exists():
            raise InputError(
                f"{workdir}: must be new, or hold a training that can go on, but holds "
                f"{name} without a state"
            )


class StepWatch:
    """Ends a training that cannot learn any more."""

    def __init__(self, workdir: pathlib.Path, optimizer: keras.Optimizer):
        """Takes what tells where the best weights are, and if losses are scaled."""
        self._workdir = workdir
        # The loss scale of float16 passes over gradients that are not finite.
        self._gradients_count = optimizer is adam_of(optimizer)
        self._saturated_steps = 0

    def require_sound(self, step: Step, progress: Progress) -> None:
        """Looks at a step, before progress counts it.

        Raises:
            InputError: its loss or gradient is not finite; or, as in some before it,
                most of the outputs are saturated, so that no gradient leads back.
        """
        loss, norm = float(step.loss), float(step.gradient_norm)
        saturated = float(step.saturated)
        self._saturated_steps = self._saturated_steps + 1 if saturated > 0.5 else 0
        finite = math.isfinite(loss) and (
            math.isfinite(norm) or not self._gradients_count
        )
        if finite and self._saturated_steps < _SATURATED_STEPS:
            return
        rule = f"The loss must stay a finite number, but is {loss} (gradient {norm})"
        if finite:
            rule = (
                "At least half of the output's samples must be within ±0.99, but for "
                f"{_SATURATED_STEPS} steps {saturated:.0%} are not"
            )
        best = ""
        if progress.best_epoch:
            best = f"; {self._workdir / 'best'} holds epoch {progress.best_epoch}, "
            best += "from which --init_from in a new workdir goes on"
        raise InputError(
            f"{rule}, at step {progress.epoch_steps + 1} of epoch "
            f"{progress.epoch + 1}; a lower `learning_rate` may help{best}"
        )


def judged(
    training: TrainingConfig,
    loss: float,
    validation_loss: float | None,
    sdr: dict[str, float | None] | None,
) -> float:
    """What an epoch is judged by, the lower the better.

    Args:
        training: tells by what.
        loss: the training's.
        validation_loss: None where there are no validation tracks.
        sdr: source → median SDR in dB, None where it is silent in all tracks.

    Raises:
        InputError: it is to be the SDR, but all sources are silent.
    """
    if training.best_by == "loss":
        return loss if validation_loss is None else validation_loss
    heard = [level for level in sdr.values() if level is not None]
    if not heard:
        raise InputError(
            "`best_by` sdr needs a validation track with sound, but all sources are "
            "silent in all of them"
        )
    return -sum(heard) / len(heard)


def next_batch(batches: Iterator, what: str):
    """The next of batches.

    Raises:
        InputError: what they are of cannot be read: a file changed, or was not whole.
    """
    try:
        return next(batches)
    except tf.errors.OpError as error:
        raise InputError(f"{what} must be readable: {error.message}") from error


def computed(function: Callable, batch, stops: float):
    """What a step, or the scores of a batch, gives.

    Raises:
        InputError: the memory is too small, or a worker is gone.
    """
    try:
        return function(batch, tf.constant(stops))
    except tf.errors.ResourceExhaustedError as error:
        raise InputError(
            "The batch must fit into the memory, but does not; a lower `batch_size` or "
            "a higher `accumulate_steps` takes less"
        ) from error
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise InputError(
            "All workers must be there, but one is gone; started again, all go on from "
            "the last state"
        ) from error
