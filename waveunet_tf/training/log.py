"""The reports of a training: progress line, history, loss curve and TensorBoard."""

from __future__ import annotations

import datetime
import pathlib

import keras
import tqdm
from absl import logging

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.networks import shapes
from waveunet_tf.training.guard import MAX_ROLLBACKS, StepNumbers
from waveunet_tf.training.history import History
from waveunet_tf.training.loss_curve import plot_losses
from waveunet_tf.training.meter import Meter
from waveunet_tf.training.progress import TrainingProgress
from waveunet_tf.training.tensorboard import TensorBoard

_CURVE = "loss.png"
# Steps between two points of TensorBoard's curves.
_POINT_STEPS = 50


class TrainingLog:
    """Reports a training on the terminal and in the workdir.

    Where there are several workers, only the chief's log writes.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        config: NetworkConfig,
        validation_tracks: list[PreparedTrack],
        *,
        enabled: bool = True,
        profile: bool = False,
        illustrate: bool = True,
    ):
        """Makes the workdir and opens TensorBoard's file.

        Args:
            workdir: The training's folder.
            config: The network's config.
            validation_tracks: The tracks of which TensorBoard plays some.
            enabled: Whether this is the chief's log.
            profile: Whether ten steps are traced for TensorBoard's profiler.
            illustrate: Whether each epoch draws the losses, and writes sound and
                spectrograms for TensorBoard.

        Raises:
            OSError: The workdir cannot be written.
        """
        self._workdir, self._enabled = workdir, enabled
        self._history = History(workdir)
        self._illustrate = illustrate
        self._meter = Meter()
        self._excerpt_seconds = (
            shapes.window_frames(config).output_frames / config.sample_rate_hz
        )
        if enabled:
            workdir.mkdir(parents=True, exist_ok=True)
            self._board = TensorBoard(
                workdir / "tensorboard",
                config,
                validation_tracks if illustrate else [],
                profile=profile,
            )

    def close(self) -> None:
        """Ends what is still open, however the training ends."""
        if self._enabled:
            self._board.close()

    def go_on(self, progress: TrainingProgress) -> None:
        """Drops what the history tells beyond the state that the training goes on from.

        Raises:
            InputError: A line of the history is broken.
        """
        if self._enabled:
            self._history.match(progress.epoch, progress.guard.rollbacks)

    def go_back(self, progress: TrainingProgress) -> None:
        """Reports that a lost training goes back.

        Args:
            progress: Where it stands again.

        Raises:
            OSError: A file cannot be written.
        """
        record = progress.guard.rollbacks[-1]
        logging.warning(
            "%s; back to step %d at a learning rate of %.3g (%d of at most %d times)",
            record["reason"],
            record["to_step"],
            record["learning_rate"],
            record["rollback"],
            MAX_ROLLBACKS,
        )
        if not self._enabled:
            return
        self._history.match(progress.epoch, progress.guard.rollbacks)
        self._board.write_points(
            "lost",
            record["step"],
            {name: record[name] for name in ("rollback", "to_step", "learning_rate")},
        )
        self._board.write_text("lost/reason", record["step"], record["reason"])

    def begin_epoch(self, progress: TrainingProgress, steps: int) -> tqdm.tqdm:
        """Opens the progress bar of an epoch; the caller closes it.

        Args:
            progress: Where the training stands.
            steps: The epoch's steps in all.
        """
        self._meter = Meter()
        return tqdm.tqdm(
            total=steps,
            initial=progress.epoch_steps,
            desc=f"epoch {progress.epoch + 1}",
            unit="step",
            disable=None if self._enabled else True,
        )

    def begin_steps(self) -> None:
        """Begins or ends a trace before the next steps, while none is computed."""
        if self._enabled:
            self._board.begin_steps()

    def end_step(
        self,
        bar: tqdm.tqdm,
        progress: TrainingProgress,
        numbers: StepNumbers,
        *,
        excerpts: int,
        waited_seconds: float,
    ) -> None:
        """Reports a step.

        Args:
            bar: The epoch's progress bar.
            progress: Where the training stands after the step.
            numbers: What the step tells.
            excerpts: The number of excerpts in its batch.
            waited_seconds: The time that it waited for them.

        Raises:
            OSError: TensorBoard's file cannot be written.
        """
        if not self._enabled:
            return
        self._board.end_step()
        self._meter.add(
            numbers.loss,
            numbers.gradient_norm,
            excerpts * self._excerpt_seconds,
            waited_seconds,
        )
        mean = progress.epoch_loss / progress.epoch_steps
        audio = f"{self._meter.audio_rate:.0f} s"
        bar.set_postfix(
            {"loss": f"{mean:.3e}", "audio/s": audio, "step": progress.step},
            refresh=False,
        )
        bar.update()
        if bar.disable:  # no terminal
            self._log_step(bar.total, progress, mean, audio)
        if progress.step % _POINT_STEPS == 0 or progress.epoch_steps == bar.total:
            self._board.write_points("training", progress.step, self._meter.point())

    def _log_step(
        self, steps: int, progress: TrainingProgress, mean: float, audio: str
    ):
        """Logs a plain line, once a minute."""
        rate = self._meter.step_rate
        left_seconds = round((steps - progress.epoch_steps) / rate)
        logging.log_every_n_seconds(
            logging.INFO,
            "epoch %d: step %d of %d, loss %.3e, %.2f steps/s, %s of audio/s, %s left",
            60,
            progress.epoch + 1,
            progress.epoch_steps,
            steps,
            mean,
            rate,
            audio,
            datetime.timedelta(seconds=left_seconds),
        )

    def end_epoch(self, record: dict, network: keras.Model, *, is_best: bool) -> None:
        """Adds an epoch to the history, the curves and the log.

        Args:
            record: The epoch's line of the history.
            network: The network, whose estimates TensorBoard plays.
            is_best: Whether no epoch before it was as good.

        Raises:
            OSError: A file cannot be written.
        """
        if not self._enabled:
            return
        self._history.append(record)
        points = {
            name: record[name] for name in ("loss", "validation_loss", "learning_rate")
        }
        sdr_db = record["validation_sdr_db"] or {}
        points.update({f"validation_sdr_db/{name}": sdr_db[name] for name in sdr_db})
        self._board.write_points("epoch", record["step"], points)
        if self._illustrate:
            plot_losses(self._history.path, self._workdir / _CURVE)
            self._board.write_stems(network, record["step"])
        logging.info(
            "epoch %d: loss %.3e, validation loss %s%s, %.0f s%s",
            record["epoch"],
            record["loss"],
            _formatted(record["validation_loss"], ".3e"),
            "".join(
                f", {name} {_formatted(sdr_db[name], '.2f')} dB" for name in sdr_db
            ),
            record["seconds"],
            ", the best so far" if is_best else "",
        )


def _formatted(value: float | None, form: str) -> str:
    return "none" if value is None else format(value, form)
