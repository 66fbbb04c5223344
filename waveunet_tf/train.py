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

from waveunet_tf import checkpoint, excerpts, losses, model, prepared, spectrogram
from waveunet_tf.configs import (
    NetworkConfig,
    SpectrogramUNetConfig,
    TrainingConfig,
)
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

    def end_epoch(self, loss: float) -> bool:
        """Counts an epoch with this validation loss; tells whether it is the best."""
        self.epoch += 1
        if better := loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, self.epoch
        return better


def train(
    config: NetworkConfig,
    training: TrainingConfig,
    *,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
    init_from: str | os.PathLike | None = None,
) -> Progress:
    """Trains a network (paper, section 4.2, first stage).

    Writes `<workdir>/best`, the checkpoint of the epoch with the lowest validation
    loss, and `<workdir>/history.jsonl`, one object an epoch. Where the data has no
    validation tracks, the training loss takes their place.

    Args:
        config: the network.
        training: how it is trained.
        data_dir: a prepared folder of stems.
        workdir: a folder without a training in it.
        init_from: a checkpoint of the same network, whose weights and, if it holds
            them, Adam's moments are the first; by default random weights.

    Raises:
        InputError: the checkpoint is of another network; the data do not fit the
            network; the workdir holds a training; the loss is no longer finite.
    """
    workdir = pathlib.Path(workdir)
    _refuse_used_workdir(workdir)
    keras.utils.set_random_seed(training.seed)
    tracks = prepared.load_prepared(data_dir, config, "train")
    batches = excerpts.random_excerpts(tracks, config, training)
    windows = _validation_windows(data_dir, config, training.batch_size)

    network = model.build_network(config)
    optimizer = checkpoint.build_optimizer(training)
    if init_from is not None:
        _take_weights(init_from, config, network, optimizer)
    loss_function = _loss_function(config, network, training.loss)
    step = _training_step(network, optimizer, loss_function)
    score = _validation_step(loss_function)
    logging.info(
        "training %d weights on %d tracks", network.count_params(), len(tracks)
    )

    workdir.mkdir(parents=True, exist_ok=True)
    progress = Progress()
    batches = iter(batches)
    while progress.epoch != training.max_epochs:
        started = time.monotonic()
        loss = _run_epoch(step, batches, progress.epoch + 1, training.steps_per_epoch)
        validation_loss = _validate(score, windows) if windows else None
        if progress.end_epoch(loss if validation_loss is None else validation_loss):
            checkpoint.save_checkpoint(workdir / "best", network, config, training)
        record = {
            "epoch": progress.epoch,
            "step": progress.epoch * training.steps_per_epoch,
            "learning_rate": training.learning_rate,
            "loss": loss,
            "validation_loss": validation_loss,
            "seconds": round(time.monotonic() - started, 2),
        }
        _report_epoch(workdir, record, progress)
        if progress.epoch - progress.best_epoch >= training.patience:
            break
    return progress


def _refuse_used_workdir(workdir: pathlib.Path) -> None:
    for name in ("best", "history.jsonl"):
        if (workdir / name).exists():
            raise InputError(
                f"{workdir}: must be a folder without a training, but holds {name}"
            )


