"""The training loop: epochs, stages, early stopping, the best checkpoint.

One loop for one device, several, or many workers. A loop of our own rather than Keras'
`fit`, which fails under MultiWorkerMirroredStrategy, and on a data set of unknown
length runs part of a further step at the end of each epoch, and misreports the loss.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import keras
from absl import logging

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.data import excerpts, prepared
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.training import checks, initial_weights
from waveunet_tf.training.devices import Devices, require_agreement, set_up_devices
from waveunet_tf.training.log import TrainingLog
from waveunet_tf.training.objective import build_objective
from waveunet_tf.training.optimizer import adam_of, build_optimizer
from waveunet_tf.training.state import Progress, StateStore
from waveunet_tf.training.step import training_step
from waveunet_tf.training.validation import Validation
from waveunet_tf.training.weight_average import WeightAverage

# Of the data, by which the first weights may be scaled.
_SCALED_EXCERPTS = 8


class Stopped(Exception):
    """The training was asked to stop, and has saved where it stands."""


def train(
    config: NetworkConfig,
    training: TrainingConfig,
    *,
    data_dirs: Sequence[str | os.PathLike],
    workdir: str | os.PathLike,
    compute: ComputeConfig | None = None,
    init_from: str | os.PathLike | None = None,
    reinit_output: bool = False,
    save_seconds: float = 600.0,
    profile: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Trains a network (paper, section 4.2), or goes on where a training was stopped.

    The first stage ends when `patience` epochs brought no better validation loss; the
    second, fine-tuning, goes on from the best weights. Writes `<workdir>/best`, the
    checkpoint of the epoch with the lowest validation loss, `<workdir>/history.jsonl`,
    one object an epoch, `<workdir>/loss.png`, `<workdir>/tensorboard`, and
    `<workdir>/state`, from which a later call with the same arguments goes on as if
    there had been no stop. Where the data has no validation tracks, the training loss
    takes their place.

    Args:
        config: the network.
        training: how it is trained.
        data_dirs: prepared folders of stems, whose tracks are taken together.
        workdir: a new folder, or one of a training of the same config; of several
            workers all must see it, the first one writes it.
        compute: on what devices, and how; by default on one.
        init_from: a checkpoint of the same network, whose weights and, if it holds
            them, Adam's moments are the first; by default random weights.
        reinit_output: whether that checkpoint may be for other sources or another
            rate; its output layers are left out then, and Adam's moments.
        save_seconds: how often the state is saved within an epoch, in seconds.
        profile: whether to trace ten steps for TensorBoard's profiler.
        should_stop: asked before every step and every validation batch.

    Raises:
        InputError: the checkpoint is of another network; the data do not fit the
            network; the workdir holds another training; the loss is no longer finite;
            the devices are not there, or do not divide the batch.
        OSError: the workdir cannot be written.
        Stopped: should_stop said so, here or on another worker.
    """
    compute = compute or ComputeConfig()
    with _precision(compute.precision):
        devices = set_up_devices(compute)
        loop = _Loop(
            config,
            training,
            compute,
            devices,
            data_dirs=data_dirs,
            workdir=pathlib.Path(workdir),
            save_seconds=save_seconds,
            profile=profile,
            should_stop=should_stop,
        )
        loop.start(init_from, reinit_output)
        return loop.run()


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _stages(training: TrainingConfig) -> list[TrainingConfig]:
    if not training.fine_tuning:
        return [training]
    second = dataclasses.replace(
        training,
        batch_size=training.fine_tuning_batch_size,
        learning_rate=training.fine_tuning_learning_rate,
    )
    return [training, second]


def learning_rate(stage: TrainingConfig, step: int) -> float:
    """The learning rate of a stage's step, counted from 0 over the whole training."""
    if stage.learning_rate_schedule == "constant":
        return stage.learning_rate
    share = step / (stage.max_epochs * stage.steps_per_epoch)
    return 0.5 * stage.learning_rate * (1 + math.cos(math.pi * share))


