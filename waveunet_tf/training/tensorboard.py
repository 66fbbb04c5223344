"""The TensorBoard files of a training: curves, sound, spectrograms and a trace."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator

import keras
import numpy as np
import tensorboard  # noqa: F401  without it tf.summary lacks half of its functions
import tensorflow as tf
from absl import logging

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.data.windows import listening_windows
from waveunet_tf.networks import shapes

# Steps of a call before the trace: they build graphs and fill buffers.
_UNTRACED_STEPS = 10
_TRACED_STEPS = 10
_LISTENED_TRACKS = 3
_LISTENED_SECONDS = 5.0
_SPECTROGRAM_FLOOR_DB = -90


class TensorBoard:
    """Writes the curves, sound, spectrograms and trace of a training."""

    def __init__(
        self,
        folder: pathlib.Path,
        config: NetworkConfig,
        tracks: list[PreparedTrack],
        *,
        profile: bool = False,
    ):
        """Opens a file of events in the folder.

        Args:
            folder: The folder to write, which may hold events of an earlier call.
            config: The network's config.
            tracks: Validation tracks, of which the first three are played.
            profile: Whether ten steps are traced for TensorBoard's profiler.

        Raises:
            OSError: The folder cannot be written.
        """
        self._folder, self._config = folder, config
        self._waits_to_trace, self._traced_from = profile, None
        self._steps_here = 0
        with _naming_files():
            self._writer = tf.summary.create_file_writer(str(folder))
        self._tracks = tracks[:_LISTENED_TRACKS]
        self._windows, self._has_true_stems = [], False
        if self._tracks:
            self._windows = listening_windows(self._tracks, config, _LISTENED_SECONDS)

    def write_points(
        self, group: str, step: int, points: dict[str, float | None]
    ) -> None:
        """Adds a point to each curve.

        Args:
            group: The curves' group.
            step: The step of the training.
            points: Curve → value; None adds no point.

        Raises:
            OSError: The folder cannot be written.
        """
        with _naming_files(), self._writer.as_default(step=step):
            for name, value in points.items():
                if value is not None:
                    tf.summary.scalar(f"{group}/{name}", value)

    def write_text(self, name: str, step: int, text: str) -> None:
        """Adds a text.

        Args:
            name: Its name.
            step: The step of the training.
            text: The text.

        Raises:
            OSError: The folder cannot be written.
        """
        with _naming_files(), self._writer.as_default(step=step):
            tf.summary.text(name, text)

    def write_stems(self, network: keras.Model, step: int) -> None:
        """Adds sound and spectrograms of excerpts of the validation tracks.

        Mixtures and true stems stay the same, and are written once in a file.

        Args:
            network: The network that separates them.
            step: The step of the training.

        Raises:
            OSError: The folder cannot be written.
        """
        window = shapes.window_frames(self._config)
        centre = slice(
            window.context_frames, window.context_frames + window.output_frames
        )
        with _naming_files(), self._writer.as_default(step=step):
            for prepared, (mixture, targets, _, _) in zip(self._tracks, self._windows):
                track = pathlib.PurePath(prepared.name).name
                estimates = network(mixture, training=False)
                stems = {f"{name}, estimate": estimates[name] for name in targets}
                if not self._has_true_stems:
                    stems["mixture"] = mixture[:, centre]
                    stems |= {f"{name}, true": stem for name, stem in targets.items()}
                for label, windows in stems.items():
                    self._write_stem(f"{track}/{label}", side_by_side(windows))
        self._has_true_stems = True

    def _write_stem(self, label: str, stem: np.ndarray) -> None:
        """Adds a stem `(frames, channels)`."""
        tf.summary.audio(
            f"audio of {label}",
            np.clip(stem, -1, 1)[None],
            self._config.sample_rate_hz,
        )
        tf.summary.image(f"spectrogram of {label}", spectrogram_picture(stem))

    def close(self) -> None:
        """Ends the trace of a training that ends within it."""
        if self._traced_from is not None:
            tf.profiler.experimental.stop()
            self._traced_from = None

    def begin_steps(self) -> None:
        """Begins or ends the trace, if one is asked for and it is time.

        To be called while no step is computed; a trace has at least ten steps.
        """
        if self._waits_to_trace and self._steps_here >= _UNTRACED_STEPS:
            tf.profiler.experimental.start(str(self._folder))
            self._waits_to_trace, self._traced_from = False, self._steps_here
        traced_from = self._traced_from
        if traced_from is None or self._steps_here < traced_from + _TRACED_STEPS:
            return
        self.close()
        logging.info(
            "%s: a trace of steps %d to %d",
            self._folder / "plugins" / "profile",
            traced_from + 1,
            self._steps_here,
        )

    def end_step(self) -> None:
        """Counts a step."""
        self._steps_here += 1


@contextlib.contextmanager
def _naming_files() -> Iterator[None]:
    """Turns TensorFlow's errors of writing into OSError."""
    try:
        yield
    except tf.errors.OpError as error:
        # Its first line, after the operation: the file and what is wrong with it.
        message = error.message.splitlines()[0].rpartition("}} ")[2]
        raise OSError(message) from error


def side_by_side(windows) -> np.ndarray:
    """Joins windows, `(windows, frames, channels)`, to `(frames, channels)`."""
    windows = np.asarray(windows)
    return windows.reshape(-1, windows.shape[-1])


def spectrogram_picture(stem: np.ndarray) -> np.ndarray:
    """Draws the spectrogram of a stem, from -90 to 0 dB below a full-scale sine.

    Args:
        stem: `(frames, channels)`.

    Returns:
        Colours from 0 to 1, `(1, bins, steps, 3)`, the highest frequency first.
    """
    from matplotlib import colormaps

    window = 1024
    spectra = tf.signal.stft(stem.T, window, window // 4, pad_end=True)
    # The channels' mean power: channels that cancel are heard, too.
    power = np.square(np.abs(spectra)).mean(axis=0)
    # A sine of amplitude 1 gives a quarter of a Hann window's frames.
    level_db = 10 * np.log10(np.maximum(power / (window / 4) ** 2, 1e-20))
    brightness = np.clip(1 - level_db / _SPECTROGRAM_FLOOR_DB, 0, 1)
    colours = colormaps["magma"](brightness)[..., :3]
    return colours.transpose(1, 0, 2)[None, ::-1].astype(np.float32)
