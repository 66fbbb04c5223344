"""Whole audio files as float32 arrays `(frames, channels)`."""

from __future__ import annotations

import os

import numpy as np

from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.system import files


def read(
    path: str | os.PathLike, *, stream: int | None = None
) -> tuple[np.ndarray, int]:
    """Reads a whole audio file.

    Args:
        path: A file of any format that libsndfile or FFmpeg decodes.
        stream: The number of the audio stream, where there are several: a stem.mp4 has
            five. None: the default one, as the file says.

    Returns:
        The audio, float32 `(frames, channels)`, and the sample rate in Hz.

    Raises:
        InputError: The file is empty, broken or truncated, or holds no audio or no such
            stream.
        OSError: The file does not exist, or cannot be read.
    """
    with AudioReader(path, stream=stream) as reader:
        return np.concatenate(list(reader.blocks())), reader.sample_rate_hz


def write_wav(
    path: str | os.PathLike,
    audio: np.ndarray,
    sample_rate_hz: int,
    *,
    bit_depth: int = 16,
) -> None:
    """Writes a wav file, under a temporary name until it is whole.

    Args:
        path: The file, which is replaced if it exists.
        audio: `(frames, channels)`.
        sample_rate_hz: The sample rate in Hz.
        bit_depth: 16 (with dither), 24, or 32, which is float and never clipped.

    Raises:
        OSError: The file cannot be written, for example because the disk is full.
    """
    with files.atomic_file(path) as part:
        with AudioWriter(
            part, sample_rate_hz, audio.shape[1], bit_depth=bit_depth
        ) as writer:
            writer.write(audio)
