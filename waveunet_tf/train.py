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
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf
import tqdm
from absl import logging

from waveunet_tf import (
    checkpoint,
    excerpts,
    files,
    losses,
    model,
    prepared,
    spectrogram,
)
from waveunet_tf.configs import (
    NetworkConfig,
    SpectrogramUNetConfig,
    TrainingConfig,
)
from waveunet_tf.errors import InputError
from waveunet_tf.training_state import Progress, StateStore


class Stopped(Exception):
    """The training was asked to stop, and has saved where it stands."""


def train(
    config: NetworkConfig,
    training: TrainingConfig,
    *,
    data_dir: str | os.PathLike,
    workdir: str | os.PathLike,
    init_from: str | os.PathLike | None = None,
    save_seconds: float = 600.0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Trains a network (paper, section 4.2), or goes on where a training was stopped.

    The first stage ends when `patience` epochs brought no better validation loss; the
    second, fine-tuning, goes on from the best weights. Writes `<workdir>/best`, the
    checkpoint of the epoch with the lowest validation loss, `<workdir>/history.jsonl`,
    one object an epoch, and `<workdir>/state`, from which a later call with the same
    arguments goes on as if there had been no stop. Where the data has no validation
    tracks, the training loss takes their place.

    Args:
        config: the network.
        training: how it is trained.
        data_dir: a prepared folder of stems.
        workdir: a new folder, or one of a training of the same config.
        init_from: a checkpoint of the same network, whose weights and, if it holds
            them, Adam's moments are the first; by default random weights.
        save_seconds: how often the state is saved within an epoch, in seconds.
        should_stop: asked after every step.

    Raises:
        InputError: the checkpoint is of another network; the data do not fit the
            network; the workdir holds another training; the loss is no longer finite.
        Stopped: should_stop said so.
    """
    workdir = pathlib.Path(workdir)
    keras.utils.set_random_seed(training.seed)
    tracks = prepared.load_prepared(data_dir, config, "train")
    windows = _validation_windows(data_dir, config, training.batch_size)
    network = model.build_network(config)
    optimizer = checkpoint.build_optimizer(training)
    optimizer.build(network.trainable_variables)
    states = StateStore(workdir)
    progress = states.load(network, optimizer, config, training)
    if progress is None:
        _refuse_used_workdir(workdir)
        if init_from is not None:
            _take_weights(init_from, config, network, optimizer)
        progress = Progress()
    _forget_after(workdir, progress.epoch)
    loss_function = _loss_function(config, network, training.loss)
    run = _Run(
        network=network,
        optimizer=optimizer,
        step=_training_step(network, optimizer, loss_function),
        score=_validation_step(loss_function),
        save=lambda: states.save(progress, network, optimizer, config, training),
        save_seconds=save_seconds,
        should_stop=should_stop,
    )
    logging.info(
        "training %d weights on %d tracks", network.count_params(), len(tracks)
    )
    workdir.mkdir(parents=True, exist_ok=True)
    for stage in _stages(training)[progress.stage :]:
        if progress.epoch == training.max_epochs:
            break
        if stage.number != progress.stage:
            progress.stage, progress.stage_began = stage.number, progress.epoch
            _take_weights(workdir / "best", config, network, optimizer)
        optimizer.learning_rate = stage.training.learning_rate
        # Number n is a function of the seed and n, so this is where we stood.
        batches = iter(
            excerpts.random_excerpts(
                tracks, config, stage.training, first=progress.excerpt
            )
        )
        while progress.epoch != training.max_epochs:
            if progress.has_stalled(training.patience):
                break
            loss, seconds = _run_epoch(run, batches, progress, stage.training)
            validation_loss = _validate(run.score, windows) if windows else None
            record = {
                "epoch": progress.epoch + 1,
                "stage": stage.number + 1,
                "step": progress.step,
                "learning_rate": stage.training.learning_rate,
                "loss": loss,
                "validation_loss": validation_loss,
                "seconds": round(seconds, 2),
            }
            if progress.end_epoch(loss if validation_loss is None else validation_loss):
                checkpoint.save_checkpoint(
                    workdir / "best", network, config, training, optimizer=optimizer
                )
            _report_epoch(workdir, record, progress)
            run.save()
    return progress


class _Stage(NamedTuple):
    """A stage's number, and how it is trained."""

    number: int
    training: TrainingConfig


def _stages(training: TrainingConfig) -> list[_Stage]:
    stages = [_Stage(0, training)]
    if training.fine_tuning:
        second = dataclasses.replace(
            training,
            batch_size=training.fine_tuning_batch_size,
            learning_rate=training.fine_tuning_learning_rate,
        )
        stages.append(_Stage(1, second))
    return stages


class _Run(NamedTuple):
    """What an epoch needs of a training."""

    network: keras.Model
    optimizer: keras.optimizers.Adam
    step: Callable
    score: Callable
    save: Callable[[], None]
    save_seconds: float
    should_stop: Callable[[], bool]


def _refuse_used_workdir(workdir: pathlib.Path) -> None:
    for name in ("best", "history.jsonl"):
        if (workdir / name).exists():
            raise InputError(
                f"{workdir}: must be new, or hold a training that can go on, but holds "
                f"{name} without a state"
            )


def _forget_after(workdir: pathlib.Path, epoch: int) -> None:
    """Drops the history of epochs that the state has not seen end."""
    path = workdir / "history.jsonl"
    if not path.exists():
        return
    kept = [
        line
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.endswith("\n") and json.loads(line)["epoch"] <= epoch
    ]
    with files.atomic_file(path) as part:
        part.write_text("".join(kept), encoding="utf-8")


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
    if not prepared.has_subset(data_dir, "valid"):
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
    waveform = {"mse": losses.mean_squared_error, "l1": losses.mean_absolute_error}
    if name in waveform:
        return lambda mixture, targets, weights, training: waveform[name](
            targets, network(mixture, training=training), weights
        )
    if not isinstance(config, SpectrogramUNetConfig):
        raise InputError(
            f"`loss` must be {' or '.join(waveform)} for a network of waveforms. "
            f"Received: {name}"
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


def _run_epoch(
    run: _Run, batches, progress: Progress, training: TrainingConfig
) -> tuple[float, float]:
    """Runs what is left of an epoch; gives its mean loss and its seconds."""
    epoch, steps = progress.epoch + 1, training.steps_per_epoch
    began = time.monotonic() - progress.epoch_seconds
    saved = time.monotonic()
    bar = tqdm.tqdm(
        total=steps,
        initial=progress.epoch_steps,
        desc=f"epoch {epoch}",
        unit="step",
        disable=None,
    )
    with bar:
        while progress.epoch_steps < steps:
            loss = _next_loss(run.step, batches, progress)
            progress.end_step(loss, training.batch_size)
            progress.epoch_seconds = time.monotonic() - began
            mean = progress.epoch_loss / progress.epoch_steps
            if bar.disable:
                logging.log_every_n_seconds(
                    logging.INFO,
                    "epoch %d: step %d of %d, loss %.3e",
                    60,
                    epoch,
                    progress.epoch_steps,
                    steps,
                    mean,
                )
            bar.set_postfix(loss=f"{mean:.3e}", refresh=False)
            bar.update()
            if run.should_stop():
                run.save()
                raise Stopped(f"after step {progress.step}, which is saved")
            if time.monotonic() - saved > run.save_seconds:
                run.save()
                saved = time.monotonic()
    return progress.epoch_loss / steps, progress.epoch_seconds


def _next_loss(step, batches, progress: Progress) -> float:
    try:
        batch = next(batches)
    except tf.errors.OpError as error:  # a file changed, or was not whole
        raise InputError(f"Excerpts must be readable: {error.message}") from error
    loss = float(step(*batch))
    if not math.isfinite(loss):
        raise InputError(
            f"The loss must stay a finite number, but is {loss} at step "
            f"{progress.epoch_steps + 1} of epoch {progress.epoch + 1}; a lower "
            "`learning_rate` may help"
        )
    return loss


def _validate(score, windows) -> float:
    """The mean loss over all frames of the validation tracks."""
    total = frames = 0.0
    try:
        for batch in windows:
            loss, weight = score(*batch)
            total += float(loss) * float(weight)
            frames += float(weight)
    except tf.errors.OpError as error:
        raise InputError(
            f"Validation tracks must be readable: {error.message}"
        ) from error
    if not math.isfinite(total):
        raise InputError(
            "The validation loss must stay a finite number, but is "
            f"{total / frames}; are all samples of the validation tracks finite?"
        )
    return total / frames
