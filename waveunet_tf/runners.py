"""Networks over a mixture of any length, that comes in blocks, in constant memory."""

from __future__ import annotations

import numpy as np

from waveunet_tf import shapes, streaming

# Frames of a chunk, or of a window's hop. Longer ones measured no faster.
CHUNK_FRAMES = 65536


class Runner:
    """A network over a mixture that comes in blocks, at the network's rate.

    Subclasses set `needed_frames`, how much of it they look at, and `hop_frames`, how
    much of that `_run` takes off the queue and gives of each source.
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


class ChunkRunner(Runner):
    """The streaming network over chunks of a fixed length."""

    def __init__(self, network: streaming.StreamingNetwork, step):
        super().__init__(network.config, 0, network.plan.latency_frames)
        multiple = network.chunk_multiple
        self.hop_frames = max(CHUNK_FRAMES // multiple, 1) * multiple
        self.needed_frames = self.hop_frames
        self._step, self._state = step, network.silent_state()

    def _run(self) -> dict[str, np.ndarray]:
        chunk = self._queue.take(self.hop_frames)
        stems, self._state = self._step(chunk[None], self._state)
        return {name: stem.numpy()[0] for name, stem in stems.items()}


class WindowRunner(Runner):
    """A network over windows that follow, or fade into, each other."""

    def __init__(self, config, network):
        window, self.hop_frames, overlap = shapes.song_windows(config, CHUNK_FRAMES)
        super().__init__(config, overlap + window.context_frames, overlap)
        self.needed_frames = window.input_frames
        self._network = network
        self._gains = _cross_fade(self.hop_frames, overlap)
        self._fading = dict.fromkeys(
            config.sources, np.zeros((overlap, config.channels), np.float32)
        )

    def _run(self) -> dict[str, np.ndarray]:
        mixture = self._queue.take(self.hop_frames, self.needed_frames)
        stems = {}
        for name, estimate in self._network(mixture[None]).items():
            stem = estimate.numpy()[0, : len(self._gains)] * self._gains
            fading = self._fading[name]
            stem[: len(fading)] += fading
            self._fading[name] = stem[self.hop_frames :]
            stems[name] = stem[: self.hop_frames]
        return stems


def _cross_fade(hop: int, overlap: int) -> np.ndarray:
    """Gains `(hop + overlap, 1)` that add up to 1 where neighbours overlap."""
    rise = (np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1)
    gains = np.concatenate([rise, np.ones(hop - overlap, np.float32), rise[::-1]])
    return gains[:, None]


class Queue:
    """Frames that wait, `(frames, channels)`: first in, first out."""

    def __init__(self, channels: int):
        self._waiting = np.zeros((0, channels), np.float32)

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, block: np.ndarray) -> None:
        self._waiting = np.concatenate([self._waiting, block])

    def take(self, frames: int, seen: int | None = None) -> np.ndarray:
        """Takes so many frames away, and gives these or the first `seen`."""
        first = self._waiting[: seen or frames]
        self._waiting = self._waiting[frames:]
        return first
