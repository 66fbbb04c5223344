"""Resampling by soxr at its very high quality: of whole arrays, and of streams."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import soxr

from waveunet_tf.system import interrupts


def resample(
    audio: np.ndarray, from_hz: int, to_hz: int, *, frames: int | None = None
) -> np.ndarray:
    """Resamples a whole array, without delay.

    Args:
        audio: `(frames, channels)`.
        from_hz: The audio's sample rate in Hz.
        to_hz: The wished sample rate in Hz.
        frames: The length of the result; by default the audio's length at the new
            rate, rounded up.

    Returns:
        float32 `(frames, channels)`.
    """
    if frames is None:
        frames = _length(len(audio), from_hz, to_hz)
    if from_hz != to_hz:
        audio = soxr.resample(audio, from_hz, to_hz, quality="VHQ")
        interrupts.end_if_swallowed()
    audio = audio[:frames]
    missing = frames - len(audio)  # soxr rounds to the nearest frame.
    return np.pad(audio, ((0, missing), (0, 0))).astype(np.float32, copy=False)


def _length(frames: int, from_hz: int, to_hz: int) -> int:
    """Returns a length in frames at another rate, rounded up."""
    return -(-frames * to_hz // from_hz)


class StreamResampler:
    """Resamples a stream block by block, without delay.

    `push` and `finish` give as many frames in all as `resample` does.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int):
        """Starts a stream.

        Args:
            from_hz: The audio's sample rate in Hz.
            to_hz: The wished sample rate in Hz.
            channels: The audio's number of channels.
        """
        self._from_hz, self._to_hz, self._channels = from_hz, to_hz, channels
        self._stream = None
        if from_hz != to_hz:
            self._stream = soxr.ResampleStream(
                from_hz, to_hz, channels, dtype="float32", quality="VHQ"
            )
        self._taken = self._given = 0

    def push(self, block: np.ndarray) -> np.ndarray:
        """Takes `(frames, channels)`; returns the frames that are ready, if any."""
        self._taken += len(block)
        if self._stream:
            block = self._stream.resample_chunk(np.ascontiguousarray(block))
            interrupts.end_if_swallowed()
        self._given += len(block)
        return block

    def finish(self, frames: int | None = None) -> np.ndarray:
        """Ends the stream; returns the rest, `(frames, channels)`.

        Args:
            frames: The length of the whole result; by default the audio's length at
                the new rate, rounded up.
        """
        if frames is None:
            frames = _length(self._taken, self._from_hz, self._to_hz)
        rest = np.zeros((0, self._channels), np.float32)
        if self._stream:
            rest = self._stream.resample_chunk(rest, last=True)
        wanted = max(frames - self._given, 0)
        rest = rest[:wanted]
        self._given += wanted
        return np.pad(rest, ((0, wanted - len(rest)), (0, 0)))


def resample_blocks(
    blocks: Iterable[dict[str, np.ndarray]],
    from_hz: int,
    to_hz: Mapping[str, int],
    channels: int,
) -> Iterator[dict[str, np.ndarray]]:
    """Resamples the blocks of several stems.

    Args:
        blocks: Dicts of name → `(frames, channels)`, with the same names in each.
        from_hz: The stems' sample rate in Hz.
        to_hz: Name → the wished sample rate in Hz; other stems keep theirs.
        channels: The stems' number of channels.

    Yields:
        Dicts of name → `(frames, channels)`, whose lengths differ.
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
    """Measures how long a StreamResampler holds audio back at most, in seconds.

    Args:
        from_hz: The audio's sample rate in Hz.
        to_hz: The wished sample rate in Hz.
    """
    if from_hz == to_hz:
        return 0.0
    stream = StreamResampler(from_hz, to_hz, 1)
    block = np.zeros((max(from_hz // 1000, 1), 1), np.float32)  # a millisecond
    taken, given, longest = 0, 0, 0.0
    for _ in range(1000):
        taken += len(block)
        given += len(stream.push(block))
        longest = max(longest, taken / from_hz - given / to_hz)
    return longest