class _Loop:
    """A training with all that it needs."""

    def __init__(
        self,
        config: NetworkConfig,
        training: TrainingConfig,
        compute: ComputeConfig,
        devices: Devices,
        *,
        data_dirs: Sequence[str | os.PathLike],
        workdir: pathlib.Path,
        save_seconds: float,
        profile: bool,
        should_stop: Callable[[], bool],
    ):
        self.config, self.training, self.devices = config, training, devices
        self.workdir, self.profile = workdir, profile
        self.save_seconds, self.should_stop = save_seconds, should_stop
        self.stages = _stages(training)
        for stage in self.stages:
            checks.require_division(
                stage.batch_size, devices.replicas, compute.accumulate_steps
            )
        self.tracks = prepared.load_all(data_dirs, config, "train")
        validation_tracks = prepared.load_all(data_dirs, config, "valid")
        keras.utils.set_random_seed(training.seed)
        with devices.strategy.scope():
            self.network = build_network(config)
            self.optimizer = build_optimizer(training, compute)
            self.optimizer.build(self.network.trainable_variables)
        objective = build_objective(config, self.network, training)
        self.step = training_step(
            devices,
            self.network,
            self.optimizer,
            objective,
            compute,
            clip_norm=training.clip_norm,
        )
        self.validation = Validation(
            validation_tracks,
            config,
            training,
            compute,
            devices,
            network=self.network,
            objective=objective,
        )
        self.average = WeightAverage(training.average_momentum)
        self.states = StateStore(
            workdir, config, training, self.network, self.optimizer, self.average
        )
        self.progress = Progress()
        self.watch = checks.StepWatch(workdir, self.optimizer)

    def start(self, init_from: str | os.PathLike | None, reinit_output: bool) -> None:
        """Goes where the last call stood, or to the first weights."""
        if progress := self.states.load():
            self.progress = progress
        else:
            checks.refuse_used(self.workdir)
            if init_from is not None:
                initial_weights.take(
                    init_from,
                    self.config,
                    self.network,
                    adam_of(self.optimizer),
                    reinit_output=reinit_output,
                )
            elif self.training.first_weights == "unit_variance":
                self._scale_first_weights()
        require_agreement(
            self.devices,
            "the same flags, data and workdir",
            self.config,
            self.training,
            self.progress.step,
            [(track.name, track.frames) for track in self.tracks],
        )
        # Not before: what is refused leaves no folder behind.
        self.log = TrainingLog(
            self.workdir,
            self.config,
            self.validation.tracks,
            enabled=self.devices.is_chief,
            profile=self.profile,
        )
        self.log.forget_after(self.progress.epoch)
        logging.info(
            "training %d weights on %d tracks, %d for validation, on %d x %s",
            self.network.count_params(),
            len(self.tracks),
            len(self.validation.tracks),
            self.devices.replicas,
            self.devices.kind,
        )

    def _scale_first_weights(self) -> None:
        if self.config.has_spectrogram:
            raise InputError(
                "`first_weights` unit_variance needs a network of waveforms. Received: "
                f"{self.config.architecture}"
            )
        training = dataclasses.replace(self.training, batch_size=_SCALED_EXCERPTS)
        batches = excerpts.random_excerpts(self.tracks, self.config, training)
        initial_weights.scale_to_unit_variance(self.network, *next(iter(batches)))

    def run(self) -> Progress:
        """Runs the stages that are left."""
        progress = self.progress
        for number, stage in enumerate(self.stages):
            if number < progress.stage or progress.epoch == self.training.max_epochs:
                continue
            if number > progress.stage:
                progress.stage, progress.stage_began = number, progress.epoch
                initial_weights.take(
                    self.workdir / "best",
                    self.config,
                    self.network,
                    adam_of(self.optimizer),
                )
                self.average.restart()
            batches = self._training_batches(stage)
            while not (
                progress.epoch == self.training.max_epochs
                or progress.has_stalled(self.training.patience)
            ):
                loss = self._run_epoch(batches, stage)
                with self.average.within(self.network):
                    scores = self.validation.run(self.should_stop)
                if scores is None:  # with its own weights again, which are saved
                    self._stop()
                with self.average.within(self.network):
                    self._end_epoch(stage, loss, *scores)
                self._save()
        return progress

    def _training_batches(self, stage: TrainingConfig):
        # Number n is a function of the seed and n, so this is where we stood.
        first = self.progress.excerpt

        def make(worker, workers, batch_size):
            return excerpts.random_excerpts(
                self.tracks,
                self.config,
                dataclasses.replace(stage, batch_size=batch_size),
                first=first,
                worker=worker,
                workers=workers,
            )

        return self.devices.distribute(make, stage.batch_size)

    def _run_epoch(self, batches, stage: TrainingConfig) -> float:
        """Runs what is left of an epoch; gives its mean loss."""
        progress = self.progress
        began = time.monotonic() - progress.epoch_seconds
        saved = time.monotonic()
        with self.log.begin_epoch(progress, stage.steps_per_epoch) as bar:
            while progress.epoch_steps < stage.steps_per_epoch:
                stops = float(self.should_stop())
                self.optimizer.learning_rate = learning_rate(stage, progress.step)
                asked = time.monotonic()
                batch = checks.next_batch(batches, "excerpts")
                waited = time.monotonic() - asked
                step = checks.computed(self.step, batch, stops)
                self.watch.require_sound(step, progress)
                progress.end_step(float(step.loss), stage.batch_size)
                self.average.end_step(progress.step, self.network)
                progress.epoch_seconds = time.monotonic() - began
                self.log.end_step(
                    bar,
                    progress,
                    step,
                    excerpts=stage.batch_size,
                    waited_seconds=waited,
                )
                if float(step.stops):
                    self._stop()
                if time.monotonic() - saved > self.save_seconds:
                    self._save()
                    saved = time.monotonic()
        return progress.epoch_loss / stage.steps_per_epoch

    def _end_epoch(self, stage, loss, validation_loss, sdr) -> None:
        progress = self.progress
        record = {
            "epoch": progress.epoch + 1,
            "stage": progress.stage + 1,
            "step": progress.step,
            "learning_rate": learning_rate(stage, progress.step - 1),
            "loss": loss,
            "validation_loss": validation_loss,
            "validation_sdr_db": sdr,
            "seconds": round(progress.epoch_seconds, 2),
        }
        judged = checks.judged(self.training, loss, validation_loss, sdr)
        if progress.end_epoch(judged) and self.devices.is_chief:
            checkpoint.save_checkpoint(
                self.workdir / "best",
                self.network,
                self.config,
                self.training,
                optimizer=adam_of(self.optimizer),
            )
        self.log.end_epoch(record, progress, self.network)

    def _save(self) -> None:
        if self.devices.is_chief:
            self.states.save(self.progress)

    def _stop(self) -> None:
        self._save()
        self.devices.wait_for_all()
        raise Stopped(f"after step {self.progress.step}, which is saved")
