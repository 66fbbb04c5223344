"""Checks that a training can begin, continue and be judged."""

from __future__ import annotations

import collections
import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import tensorflow as tf

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import prepared
from waveunet_tf.errors import InputError
from waveunet_tf.system import memory
from waveunet_tf.training import metrics
from waveunet_tf.training.progress import TrainingProgress
from waveunet_tf.training.state import RESULTS


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


def require_memory(config: NetworkConfig, batch_size: int) -> None:
    """Requires that a batch's audio alone fits into this machine's memory.

    Args:
        config: The network.
        batch_size: Excerpts a step, on this machine.

    Raises:
        MemoryError: It does not.
    """
    values = (1 + len(config.sources)) * config.output_frames * config.channels
    memory.require_bytes(4 * batch_size * values)


def refuse_used(workdir: pathlib.Path) -> None:
    """Requires that a workdir without a state holds no results of a training.

    Raises:
        InputError: The workdir holds a best checkpoint or a history.
    """
    for name in RESULTS:
        if (workdir / name).exists():
            raise InputError(
                f"{workdir}: must be new, or hold a training that can go on, but holds "
                f"{name} without a state"
            )


def require_same_data(
    progress: TrainingProgress,
    data_dirs: Sequence[str | os.PathLike],
    workdir: pathlib.Path,
    *,
    weights: Sequence[float] | None = None,
    other_data: bool = False,
) -> None:
    """Requires that a training goes on with the data that it began with.

    Args:
        progress: Where the training stands; it then knows the data.
        data_dirs: The folders of data.
        workdir: The training's folder, for the message.
        weights: The folders' weights; see prepared.check_weights.
        other_data: Whether other data are allowed.

    Raises:
        InputError: A folder of data is missing, is new to the training, or has another
            weight.
    """
    found = _identities(data_dirs, prepared.check_weights(data_dirs, weights))
    began = progress.data or list(found)
    if sorted(found) != sorted(began) and not other_data:
        new = [folder for name, folder in found.items() if name not in began]
        gone = len(set(began) - set(found))
        raise InputError(
            f"{workdir}: must go on with the data that its training began with, unless "
            f"--other_data is given. What differs: {gone} of its folders are missing, "
            "changed or of another weight; new, changed or of another weight: "
            f"{', '.join(new) or 'none'}"
        )
    progress.data = list(found)


def _identities(
    data_dirs: Sequence[str | os.PathLike], weights: Sequence[float]
) -> dict[str, str]:
    """Names the content of each data set, and its weight if that is not 1.

    Returns:
        Name → folder. A folder that is there twice has the sum of the weights.
    """
    folders, sums = {}, collections.Counter()
    for folder, weight in zip(data_dirs, weights):
        name = prepared.identify(folder)
        folders[name] = os.fspath(folder)
        sums[name] += weight
    return {
        name if sums[name] == 1 else f"{name} x {sums[name]!r}": folder
        for name, folder in folders.items()
    }


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
    return -metrics.mean_sdr_db(sdr_db)


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
        if memory.is_exhausted(error):
            raise
        raise InputError(f"{name} must be readable: {error.message}") from error


def call_on_devices(step: Callable, batch: tuple, stops: float):
    """Calls a TrainingStep or a ValidationStep.

    Args:
        step: The step.
        batch: Its batch.
        stops: 1 where this worker asks to stop, else 0.

    Raises:
        InputError: A worker is gone.
    """
    with naming_lost_workers():
        return step(batch, tf.constant(stops))


@contextlib.contextmanager
def naming_lost_workers() -> Iterator[None]:
    """Says in one line that a worker is gone, of which TensorFlow says a lot.

    Raises:
        InputError: A worker is gone.
    """
    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
        raise InputError(
            "All workers must be there, but one is gone; started again, all go on from "
            "the last state"
        ) from error
