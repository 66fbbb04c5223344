"""Makes blocks of one rate and channel count of the frames that FFmpeg decodes."""

from __future__ import annotations

import numpy as np

from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.audio.resample import StreamResampler

# Frames are gathered, which costs less than a block for each.
_BLOCK_FRAMES = 16384
# PyAV looks for a frame's planes until a null pointer, which does not follow where an
# AVFrame's own eight pointers are all in use. It then reads other memory, or crashes.
_MOST_PLANES = 7


class FrameBlocks:
    """Turns FFmpeg's frames into float32 blocks `(frames, channels)`.

    Two mp3 in a row, or a broadcast, may go on at another rate or with other channels.
    What follows is made like the beginning.

    Attributes:
        changes: Where the frames change, as (seconds, old rate and channels, new ones).
    """

    def __init__(self, rate_hz: int, channels: int, layout: str | None):
        """Begins before the first frame.

        Args:
            rate_hz: The blocks' rate in Hz.
            channels: The blocks' channels.
            layout: The layout that all frames are mixed into; None: their own.
        """
        self._rate_hz, self._channels, self._layout = rate_hz, channels, layout
        self._kind = self._last_key = self._to_float = None
        self._resampler: StreamResampler | None = None
        self._block = np.empty((0, channels), np.float32)
        self._filled = self._given = 0
        self.changes: list[tuple[float, list[int], list[int]]] = []

    def push(self, frame) -> list[np.ndarray]:
        """Takes a frame of PyAV; returns the blocks that are ready."""
        ready = []
        kind = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if kind != self._kind:
            ready = self.finish()
            self._change(kind)
        parts = [frame]
        if self._to_float:
            parts = self._to_float.resample(frame)
        for part in parts:
            start, samples = self._filled, part.samples
            if start + samples > len(self._block):
                ready += self._take()
                length = max(_BLOCK_FRAMES, samples)
                shape = (length, part.layout.nb_channels)
                self._block, start = np.empty(shape, np.float32), 0
            self._filled = start + samples
            _copy_samples(part, self._block[start : self._filled])
        return ready

    def finish(self) -> list[np.ndarray]:
        """Returns all that waits; silence or other frames may follow."""
        ready = self._take()
        if self._resampler:
            ready += self._counted(self._resampler.finish())
            self._resampler = self._kind = None
        return ready

    def _take(self) -> list[np.ndarray]:
        """Returns the block as far as it is filled, and leaves none."""
        block = self._block[: self._filled]
        self._block, self._filled = self._block[:0], 0
        if not len(block):
            return []
        if block.shape[1] != self._channels:
            block = to_channels(block, self._channels)
        if self._resampler:
            block = self._resampler.push(block)
        return self._counted(block)

    def _counted(self, block: np.ndarray) -> list[np.ndarray]:
        self._given += len(block)
        return [block] if len(block) else []

    def _change(self, kind: tuple[int, int, str]) -> None:
        """Prepares for frames of another rate, number of channels or format."""
        import av

        *key, sample_format = kind
        if self._last_key and key != self._last_key:
            self.changes.append((self._given / self._rate_hz, self._last_key, key))
        self._kind, self._last_key = kind, key
        self._to_float, layout = None, self._layout
        if key[1] > 2 >= self._channels:  # such as a film between advertisements
            layout = "stereo" if self._channels == 2 else "mono"
        if not layout and key[1] > _MOST_PLANES:
            self._to_float = av.AudioResampler("flt")
        elif layout or sample_format != "fltp":
            self._to_float = av.AudioResampler("fltp", layout)
        if key[0] != self._rate_hz:
            self._resampler = StreamResampler(key[0], self._rate_hz, self._channels)


def _copy_samples(frame, block: np.ndarray) -> None:
    """Copies a frame of floats to a block `(frames, channels)`."""
    if frame.format.is_packed:
        (plane,) = frame.planes
        block[:] = np.frombuffer(plane, np.float32, block.size).reshape(block.shape)
        return
    # `to_ndarray` takes three times as long.
    for channel, plane in enumerate(frame.planes):
        block[:, channel] = np.frombuffer(plane, np.float32, len(block))
