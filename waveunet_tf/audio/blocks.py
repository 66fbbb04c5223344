"""Blocks of audio `(frames, channels)`: channels, and frames that wait."""

from __future__ import annotations

import collections

import numpy as np

from waveunet_tf.errors import InputError


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


class Queue:
    """Frames that wait, `(frames, channels)`: first in, first out."""

    def __init__(self, channels: int):
        self._blocks = collections.deque()
        self._none = np.zeros((0, channels), np.float32)
        self._frames = 0

    def __len__(self) -> int:
        return self._frames

    def put(self, block: np.ndarray) -> None:
        self._blocks.append(block)
        self._frames += len(block)

    def take(self, frames: int, seen: int | None = None) -> np.ndarray:
        """Takes so many frames away, and gives these or the first `seen`, if it can."""
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
