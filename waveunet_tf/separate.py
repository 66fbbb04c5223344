"""A song of any length → its stems."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from waveunet_tf import audio, checkpoint, shapes
from waveunet_tf.errors import InputError

# Output frames of a window: large enough that the context on its sides costs little,
# small enough for the memory (about 1 GB with M4).
MAX_WINDOW_FRAMES = 131072


class Separator:
    """Separates songs with a checkpoint's network.

    Attributes:
        config: the network's config.
    """

    def __init__(self, directory: str | os.PathLike, **overrides):
        """Loads a checkpoint; see `load`."""
        self.config = checkpoint.read_config(directory)
        self._network = tf.function(checkpoint.load_network(directory, **overrides))

    def separate(self, song: np.ndarray, sample_rate_hz: int) -> dict[str, np.ndarray]:
        """Separates a song.

        Args:
            song: `(frames, channels)`, mono or stereo.
            sample_rate_hz: its sample rate in Hz; another than the network's is
                resampled there and back.

        Returns:
            Source → float32 `(frames, channels)`, as long as the song. A mono network
            gives mono stems; a stereo network gives as many channels as came.

        Raises:
            InputError: the song has another rank, no frames, more than two channels, or
                samples that are no finite numbers; the rate is not positive.
        """
        song = np.asarray(song)
        if song.ndim != 2 or not song.size:
            raise InputError(
                "`song` must be an array (frames, channels) with frames. "
                f"Received: shape {song.shape}"
            )
        if not np.issubdtype(song.dtype, np.floating):
            raise InputError(
                f"`song` must be of floats, full scale ±1. Received: {song.dtype}"
            )
        song = song.astype(np.float32, copy=False)
        if not np.isfinite(song).all():
            raise InputError(
                "`song` must hold finite samples. Received: NaN or infinity"
            )
        if sample_rate_hz <= 0 or int(sample_rate_hz) != sample_rate_hz:
            raise InputError(
                "`sample_rate_hz` must be a positive whole number. "
                f"Received: {sample_rate_hz}"
            )
        sample_rate_hz = int(sample_rate_hz)
        mixture = audio.to_channels(song, self.config.channels)
        mixture = audio.resample(mixture, sample_rate_hz, self.config.sample_rate_hz)
        channels = min(song.shape[1], self.config.channels)
        return {
            name: audio.resample(
                audio.to_channels(stem, channels),
                self.config.sample_rate_hz,
                sample_rate_hz,
                frames=len(song),
            )
            for name, stem in self._separate_at_network_rate(mixture).items()
        }

    def _separate_at_network_rate(self, mixture: np.ndarray) -> dict[str, np.ndarray]:
        window, hop, overlap = shapes.song_windows(
            self.config, len(mixture), MAX_WINDOW_FRAMES
        )
        before = overlap + window.context_frames
        starts = range(0, overlap + len(mixture), hop)
        padded_frames = max(starts) + max(window.input_frames, before + len(mixture))
        after = padded_frames - before - len(mixture)
        padded = np.pad(mixture, ((before, after), (0, 0)))
        gains = _cross_fade(hop, overlap)
        stems = {
            name: np.zeros((max(starts) + len(gains), mixture.shape[1]), np.float32)
            for name in self.config.sources
        }
        for start in starts:
            estimates = self._network(padded[None, start : start + window.input_frames])
            for name, stem in stems.items():
                block = estimates[name][0, : len(gains)].numpy()
                stem[start : start + len(gains)] += gains * block
        song = slice(overlap, overlap + len(mixture))
        return {name: stem[song] for name, stem in stems.items()}


def _cross_fade(hop: int, overlap: int) -> np.ndarray:
    """Gains `(hop + overlap, 1)` that add up to 1 where neighbours overlap."""
    rise = (np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1)
    gains = np.concatenate([rise, np.ones(hop - overlap, np.float32), rise[::-1]])
    return gains[:, None]


def load(directory: str | os.PathLike, **overrides) -> Separator:
    """Loads a checkpoint's separator.

    Args:
        directory: the checkpoint, a folder of config.json and weights.
        **overrides: see checkpoint.load_network.

    Raises:
        InputError: see checkpoint.load_network.
    """
    return Separator(directory, **overrides)
