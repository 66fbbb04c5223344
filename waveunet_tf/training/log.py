"""What a training tells: its progress line, history, loss curve and TensorBoard."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import pathlib
import time
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
import tqdm
from absl import logging

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.data import excerpts
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.networks import shapes
from waveunet_tf.system import files
from waveunet_tf.training.state import Progress
from waveunet_tf.training.step import Step

HISTORY = "history.jsonl"
_CURVE = "loss.png"
# Steps between two points of TensorBoard's curves.
_POINT_STEPS = 50
# Steps of a call that are traced: the first ones build graphs and fill buffers.
_TRACED_STEPS = range(10, 20)
_LISTENED_TRACKS = 3
_LISTENED_SECONDS = 5.0


class TrainingLog:
    """Writes what happens to the terminal and into the workdir.

    Of several workers only the chief's writes; the others' does nothing.
    """

    def __init__(
        self,
        workdir: pathlib.Path,
        config: NetworkConfig,
        validation_tracks: list[PreparedTrack],
        *,
        enabled: bool,
        profile: bool,
    ):
        """Makes the workdir; takes tracks of which TensorBoard lets one hear some."""
        self._workdir, self._config = workdir, config
        self._folder = workdir / "tensorboard"
        self._enabled, self._profile = enabled, profile and enabled
        self._steps_here = 0
        self._meter = None
        self._writer = tf.summary.create_noop_writer()
        self._listened = validation_tracks[:_LISTENED_TRACKS] if enabled else []
        self._windows = []
        if enabled:
            workdir.mkdir(parents=True, exist_ok=True)
            with self._told_errors():
                self._writer = tf.summary.create_file_writer(str(self._folder))
        if self._listened:
            self._windows = excerpts.listening_windows(
                self._listened, config, _LISTENED_SECONDS
            )
        self._excerpt_seconds = (
            shapes.window_frames(config).output_frames / config.sample_rate_hz
        )

    def forget_after(self, epoch: int) -> None:
        """Drops the history of epochs that the state has not seen end."""
        path = self._workdir / HISTORY
        if not self._enabled or not path.exists():
            return
        kept = [
            line
            for line in path.read_text(encoding="utf-8").splitlines(keepends=True)
            if line.endswith("\n") and json.loads(line)["epoch"] <= epoch
        ]
        with files.atomic_file(path) as part:
            part.write_text("".join(kept), encoding="utf-8")

    def begin_epoch(self, progress: Progress, steps: int) -> tqdm.tqdm:
        """The epoch's progress bar, to be closed; see end_step."""
        self._meter = _Meter()
        return tqdm.tqdm(
            total=steps,
            initial=progress.epoch_steps,
            desc=f"epoch {progress.epoch + 1}",
            unit="step",
            disable=None if self._enabled else True,
        )

    def end_step(
        self,
        bar: tqdm.tqdm,
        progress: Progress,
        step: Step,
        *,
        excerpts: int,
        waited_seconds: float,
    ) -> None:
        """Tells of a step.

        Args:
            bar: the epoch's.
            progress: where the training stands after it.
            step: what it gave.
            excerpts: how many it took.
            waited_seconds: how long it waited for them.
        """
        if not self._enabled:
            return
        self._trace()
        self._meter.add(
            float(step.loss),
            float(step.gradient_norm),
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
        if bar.disable:
            rate = self._meter.step_rate
            left = (bar.total - progress.epoch_steps) / rate
            logging.log_every_n_seconds(
                logging.INFO,
                "epoch %d: step %d of %d, loss %.3e, %.2f steps/s, %s of audio/s, "
                "%s left",
                60,
                progress.epoch + 1,
                progress.epoch_steps,
                bar.total,
                mean,
                rate,
                audio,
                datetime.timedelta(seconds=round(left)),
            )
        if progress.step % _POINT_STEPS == 0 or progress.epoch_steps == bar.total:
            self._write("training", progress.step, self._meter.point())

    def end_epoch(self, record: dict, progress: Progress, network: keras.Model) -> None:
        """Adds the epoch to the history, the curves and the log.

        Args:
            record: the epoch's line of the history.
            progress: where the training stands after it.
            network: the network, to be heard.

        Raises:
            OSError: a file cannot be written.
        """
        if not self._enabled:
            return
        with (self._workdir / HISTORY).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        plot_losses(self._workdir / HISTORY, self._workdir / _CURVE)
        points = {
            name: record[name]
            for name in ("loss", "validation_loss", "learning_rate")
            if record[name] is not None
        }
        sdr = record["validation_sdr_db"] or {}
        points.update({f"validation_sdr_db/{name}": sdr[name] for name in sdr})
        self._write("epoch", record["step"], points)
        self._listen(network, record["step"])
        logging.info(
            "epoch %d: loss %.3e, validation loss %s%s, %.0f s%s",
            record["epoch"],
            record["loss"],
            _shown(record["validation_loss"], ".3e"),
            "".join(f", {name} {_shown(sdr[name], '.2f')} dB" for name in sdr),
            record["seconds"],
            ", the best so far" if progress.best_epoch == record["epoch"] else "",
        )

    @contextlib.contextmanager
    def _told_errors(self) -> Iterator[None]:
        """Turns TensorFlow's errors of writing for TensorBoard into OSError."""
        try:
            yield
        except tf.errors.OpError as error:
            # Its first line, after the operation: the file and what is wrong with it.
            message = error.message.splitlines()[0].rpartition("}} ")[2]
            raise OSError(message) from error

    def _write(self, group: str, step: int, points: dict[str, float]) -> None:
        with self._told_errors(), self._writer.as_default(step=step):
            for name, value in points.items():
                if value is not None:
                    tf.summary.scalar(f"{group}/{name}", value)

    def _trace(self) -> None:
        if self._profile and self._steps_here == _TRACED_STEPS.start:
            tf.profiler.experimental.start(str(self._folder))
        if self._profile and self._steps_here == _TRACED_STEPS.stop:
            tf.profiler.experimental.stop()
            logging.info(
                "%s: a trace of steps %d to %d",
                self._folder / "plugins" / "profile",
                _TRACED_STEPS.start + 1,
                _TRACED_STEPS.stop,
            )
        self._steps_here += 1

    def _listen(self, network: keras.Model, step: int) -> None:
        """Lets TensorBoard show and play excerpts of validation tracks."""
        window = shapes.window_frames(self._config)
        centre = slice(
            window.context_frames, window.context_frames + window.output_frames
        )
        with self._told_errors(), self._writer.as_default(step=step):
            for prepared, (mixture, targets, _, _) in zip(
                self._listened, self._windows
            ):
                track = pathlib.PurePath(prepared.name).name
                estimates = network(mixture, training=False)
                stems = {"mixture": _side_by_side(mixture[:, centre])}
                for source, target in targets.items():
                    stems[f"{source}, true"] = _side_by_side(target)
                    stems[f"{source}, estimate"] = _side_by_side(estimates[source])
                for label, stem in stems.items():
                    tf.summary.audio(
                        f"audio of {track}/{label}",
                        np.clip(stem, -1, 1)[None],
                        self._config.sample_rate_hz,
                    )
                    tf.summary.image(
                        f"spectrogram of {track}/{label}", _spectrogram(stem)
                    )


class _Meter:
    """Rates and means over the last steps."""

    def __init__(self):
        self._began = self._last_point = time.monotonic()
        self._steps = 0
        self._audio_seconds = 0.0
        self._points = []

    def add(self, loss, norm, audio_seconds, waited_seconds) -> None:
        self._steps += 1
        self._audio_seconds += audio_seconds
        self._points.append((loss, norm, audio_seconds, waited_seconds))

    @property
    def step_rate(self) -> float:
        """Steps a second, since the beginning."""
        return self._steps / (time.monotonic() - self._began)

    @property
    def audio_rate(self) -> float:
        """Seconds of audio a second, since the beginning."""
        return self._audio_seconds / (time.monotonic() - self._began)

    def point(self) -> dict[str, float]:
        """The means since the last call."""
        now = time.monotonic()
        seconds, self._last_point = now - self._last_point, now
        points, self._points = self._points, []
        loss, norm, audio, waited = np.sum(points, axis=0)
        return {
            "loss": loss / len(points),
            "gradient_norm": norm / len(points),
            "steps_per_second": len(points) / seconds,
            "audio_seconds_per_second": audio / seconds,
            "input_wait_share": waited / seconds,
        }


def plot_losses(history: str | os.PathLike, path: str | os.PathLike) -> None:
    """Draws the losses of a history.jsonl over its steps.

    Raises:
        OSError: the picture cannot be written.
    """
    from matplotlib.figure import Figure

    lines = pathlib.Path(history).read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    steps = [record["step"] for record in records]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name in ("loss", "validation_loss"):
        values = np.array([record[name] for record in records], float)  # None: nan
        axes.plot(steps, values, marker=".", label=name.replace("_", " "))
    for before, after in zip(records, records[1:]):
        if before["stage"] != after["stage"]:
            axes.axvline(before["step"], color="gray", linestyle=":", label="stage 2")
    if all(record["loss"] > 0 for record in records):
        axes.set_yscale("log")  # but not of a loss in dB
    axes.set_xlabel("step")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    with files.atomic_file(path) as part:
        figure.savefig(part, dpi=100)


def _shown(value: float | None, form: str) -> str:
    return "none" if value is None else format(value, form)


def _side_by_side(windows) -> np.ndarray:
    """`(windows, frames, channels)` → `(all frames, channels)`."""
    windows = np.asarray(windows)
    return windows.reshape(-1, windows.shape[-1])


def _spectrogram(stem: np.ndarray) -> np.ndarray:
    """A picture `(1, bins, steps, 3)` of `(frames, channels)`, from -90 to 0 dB."""
    from matplotlib import colormaps

    window = 1024
    mono = tf.constant(stem.mean(axis=1))
    magnitude = np.abs(tf.signal.stft(mono, window, window // 4, pad_end=True))
    # A sine of amplitude 1 gives a quarter of a Hann window's frames.
    level_db = 20 * np.log10(np.maximum(magnitude / (window / 4), 1e-10))
    colours = colormaps["magma"](np.clip(level_db / 90 + 1, 0, 1))[..., :3]
    return colours.transpose(1, 0, 2)[None, ::-1].astype(np.float32)
