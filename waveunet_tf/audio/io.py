"""Whole audio files as float32 arrays `(frames, channels)`."""

from __future__ import annotations

import os

import numpy as np

from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.system import files


def read(path: str | os.PathLike, *, stream: int = 0) -> tuple[np.ndarray, int]:
    """Reads a whole audio file.

    Args:
        path: a file that libsndfile or FFmpeg knows.
        stream: which audio stream of a file with several (a stem.mp4 has five).

    Returns:
        The audio, float32 `(frames, channels)`, and the sample rate in Hz.

    Raises:
        InputError: the file is empty, broken, truncated, or holds no audio or no such
            stream.
        OSError: there is no such file, or it cannot be read.
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
        path: the file; one of that name is replaced.
        audio: `(frames, channels)`.
        sample_rate_hz: sample rate in Hz.
        bit_depth: see encode.AudioWriter.

    Raises:
        OSError: the file cannot be written, such as for want of space.
    """
    with files.atomic_file(path) as part:
        with AudioWriter(
            part, sample_rate_hz, audio.shape[1], bit_depth=bit_depth
        ) as writer:
            writer.write(audio)
