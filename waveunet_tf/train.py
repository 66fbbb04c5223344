"""The training loop: epochs, validation, early stopping, the best checkpoint.

A loop of our own rather than Keras' `fit`, which on a data set of unknown length runs
part of a further step at the end of each epoch, and misreports the loss.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
import time

import keras
import tensorflow as tf
import tqdm
from absl import logging

from waveunet_tf import checkpoint, excerpts, losses, model
from waveunet_tf.configs import NetworkConfig, TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.tracks import find_tracks


@dataclasses.dataclass
class Progress:
    """Where a training stands.

    Attributes:
        epoch: epochs done.
        best_loss: the best validation loss (training loss, without validation tracks).
        best_epoch: the epoch that gave it.
    """

    epoch: int = 0
    best_loss: float = math.inf
    best_epoch: int = 0


def train(
    config: NetworkConfig,
    training: TrainingConfig,
    *,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
) -> Progress:
    """Trains a network from random weights (paper, section 4.2, first stage).

    Writes `<workdir>/best`, the checkpoint of the epoch with the lowest validation
    loss, and `<workdir>/history.jsonl`, one object an epoch. Where the data has no
    validation tracks, the training loss takes their place.

    Args:
        config: the network.
        training: how it is trained.
        data_dir: a prepared folder of stems.
        workdir: a folder without a training in it.

    Raises:
        InputError: the data do not fit the network; the workdir holds a training; the
            loss is no longer a finite number.
    """
    workdir = pathlib.Path(workdir)
    for name in ("best", "history.jsonl"):
        if (workdir / name).exists():
            raise InputError(
                f"{workdir}: must be a folder without a training, but holds {name}"
            )
    keras.utils.set_random_seed(training.seed)
    tracks = excerpts.load_prepared(data_dir, config, "train")
    batches = excerpts.random_excerpts(
        tracks,
        config,
        batch_size=training.batch_size,
        seed=training.seed,
        min_gain=training.min_gain,
    )
    windows = _validation_windows(data_dir, config, training.batch_size)

    network = model.build_network(config)
    # TF1's epsilon, which the original takes; Keras' own is ten times larger.
    optimizer = keras.optimizers.Adam(training.learning_rate, epsilon=1e-8)
    step = _training_step(network, optimizer)
    score = _validation_step(network)
    logging.info(
        "training %d weights on %d tracks", network.count_params(), len(tracks)
    )

    workdir.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    batches = iter(batches)
    while progress.epoch != training.max_epochs:
        started = time.monotonic()
        progress.epoch += 1
        loss = _run_epoch(step, batches, progress.epoch, training.steps_per_epoch)
        validation_loss = _validate(score, windows) if windows else None
        judged = loss if validation_loss is None else validation_loss
        if better := judged < progress.best_loss:
            progress.best_loss, progress.best_epoch = judged, progress.epoch
            checkpoint.save_checkpoint(workdir / "best", network, config, training)
        record = {
            "epoch": progress.epoch,
            "step": progress.epoch * training.steps_per_epoch,
            "learning_rate": training.learning_rate,
            "loss": loss,
            "validation_loss": validation_loss,
            "seconds": round(time.monotonic() - started, 2),
        }
        with (workdir / "history.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        logging.info(
            "epoch %d: loss %.3e, validation loss %s, %.0f s%s",
            progress.epoch,
            loss,
            "none" if validation_loss is None else f"{validation_loss:.3e}",
            record["seconds"],
            ", the best so far" if better else "",
        )
        if progress.epoch - progress.best_epoch >= training.patience:
            break
    return progress


def _validation_windows(data_dir, config: NetworkConfig, batch_size: int):
    """The validation batches, or None where the data has no validation tracks."""
    if not any(track.subset == "valid" for track in find_tracks(data_dir)):
        logging.warning(
            "%s has no validation tracks (valid/): the best checkpoint is that of the "
            "lowest training loss",
            data_dir,
        )
        return None
    tracks = excerpts.load_prepared(data_dir, config, "valid")
    return excerpts.whole_track_windows(tracks, config, batch_size=batch_size)


def _training_step(network: keras.Model, optimizer: keras.optimizers.Optimizer):
    """One step of gradient descent as a graph: mixture, targets → loss."""
    optimizer.build(network.trainable_variables)

    @tf.function
    def step(mixture, targets):
        with tf.GradientTape() as tape:
            estimates = network(mixture, training=True)
            loss = losses.mean_squared_error(targets, estimates)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return loss

    return step


def _validation_step(network: keras.Model):
    """The loss on a batch, and the frames that it is the mean over, as a graph."""

    @tf.function(reduce_retracing=True)
    def score(mixture, targets, weights):
        # As in training: unclipped, so that training and validation loss compare.
        estimates = network(mixture, training=True)
        frames = tf.reduce_sum(weights)
        return losses.mean_squared_error(targets, estimates, weights), frames

    return score


def _run_epoch(step, batches, epoch: int, steps: int) -> float:
    """Runs an epoch's steps and gives their mean loss."""
    total = 0.0
    bar = tqdm.tqdm(
        range(steps),
        desc=f"epoch {epoch}",
        unit="step",
        disable=None,
    )
    for number in bar:
        loss = float(step(*next(batches)))
        if not math.isfinite(loss):
            raise InputError(
                f"The loss must stay a finite number, but is {loss} at step "
                f"{number + 1} of epoch {epoch}; a lower `learning_rate` may help. The "
                "best checkpoint so far is kept"
            )
        total += loss
        bar.set_postfix(loss=f"{total / (number + 1):.3e}", refresh=False)
    return total / steps


def _validate(score, windows) -> float:
    """The mean loss over all frames of the validation tracks."""
    total = frames = 0.0
    for batch in windows:
        loss, weight = score(*batch)
        total += float(loss) * float(weight)
        frames += float(weight)
    return total / frames
