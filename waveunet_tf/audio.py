"""Audio as float32 arrays `(frames, channels)`: files, resampling, channels."""

from __future__ import annotations

import functools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import soxr

from waveunet_tf import files
from waveunet_tf.decode import AudioReader
from waveunet_tf.encode import AudioWriter
from waveunet_tf.errors import InputError


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


def resample(
    audio: np.ndarray, from_hz: int, to_hz: int, *, frames: int | None = None
) -> np.ndarray:
    """Resamples with soxr at its very high quality, without delay.

    Args:
        audio: `(frames, channels)`.
        from_hz: its sample rate in Hz.
        to_hz: the wished sample rate in Hz.
        frames: frames of the result; by default the audio's length, rounded up.

    Returns:
        float32 `(frames, channels)`.
    """
    if frames is None:
        frames = -(-len(audio) * to_hz // from_hz)
    if from_hz != to_hz:
        audio = soxr.resample(audio, from_hz, to_hz, quality="VHQ")
    audio = audio[:frames]
    missing = frames - len(audio)  # a frame of rounding
    return np.pad(audio, ((0, missing), (0, 0))).astype(np.float32, copy=False)


class StreamResampler:
    """Resamples block by block, at soxr's very high quality, without delay.

    In the end as many frames have come out as the audio's length asks for.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int):
        """Starts a stream.

        Args:
            from_hz: the audio's sample rate in Hz.
            to_hz: the wished sample rate in Hz.
            channels: its channels.
        """
        self._ratio, self._channels = (to_hz, from_hz), channels
        self._stream = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(
                from_hz, to_hz, channels, dtype="float32", quality="VHQ"
            )
        self._came = self._gone = 0

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes `(frames, channels)`; gives what is ready, which may be nothing."""
        self._came += len(block)
        if self._stream:
            block = self._stream.resample_chunk(np.ascontiguousarray(block))
        self._gone += len(block)
        return block

    def finish(self, frames: int | None = None) -> np.ndarray:
        """Ends the stream; gives the rest.

        Args:
            frames: frames of the whole result; by default the audio's length, rounded
                up.
        """
        if frames is None:
            frames = -(-self._came * self._ratio[0] // self._ratio[1])
        rest = np.zeros((0, self._channels), np.float32)
        if self._stream:
            rest = self._stream.resample_chunk(rest, last=True)
        wanted = max(frames - self._gone, 0)
        rest = rest[:wanted]
        self._gone += wanted
        return np.pad(rest, ((0, wanted - len(rest)), (0, 0)))


def resample_blocks(
    blocks: Iterable[dict[str, np.ndarray]],
    from_hz: int,
    to_hz: Mapping[str, int],
    channels: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Resamples several stems that come block by block.

    Args:
        blocks: name → `(frames, channels)`, the same names in each.
        from_hz: their sample rate in Hz.
        to_hz: the wished sample rates in Hz; a stem without one keeps its own.
        channels: of the stems.
    """
    resamplers = {}
    for block in blocks:
        for name in block:
            if name not in resamplers:
                rate_hz = to_hz.get(name, from_hz)
                resamplers[name] = StreamResampler(from_hz, rate_hz, channels)
        yield {name: resamplers[name].push(stem) for name, stem in block.items()}
    yield {name: resampler.finish() for name, resampler in resamplers.items()}


@functools.lru_cache
def resampling_seconds(from_hz: int, to_hz: int) -> float:
    """How long a StreamResampler keeps audio back, at most, in seconds.

    soxr does not tell it, but shows it.

    Args:
        from_hz: the audio's sample rate in Hz.
        to_hz: the wished sample rate in Hz.
    """
    if from_hz == to_hz:
        return 0.0
    stream = StreamResampler(from_hz, to_hz, 1)
    block = np.zeros((max(from_hz // 1000, 1), 1), np.float32)  # a millisecond
    came, gone, longest = 0, 0, 0.0
    for _ in range(1000):
        came += len(block)
        gone += len(stream.push(block))
        longest = max(longest, came / from_hz - gone / to_hz)
    return longest


def to_channels(audio: np.ndarray, channels: int) -> np.ndarray:
    """Turns mono into stereo by repetition, stereo into mono by the mean.

    Args:
        audio: `(frames, 1 or 2)`.
        channels: 1 or 2.

    Returns:
        `(frames, channels)`.

    Raises:
        InputError: the audio has more than two channels.
    """
    if audio.shape[1] > 2:
        raise InputError(
            f"Audio must have 1 or 2 channels. Received: {audio.shape[1]} channels"
        )
    if audio.shape[1] == channels:
        return audio
    if channels == 1:
        return audio.mean(axis=1, keepdims=True)
    return np.repeat(audio, channels, axis=1)


def stem_name(path: str | os.PathLike) -> str:
    """A song's name: its file's name without `.stem.mp4` or another suffix.

    Raises:
        InputError: nothing is left that could name a folder.
    """
    whole = pathlib.Path(path).name
    name = pathlib.Path(whole).stem
    if whole.lower().endswith(".stem.mp4"):
        name = whole[: -len(".stem.mp4")]
    if name in ("", ".", ".."):
        raise InputError(f"{path}: must have a name before its suffix")
    return name
