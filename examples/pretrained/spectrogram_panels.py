"""Parts of prepared tracks, and their spectrograms below each other."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from waveunet_tf.audio import io
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import figures
from waveunet_tf.evaluate.report import spectrogram_picture


def read_part(
    track: str | os.PathLike,
    stems: Sequence[str],
    start_seconds: float,
    duration_seconds: float,
) -> tuple[dict[str, np.ndarray], int]:
    """Reads a part of a prepared track.

    Args:
        track: The folder of the track.
        stems: The names of the stems.
        start_seconds: Where the part begins.
        duration_seconds: How long the part is; a track may end before.

    Returns:
        Stem → float32 `(frames, channels)`, and the sample rate in Hz.

    Raises:
        InputError: A stem is broken, or ends before the part begins.
        OSError: A stem cannot be read.
    """
    part = {}
    for name in stems:
        path = pathlib.Path(track) / f"{name}.wav"
        samples, rate_hz = io.read(path)
        first = round(start_seconds * rate_hz)
        part[name] = samples[first : first + round(duration_seconds * rate_hz)]
        if not len(part[name]):
            raise InputError(
                f"{path}: must be longer than `start_seconds`, {start_seconds}. "
                f"Received: {len(samples) / rate_hz:.2f} s"
            )
    return part, rate_hz


def draw_panels(panels: dict[str, np.ndarray], rate_hz: int):
    """Draws spectrograms below each other.

    Args:
        panels: The title → the samples, `(frames, channels)`.
        rate_hz: The sample rate in Hz.

    Returns:
        A figure of Matplotlib.
    """
    figure, axes = figures.make_panels([*panels], columns=1, size=(8, 1.5))
    for (panel,), samples in zip(axes, panels.values()):
        panel.imshow(
            spectrogram_picture.power_db(samples, rate_hz),
            aspect="auto",
            origin="lower",
            cmap="magma",
            vmin=-90,
            vmax=-20,
            extent=(0, len(samples) / rate_hz, 0, 1),
        )
        labels, heights = zip(*spectrogram_picture.frequency_marks(rate_hz))
        panel.set_yticks(heights, labels)
        panel.set_ylabel("Hz")
    panel.set_xlabel("seconds")
    return figure