def _report_epoch(workdir: pathlib.Path, record: dict, progress: Progress) -> None:
    """Adds the epoch to the history, and tells the log of it."""
    with (workdir / "history.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    validation_loss = record["validation_loss"]
    logging.info(
        "epoch %d: loss %.3e, validation loss %s, %.0f s%s",
        record["epoch"],
        record["loss"],
        "none" if validation_loss is None else f"{validation_loss:.3e}",
        record["seconds"],
        ", the best so far" if progress.best_epoch == record["epoch"] else "",
    )


def _take_weights(
    directory: str | os.PathLike,
    config: NetworkConfig,
    network: keras.Model,
    optimizer: keras.optimizers.Adam,
) -> None:
    """Sets weights and Adam's moments from a checkpoint of the same network."""
    theirs = checkpoint.read_config(directory).to_dict()
    ours = config.to_dict()
    free = {"output_frames", "phase_iterations", "phase_start"}
    for name in sorted((set(ours) | set(theirs)) - free):
        if ours.get(name) != theirs.get(name):
            raise InputError(
                f"{directory}: must be of the same network, but has {name}="
                f"{theirs.get(name)} instead of {ours.get(name)}"
            )
    network.set_weights(checkpoint.load_network(directory).get_weights())
    with_moments = checkpoint.load_optimizer(directory, network, optimizer)
    logging.info(
        "starting from %s, Adam at step %d%s",
        directory,
        int(optimizer.iterations),
        "" if with_moments else " (it holds no moments)",
    )


def _validation_windows(data_dir, config: NetworkConfig, batch_size: int):
    """The validation batches, or None where the data has no validation tracks."""
    tracks = find_tracks(data_dir, dataset="folder")
    if not any(track.subset == "valid" for track in tracks):
        logging.warning(
            "%s has no validation tracks (valid/): the best checkpoint is that of the "
            "lowest training loss",
            data_dir,
        )
        return None
    tracks = prepared.load_prepared(data_dir, config, "valid")
    return excerpts.whole_track_windows(tracks, config, batch_size=batch_size)


def _loss_function(config: NetworkConfig, network: keras.Model, name: str):
    """The loss as a function of mixture, targets, weights and whether in training."""
    if name == "mse":
        return lambda mixture, targets, weights, training: losses.mean_squared_error(
            targets, network(mixture, training=training), weights
        )
    if not isinstance(config, SpectrogramUNetConfig):
        raise InputError(
            f"`loss` must be mse for a network of waveforms. Received: {name}"
        )
    magnitudes = spectrogram.magnitude_network(config, network)
    stft, magnitude = network.get_layer("stft"), network.get_layer("magnitude")

    def loss(mixture, targets, weights, training):
        true = {source: magnitude(stft(target)) for source, target in targets.items()}
        # A step of the STFT counts if its first frame does.
        starts = weights[:, : -config.fft_frames + 1 : config.hop_frames]
        estimates = magnitudes(mixture, training=training)
        return losses.mean_absolute_error(true, estimates, starts)

    return loss


def _training_step(network: keras.Model, optimizer: keras.Optimizer, loss_function):
    """One step of gradient descent as a graph: mixture, targets → loss."""
    optimizer.build(network.trainable_variables)

    @tf.function
    def step(mixture, targets):
        weights = tf.ones_like(next(iter(targets.values()))[..., :1])
        with tf.GradientTape() as tape:
            loss = loss_function(mixture, targets, weights, True)
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply(gradients, network.trainable_variables)
        return loss

    return step


def _validation_step(loss_function):
    """The loss on a batch, and the frames that it is the mean over, as a graph."""

    @tf.function(reduce_retracing=True)
    def score(mixture, targets, weights):
        loss = loss_function(mixture, targets, weights, False)
        return loss, tf.reduce_sum(weights)

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
        try:
            batch = next(batches)
        except tf.errors.OpError as error:  # a file changed, or was not whole
            raise InputError(f"Excerpts must be readable: {error.message}") from error
        loss = float(step(*batch))
        if not math.isfinite(loss):
            raise InputError(
                f"The loss must stay a finite number, but is {loss} at step "
                f"{number + 1} of epoch {epoch}; a lower `learning_rate` may help"
            )
        total += loss
        if bar.disable:
            logging.log_every_n_seconds(
                logging.INFO,
                "epoch %d: step %d of %d, loss %.3e",
                60,
                epoch,
                number + 1,
                steps,
                total / (number + 1),
            )
        bar.set_postfix(loss=f"{total / (number + 1):.3e}", refresh=False)
    return total / steps


def _validate(score, windows) -> float:
    """The mean loss over all frames of the validation tracks."""
    total = frames = 0.0
    for batch in windows:
        loss, weight = score(*batch)
        total += float(loss) * float(weight)
        frames += float(weight)
    if not math.isfinite(total):
        raise InputError(
            "The validation loss must stay a finite number, but is "
            f"{total / frames}; are all samples of the validation tracks finite?"
        )
    return total / frames
