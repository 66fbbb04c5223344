"""Networks over a mixture of any length, that comes in blocks, in constant memory."""

from __future__ import annotations

import numpy as np

from waveunet_tf.audio.blocks import Queue
from waveunet_tf.networks import shapes


class Runner:
    """A network over a mixture that comes in blocks, at the network's rate.

    Subclasses set `needed_frames`, how much of it they look at, and `hop_frames`, how
    much of that `_run` takes off the queue and gives of each source.

    Attributes:
        latency_frames: how many frames after a frame its stems come, at most.
        context_frames: how many frames around a frame its stems depend on, at most, on
            each side.
        stride_frames: a stream that begins a multiple of so many frames later gives the
            same stems, but for the context at its begin.
    """

    def __init__(self, config, before_frames: int, lag_frames: int):
        """Starts a stream.

        Args:
            config: the network's config.
            before_frames: silence before the song.
            lag_frames: frames that come out before the song's first.
        """
        self._sources, self._channels = config.sources, config.channels
        self._queue = Queue(config.channels)
        self._queue.put(np.zeros((before_frames, config.channels), np.float32))
        self._came, self._gone = 0, -lag_frames

    def push(self, mixture: np.ndarray) -> dict[str, np.ndarray]:
        """Takes `(frames, channels)`; gives each source's frames that are ready."""
        self._came += len(mixture)
        self._queue.put(mixture)
        blocks = {
            name: [np.zeros((0, self._channels), np.float32)] for name in self._sources
        }
        while len(self._queue) >= self.needed_frames:
            late = max(-self._gone, 0)  # still before the song's first frame
            for name, stem in self._run().items():
                blocks[name].append(stem[late:])
            self._gone += self.hop_frames
        return {name: np.concatenate(parts) for name, parts in blocks.items()}

    def finish(self) -> dict[str, np.ndarray]:
        """Gives the rest of each source, with silence after the song."""
        rest = self._came - max(self._gone, 0)
        hops = -(-(self._came - self._gone) // self.hop_frames)
        wanted = (hops - 1) * self.hop_frames + self.needed_frames if hops else 0
        silence = max(wanted - len(self._queue), 0)
        stems = self.push(np.zeros((silence, self._channels), np.float32))
        return {name: stem[:rest] for name, stem in stems.items()}

    def run(self, mixture: np.ndarray) -> dict[str, np.ndarray]:
        """Gives each source of a whole song `(frames, channels)`, at once."""
        blocks = [self.push(mixture), self.finish()]
        return {
            name: np.concatenate([block[name] for block in blocks])
            for name in self._sources
        }


class ChunkRunner(Runner):
    """The streaming network over chunks of a fixed length.

    A delay line longer than a chunk waits here, where no step has to move all of it.
    """

    def __init__(self, config, engine):
        """Takes an engine (see engines.py) that was made for the stream's step."""
        super().__init__(config, 0, shapes.stream_plan(config).latency_frames)
        self.hop_frames = shapes.chunk_frames(config, engine.chunk_frames)
        self.needed_frames = self.hop_frames
        self.context_frames = shapes.stream_plan(config).latency_frames
        self.latency_frames = self.context_frames + self.hop_frames
        self.stride_frames = 2**config.num_levels
        self._engine, self._state, self._lines = engine, {}, {}
        for array, frames in shapes.stream_state_frames(config).items():
            name = f"state_{array}"
            silence = np.tile(engine.silence[name], (1, frames, 1))
            due = engine.input_shapes[name][1]
            if due == frames:
                self._state[name] = silence
            else:
                self._lines[name] = line = Queue(silence.shape[-1])
                line.put(silence[0])

    def _run(self) -> dict[str, np.ndarray]:
        mixture = self._queue.take(self.hop_frames)[None]
        due = {
            name: line.take(self._engine.input_shapes[name][1])[None]
            for name, line in self._lines.items()
        }
        came = self._engine(mixture=mixture, **due, **self._state)
        for name, line in self._lines.items():
            line.put(np.asarray(came[name])[0])
        self._state = {name: came[name] for name in self._state}
        return {name: np.asarray(came[name])[0] for name in self._sources}


class WindowRunner(Runner):
    """A network over windows that follow, or fade into, each other."""

    def __init__(self, config, engine, windows: shapes.SongWindows):
        """Takes an engine (see engines.py) that was made for these windows."""
        window, self.hop_frames, overlap = windows
        super().__init__(config, overlap + window.context_frames, overlap)
        self.needed_frames = window.input_frames
        self.context_frames = self.latency_frames = window.input_frames + overlap
        self.stride_frames = self.hop_frames
        self._engine = engine
        self._gains = cross_fade(self.hop_frames, overlap)
        self._fading = dict.fromkeys(
            config.sources, np.zeros((overlap, config.channels), np.float32)
        )

    def _run(self) -> dict[str, np.ndarray]:
        mixture = self._queue.take(self.hop_frames, self.needed_frames)
        stems = {}
        for name, estimate in self._engine(mixture=mixture[None]).items():
            stem = np.asarray(estimate)[0, : len(self._gains)] * self._gains
            fading = self._fading[name]
            stem[: len(fading)] += fading
            self._fading[name] = stem[self.hop_frames :]
            stems[name] = stem[: self.hop_frames]
        return stems


def start(config, engine, windows: shapes.SongWindows | None) -> Runner:
    """The runner of an engine that was made for these windows, or else for a stream."""
    if windows:
        return WindowRunner(config, engine, windows)
    return ChunkRunner(config, engine)


def cross_fade(hop: int, overlap: int) -> np.ndarray:
    """Gains `(hop + overlap, 1)` that add up to 1 where neighbours overlap."""
    rise = (np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1)
    gains = np.concatenate([rise, np.ones(hop - overlap, np.float32), rise[::-1]])
    return gains[:, None]
