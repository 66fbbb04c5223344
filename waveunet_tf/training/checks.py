"""Checks that a training can begin, continue and be judged."""

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
from waveunet_tf.training.state import TrainingProgress
from waveunet_tf.training.step import StepResult

# Steps in a row with saturated outputs that end a training.
_SATURATED_STEPS = 20


def require_division(batch_size: int, replicas: int, parts: int) -> None:
    """Requires that devices and their parts divide a batch.

    Args:
        batch_size: Excerpts a step, on all devices together.
        replicas: The number of devices.
        parts: The parts of a device's batch that are computed one after the other.

    Raises:
        InputError: The batch size is not a multiple of devices times parts.
    """
    if batch_size % (replicas * parts):
        raise InputError(
            f"`batch_size` and `fine_tuning_batch_size` must be multiples of "
            f"{replicas * parts}, {replicas} devices times {parts} "
            f"`accumulate_steps`. Received: {batch_size}"
        )


def refuse_used(workdir: pathlib.Path) -> None:
    """Requires that a workdir without a state holds no results of a training.

    Raises:
        InputError: The workdir holds a best checkpoint or a history.
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
        """Begins to watch.

        Args:
            workdir: The training's folder, for the message.
            optimizer: What optimizer.build_optimizer returned.
        """
        self._workdir = workdir
        # The loss scale of float16 skips gradients that are not finite.
        self._gradients_count = optimizer is adam_of(optimizer)
        self._saturated_steps = 0

    def require_sound(self, result: StepResult, progress: TrainingProgress) -> None:
        """Checks the result of a step.

        Args:
            result: The step's result.
            progress: Where the training stands, before it counts the step.

        Raises:
            InputError: The loss or the gradient is not finite; or most of the outputs
                have been saturated for 20 steps, so that no gradient leads back.
        """
        loss, norm = float(result.loss), float(result.gradient_norm)
        saturated = float(result.saturated)
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


def epoch_score(
    training: TrainingConfig,
    loss: float,
    validation_loss: float | None,
    sdr_db: dict[str, float | None] | None,
) -> float:
    """Returns the number that an epoch is judged by; the lowest is the best.

    Args:
        training: Names the score, in `best_by`.
        loss: The mean training loss.
        validation_loss: The validation loss; None without validation tracks.
        sdr_db: Source → median SDR, None where it is silent in all tracks.

    Raises:
        InputError: The SDR is the score, but all sources are silent.
    """
    if training.best_by == "loss":
        return loss if validation_loss is None else validation_loss
    heard = [level for level in sdr_db.values() if level is not None]
    if not heard:
        raise InputError(
            "`best_by` sdr needs a validation track with sound, but all sources are "
            "silent in all of them"
        )
    return -sum(heard) / len(heard)


def next_batch(batches: Iterator, name: str):
    """Returns the next batch.

    Args:
        batches: An iterator over batches.
        name: A name for what they contain, for the message.

    Raises:
        InputError: A file cannot be read, for instance because it has changed.
    """
    try:
        return next(batches)
    except tf.errors.OpError as error:
        raise InputError(f"{name} must be readable: {error.message}") from error


def call_on_devices(step: Callable, batch: tuple, stops: float):
    """Calls a TrainingStep or a ValidationStep.

    Args:
        step: The step.
        batch: Its batch.
        stops: 1 where this worker asks to stop, else 0.

    Raises:
        InputError: The memory is too small, or a worker is gone.
    """
    try:
        return step(batch, tf.constant(stops))
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
