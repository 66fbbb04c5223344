"""Engines of NumPy, for tests of what surrounds a network."""

import dataclasses

import numpy as np

from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.networks import shapes
from waveunet_tf.separation.separator import Separator

CONFIG = WaveUNetConfig(
    num_levels=3, base_filters=1, sample_rate_hz=8000, output_frames=256
)


class ShareEngine:
    """Gives each source a share of the mixture, window by window."""

    name = "numpy"

    def __init__(self, config, windows, shares):
        self.chunk_frames = windows.hop_frames
        self.input_shapes = {
            "mixture": (1, windows.window.input_frames, config.channels)
        }
        self.silence = {}
        self.calls = 0
        self._window, self._shares = windows.window, shares

    def __call__(self, mixture):
        assert mixture.shape == self.input_shapes["mixture"]
        self.calls += 1
        first = self._window.context_frames
        centre = mixture[:, first : first + self._window.output_frames]
        return {
            name: np.float32(share) * centre for name, share in self._shares.items()
        }


class DelayEngine:
    """Plays the stream's step: gives the mixture, late by the network's latency.

    Everything goes through the delay of the mixture, as a network's mixture does; the
    rest of the state passes unchanged.
    """

    name = "numpy"

    def __init__(self, config, chunk_frames):
        self.chunk_frames = shapes.chunk_frames(config, chunk_frames)
        self.input_shapes = {"mixture": (1, self.chunk_frames, config.channels)}
        frames = shapes.stream_state_frames(config, self.chunk_frames)
        for name, count in frames.items():
            self.input_shapes[f"state_{name}"] = (1, count, config.channels)
        self.silence = {
            f"state_{name}": np.zeros((1, 1, config.channels), np.float32)
            for name in frames
        }
        self._sources = config.sources

    def __call__(self, mixture, **state):
        for name, value in {"mixture": mixture, **state}.items():
            assert value.shape == self.input_shapes[name]
        line = np.concatenate([state["state_delay_mixture"], mixture], axis=1)
        ready, waiting = np.split(line, [self.chunk_frames], axis=1)
        after = {**state, "state_delay_mixture": waiting}
        return {**dict.fromkeys(self._sources, ready), **after}


def share_separator(vocals=0.25, **changes):
    """A separator for which the vocals are a share of the song, the rest is the rest.

    Its config is `CONFIG`, with changes.
    """
    config = dataclasses.replace(CONFIG, **changes)
    windows = shapes.song_windows(config, 256)
    shares = {"vocals": vocals, "accompaniment": 1 - vocals}
    return Separator(config, ShareEngine(config, windows, shares), windows)
