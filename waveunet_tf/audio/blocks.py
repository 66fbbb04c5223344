"""Blocks of audio `(frames, channels)`: their channels, and a queue of frames."""

from __future__ import annotations

import collections

import numpy as np

from waveunet_tf.errors import InputError


def to_channels(audio: np.ndarray, channels: int) -> np.ndarray:
    """Makes mono stereo by repetition, and stereo mono by the mean.

    Args:
        audio: `(frames, channels)`, with 1 or 2 channels.
        channels: The wished number of channels: 1 or 2.

    Returns:
        `(frames, channels)`, with the wished number of channels.

    Raises:
        InputError: The audio has, or is to have, more than two channels.
    """
    if (most := max(audio.shape[1], channels)) > 2:
        raise InputError(f"Audio must have 1 or 2 channels. Received: {most} channels")
    if audio.shape[1] == channels:
        return audio
    if channels == 1:
        return audio.mean(axis=1, keepdims=True)
    return np.repeat(audio, channels, axis=1)


class Queue:
    """A queue of frames: `len` is the number of frames that wait."""

    def __init__(self, channels: int):
        self._blocks = collections.deque()
        self._none = np.zeros((0, channels), np.float32)
        self._frames = 0

    def __len__(self) -> int:
        return self._frames

    def put(self, block: np.ndarray) -> None:
        """Adds a block `(frames, channels)` at the end."""
        self._blocks.append(block)
        self._frames += len(block)

    def take(self, frames: int, seen: int | None = None) -> np.ndarray:
        """Removes frames from the front, and returns the first of the queue.

        Args:
            frames: The number of frames to remove; fewer where fewer wait.
            seen: The number of frames to return, which may be more or fewer than are
                removed; by default the same.

        Returns:
            `(frames, channels)`; shorter where fewer frames wait.
        """
        seen = frames if seen is None else seen
        parts, missing = [self._none], seen
        for block in self._blocks:
            if missing <= 0:
                break
            parts.append(block[:missing])
            missing -= len(block)
        gone = min(frames, self._frames)
        self._frames -= gone
        while gone:
            first = self._blocks.popleft()
            if len(first) > gone:
                self._blocks.appendleft(first[gone:])
            gone -= min(gone, len(first))
        return np.concatenate(parts)
