"""The training loop: epochs, stages, early stopping, the best checkpoint.

One loop serves one device, several, or many workers. Keras' `fit` fails under
MultiWorkerMirroredStrategy. On a data set of unknown length it also runs part of a
further step at the end of each epoch, and misreports the loss.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import keras
from absl import logging

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.data import augmentation, prepared
from waveunet_tf.networks.build import build_network
from waveunet_tf.system import files, memory
from waveunet_tf.training import (
    batch_statistics,
    checks,
    compute_choice,
    initial_weights,
)
from waveunet_tf.training.descent import Descent
from waveunet_tf.training.devices import (
    Devices,
    require_agreement,
    set_up_devices,
    share_weights,
)
from waveunet_tf.training.guard import Lost
from waveunet_tf.training.log import TrainingLog
from waveunet_tf.training.objective import build_objective
from waveunet_tf.training.optimizer import adam_of, build_optimizer
from waveunet_tf.training.progress import TrainingProgress
from waveunet_tf.training.schedule import learning_rate, stages_of
from waveunet_tf.training.state import StateStore
from waveunet_tf.training.validation import Validation
from waveunet_tf.training.weight_average import WeightAverage

_LESS_MEMORY = (
    "a lower --batch_size (--fine_tuning_batch_size in stage 2), fewer --output_frames "
    "or a higher --accumulate_steps"
)


class Stopped(Exception):
    """The training was asked to stop, and has saved its state."""


def train(
    config: NetworkConfig,
    training: TrainingConfig,
    *,
    data_dirs: Sequence[str | os.PathLike],
    data_weights: Sequence[float] | None = None,
    workdir: str | os.PathLike,
    compute: ComputeConfig | None = None,
    init_from: str | os.PathLike | None = None,
    reinit_output: bool = False,
    save_seconds: float = 600.0,
    profile: bool = False,
    illustrate: bool = True,
    other_data: bool = False,
    should_stop: Callable[[], bool] = lambda: False,
) -> TrainingProgress:
    """Trains a network (paper, section 4.2), or continues a stopped training.

    The first stage ends after `patience` epochs without a better validation loss. The
    second stage, fine-tuning, starts from the best weights and ends likewise. Data
    without validation tracks are judged by the training loss instead. A training that
    is lost goes back to its last good state, with half the learning rate.

    Writes into the workdir: `best`, the checkpoint of the best epoch; `history.jsonl`,
    one object an epoch; `loss.png`; `tensorboard`; and `state`. A later call with the
    same arguments continues from the state as if there had been no stop.

    Args:
        config: The network.
        training: How it is trained.
        data_dirs: Prepared folders of stems, whose tracks form one data set.
        data_weights: How often each folder counts, by default once; see
            prepared.check_weights.
        workdir: A new folder, or the folder of a training of the same config. All
            workers must see it; the chief writes it.
        compute: The devices, and how they compute; by default one device.
        init_from: A checkpoint of the same network to start from, with Adam's moments
            if it holds them; by default random weights.
        reinit_output: Whether that checkpoint may be for other sources or another
            sample rate. Its output layers and Adam's moments are then left out.
        save_seconds: Seconds between two states within an epoch.
        profile: Whether ten steps are traced for TensorBoard's profiler.
        illustrate: Whether each epoch draws `loss.png`, and writes sound and
            spectrograms of validation tracks for TensorBoard.
        other_data: Whether a stopped training may go on with other data.
        should_stop: Called before every step and every validation batch.

    Returns:
        Where the training stands at its end.

    Raises:
        InputError: The checkpoint holds another network; the data do not fit the
            network, or are not those of the stopped training; the workdir holds another
            training, or another run is at work in it; the training was lost (guard.py)
            also after it went back three times; the devices are missing, or do not
            divide the batch; the memory is too small.
        OSError: The workdir cannot be written.
        Stopped: `should_stop` returned True, here or on another worker.
    """
    compute = compute or ComputeConfig()
    with memory.advising("training", _LESS_MEMORY):
        devices, workdir = set_up_devices(compute), pathlib.Path(workdir)
        compute = compute_choice.choose(compute, config, devices)
        with _precision(compute.precision), contextlib.ExitStack() as stack:
            if devices.workers > 1:  # which meet outside of steps, too
                stack.enter_context(checks.naming_lost_workers())
            # Before the state is read, and once more where the folder is made.
            if devices.is_chief and workdir.is_dir():
                stack.enter_context(files.locked_folder(workdir))
            loop = _Loop(
                config,
                training,
                compute,
                devices,
                data_dirs=data_dirs,
                data_weights=data_weights,
                workdir=workdir,
                save_seconds=save_seconds,
                should_stop=should_stop,
            )
            loop.load_weights(init_from, reinit_output)
            checks.require_same_data(
                loop.progress,
                data_dirs,
                workdir,
                weights=data_weights,
                other_data=other_data,
            )
            if devices.is_chief and not workdir.is_dir():
                stack.enter_context(files.locked_folder(workdir))
            loop.open_log(profile=profile, illustrate=illustrate)
            stack.callback(loop.log.close)
            return loop.run()


@contextlib.contextmanager
def _precision(name: str) -> Iterator[None]:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


class _Loop:
    """A training: its data, network, step, validation, states and progress."""

    def __init__(
        self,
        config: NetworkConfig,
        training: TrainingConfig,
        compute: ComputeConfig,
        devices: Devices,
        *,
        data_dirs: Sequence[str | os.PathLike],
        data_weights: Sequence[float] | None,
        workdir: pathlib.Path,
        save_seconds: float,
        should_stop: Callable[[], bool],
    ):
        """Checks the data and builds all parts; nothing is written yet."""
        self.config, self.training, self.devices = config, training, devices
        self.workdir, self.save_seconds = workdir, save_seconds
        self.should_stop = should_stop
        self.stages = stages_of(training)
        for stage in self.stages:
            checks.require_division(
                stage.batch_size, devices.replicas, compute.accumulate_steps
            )
            checks.require_memory(config, stage.batch_size // devices.workers)
        self.tracks = prepared.load_all(
            data_dirs, config, "train", weights=data_weights
        )
        validation_tracks = prepared.load_all(data_dirs, config, "valid")
        self._build_network(compute)
        objective = build_objective(config, self.network, training)
        self.average = WeightAverage(training.average_momentum)
        self.descent = Descent(
            self.tracks,
            config,
            training,
            compute,
            devices,
            network=self.network,
            optimizer=self.optimizer,
            objective=objective,
            average=self.average,
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
        self.states = StateStore(
            workdir, config, training, self.network, self.optimizer, self.average
        )
        self.progress = TrainingProgress()
        # The loss scale of float16 skips gradients that are not finite.
        self.gradients_count = self.optimizer is adam_of(self.optimizer)

    def _build_network(self, compute: ComputeConfig) -> None:
        keras.utils.set_random_seed(self.training.seed)
        with self.devices.strategy.scope():
            self.network = build_network(self.config)
            batch_statistics.normalise_over_all(
                self.network, compute, replicas=self.devices.replicas
            )
            self.optimizer = build_optimizer(self.training, compute)
            self.optimizer.build(self.network.trainable_variables)

    def load_weights(
        self, init_from: str | os.PathLike | None, reinit_output: bool
    ) -> None:
        """Loads the last state, or else sets the first weights."""
        if progress := self.states.load():
            self.progress = progress
        else:
            checks.refuse_used(self.workdir)
            initial_weights.set_first_weights(
                self.config,
                self.training,
                self.network,
                adam_of(self.optimizer),
                self.tracks,
                init_from=init_from,
                reinit_output=reinit_output,
            )
            share_weights(self.devices, self.network)
        require_agreement(
            self.devices,
            "the same flags, data, workdir and kind of device",
            self.devices.kind,
            self.config,
            self.training,
            self.progress.step,
            [(track.name, track.frames, track.weight) for track in self.tracks],
        )

    def open_log(self, *, profile: bool, illustrate: bool) -> None:
        """Makes the workdir; not before, so that a refusal leaves no folder behind."""
        if self.devices.is_chief:
            files.remove_parts(self.workdir)  # of killed runs
        self.log = TrainingLog(
            self.workdir,
            self.config,
            self.validation.tracks,
            enabled=self.devices.is_chief,
            profile=profile,
            illustrate=illustrate,
        )
        self.log.go_on(self.progress)
        logging.info(
            "training %d weights on %d tracks, %d for validation, on %d x %s",
            self.network.count_params(),
            len(self.tracks),
            len(self.validation.tracks),
            self.devices.replicas,
            self.devices.kind,
        )
        for line in augmentation.share_lines(
            [track.data_dir for track in self.tracks],
            [track.frames for track in self.tracks],
            self.training,
            [track.weight for track in self.tracks],
        ):
            logging.info("%s", line)
        if estimated := sum(track.is_estimated for track in self.tracks):
            logging.info("%d tracks have a teacher's estimates for stems", estimated)
        if any(track.is_estimated for track in self.validation.tracks):
            logging.warning(
                "validation tracks have a teacher's estimates for stems: losses and "
                "SDR tell how near the network is to the teacher"
            )

    def run(self) -> TrainingProgress:
        """Runs the stages that are left."""
        if self.progress.step == 0 and not self._has_all_epochs():
            self.progress.mark_good()
            self._save()  # a crash or a way back finds the first weights
        for number, stage in enumerate(self.stages):
            if number < self.progress.stage or self._has_all_epochs():
                continue
            if number > self.progress.stage:
                self._begin_stage(number)
            while not self._is_over():
                try:
                    self._run_stage(stage)
                except Lost as lost:
                    self._go_back(stage, lost)
        return self.progress

    def _begin_stage(self, number: int) -> None:
        """Begins a stage from the best weights, and saves that it has begun."""
        initial_weights.load_initial_weights(
            self.workdir / "best", self.config, self.network, adam_of(self.optimizer)
        )
        self.average.restart()
        self.progress.begin_stage(number)
        self.progress.mark_good()
        self._save()

    def _run_stage(self, stage: TrainingConfig) -> None:
        """Runs the epochs of a stage that are left.

        Raises:
            Lost: The training cannot learn any more.
        """
        self.descent.begin(stage, self.progress.excerpt)
        while not self._is_over():
            loss = self._run_epoch(stage)
            with self.average.within(self.network):
                scores = self.validation.run(self.should_stop)
            if scores is None:  # with its own weights again, which are saved
                self._stop()
            with self.average.within(self.network):
                self._end_epoch(stage, loss, *scores)
            self.progress.mark_good()
            self._save()

    def _go_back(self, stage: TrainingConfig, lost: Lost) -> None:
        """Goes back to the last good state, with half the learning rate.

        Raises:
            InputError: It has gone back three times already, or the state is broken.
        """
        best = ""
        if self.progress.best_epoch:
            best = f"; {self.workdir / 'best'} holds epoch {self.progress.best_epoch}, "
            best += "from which --init_from in a new workdir goes on"
        self.progress = self.progress.go_back(
            self.states.go_back(self.progress.good),
            lost,
            learning_rate=stage.learning_rate,
            best=best,
        )
        self.devices.wait_for_all()  # until all have read the state
        self._save()
        self.log.go_back(self.progress)

    def _is_over(self) -> bool:
        """Returns whether the stage, or all of the training, has no epoch left."""
        patience = self.training.patience
        return self._has_all_epochs() or self.progress.has_stalled(patience)

    def _has_all_epochs(self) -> bool:
        """Returns whether there are as many epochs as asked, or, going on, more."""
        asked = self.training.max_epochs
        return asked is not None and self.progress.epoch >= asked

    def _run_epoch(self, stage: TrainingConfig) -> float:
        """Runs what is left of an epoch, and returns its mean loss."""
        progress = self.progress
        began = time.monotonic() - progress.epoch_seconds
        saved = time.monotonic()
        with self.log.begin_epoch(progress, stage.steps_per_epoch) as bar:
            while (left := stage.steps_per_epoch - progress.epoch_steps) > 0:
                self.log.begin_steps()
                done = self.descent.run(
                    progress.step,
                    left,
                    rate_factor=progress.guard.rate_factor,
                    should_stop=self.should_stop,
                )
                progress.epoch_seconds = time.monotonic() - began
                for numbers in done.numbers:
                    progress.guard.check(
                        numbers,
                        progress.step,
                        warmup_steps=stage.warmup_steps,
                        gradients_count=self.gradients_count,
                    )
                    progress.end_step(numbers.loss, stage.batch_size)
                    self.log.end_step(
                        bar,
                        progress,
                        numbers,
                        excerpts=stage.batch_size,
                        waited_seconds=done.waited_seconds / len(done.numbers),
                    )
                if done.stops:
                    self._stop()
                if time.monotonic() - saved > self.save_seconds:
                    self._save()
                    saved = time.monotonic()
        return progress.epoch_loss / stage.steps_per_epoch

    def _end_epoch(
        self,
        stage: TrainingConfig,
        loss: float,
        validation_loss: float | None,
        sdr_db: dict[str, float | None] | None,
    ) -> None:
        """Keeps the weights if they are the best, and reports the epoch."""
        progress = self.progress
        record = {
            "epoch": progress.epoch + 1,
            "stage": progress.stage + 1,
            "step": progress.step,
            "learning_rate": learning_rate(stage, progress.step - 1)
            * progress.guard.rate_factor,
            "loss": loss,
            "validation_loss": validation_loss,
            "validation_sdr_db": sdr_db,
            "seconds": round(progress.epoch_seconds, 2),
        }
        score = checks.epoch_score(self.training, loss, validation_loss, sdr_db)
        is_best = progress.end_epoch(score)
        if is_best and self.devices.is_chief:
            checkpoint.save_checkpoint(
                self.workdir / "best",
                self.network,
                self.config,
                self.training,
                optimizer=adam_of(self.optimizer),
            )
        self.log.end_epoch(record, self.network, is_best=is_best)

    def _save(self) -> None:
        if self.devices.is_chief:
            self.states.save(self.progress)

    def _stop(self) -> None:
        self._save()
        self.devices.wait_for_all()
        raise Stopped(f"after step {self.progress.step}, which is saved")
