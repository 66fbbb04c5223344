"""Resampling by soxr, of whole arrays and of streams."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import soxr


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
