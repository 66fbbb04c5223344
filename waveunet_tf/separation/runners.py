"""Runners drive a network through a song of any length, in constant memory."""

from __future__ import annotations

import numpy as np

from waveunet_tf.audio.blocks import Queue
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import layer_names, shapes
from waveunet_tf.separation.engine import Engine


class Runner:
    """Takes a song in blocks, at the network's rate, and gives its sources.

    Subclasses set `needed_frames`, how many frames of the queue `_run` looks at, and
    `hop_frames`, how many `_run` takes off the queue and gives of each source.

    Attributes:
        latency_frames: The most frames by which the stems lag behind the mixture.
        context_frames: The most frames, before and after a frame, that its stems depend
            on.
        stride_frames: A stream that begins later, by a multiple of this, gives the same
            stems but for the context at its beginning.
    """

    hop_frames: int
    needed_frames: int
    latency_frames: int
    context_frames: int
    stride_frames: int

    def __init__(self, config: NetworkConfig, before_frames: int, lag_frames: int):
        """Starts a stream.

        Args:
            config: The network's config.
            before_frames: Frames of silence before the song.
            lag_frames: Frames that the network gives before the song's first.
        """
        self._sources, self._channels = config.sources, config.channels
        self._queue = Queue(config.channels)
        self._queue.put(np.zeros((before_frames, config.channels), np.float32))
        self._taken, self._given = 0, -lag_frames

    def push(self, mixture: np.ndarray) -> dict[str, np.ndarray]:
        """Takes the next frames of the mixture.

        Args:
            mixture: Floats `(frames, channels)`, of any length.

        Returns:
            Source → the next frames that are ready, float32 `(frames, channels)`, as
            many of each source.

        Raises:
            InputError: The engine gives NaN or infinity.
        """
        self._taken += len(mixture)
        self._queue.put(mixture)
        blocks = {
            name: [np.zeros((0, self._channels), np.float32)] for name in self._sources
        }
        while len(self._queue) >= self.needed_frames:
            late = max(-self._given, 0)  # still before the song's first frame
            for name, stem in self._run().items():
                if not np.isfinite(stem).all():
                    raise InputError(
                        "the network must give finite samples, but its file or engine "
                        f"is broken. Received: NaN or infinity in {name}"
                    )
                blocks[name].append(stem[late:])
            self._given += self.hop_frames
        return {name: np.concatenate(parts) for name, parts in blocks.items()}

    def finish(self) -> dict[str, np.ndarray]:
        """Ends the song, with silence after it.

        Returns:
            Source → the rest of its frames, float32 `(frames, channels)`.
        """
        rest = self._taken - max(self._given, 0)
        hops = -(-(self._taken - self._given) // self.hop_frames)
        wanted = (hops - 1) * self.hop_frames + self.needed_frames if hops else 0
        silence = max(wanted - len(self._queue), 0)
        stems = self.push(np.zeros((silence, self._channels), np.float32))
        return {name: stem[:rest] for name, stem in stems.items()}

    def run(self, mixture: np.ndarray) -> dict[str, np.ndarray]:
        """Separates a whole song at once.

        Args:
            mixture: Floats `(frames, channels)`.

        Returns:
            Source → float32 `(frames, channels)`, as long as the mixture.
        """
        blocks = [self.push(mixture), self.finish()]
        return {
            name: np.concatenate([block[name] for block in blocks])
            for name in self._sources
        }

    def _run(self) -> dict[str, np.ndarray]:
        """Computes the next `hop_frames` of each source, `(frames, channels)`."""
        raise NotImplementedError


class ChunkRunner(Runner):
    """Drives the streaming network, in chunks of a fixed length.

    A delay line longer than a chunk waits here, where no step has to move all of it.
    """

    def __init__(self, config: NetworkConfig, engine: Engine):
        """Starts a stream.

        Args:
            config: The network's config.
            engine: An engine that was made for the stream's step.
        """
        plan = shapes.stream_plan(config)
        super().__init__(config, 0, plan.latency_frames)
        self.hop_frames = shapes.chunk_frames(config, engine.chunk_frames)
        self.needed_frames = self.hop_frames
        self.latency_frames = plan.latency_frames + self.hop_frames
        self.stride_frames = 2**config.num_levels
        # A frame depends on what the part between the multiples around it depends on.
        self.context_frames = plan.context_frames + self.stride_frames - 1
        self._engine, self._state, self._lines = engine, {}, {}
        for array, frames in shapes.stream_state_frames(config).items():
            name = layer_names.state(array)
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
        outputs = self._engine(mixture=mixture, **due, **self._state)
        for name, line in self._lines.items():
            line.put(np.asarray(outputs[name])[0])
        self._state = {name: outputs[name] for name in self._state}
        return {name: np.asarray(outputs[name])[0] for name in self._sources}


class WindowRunner(Runner):
    """Drives a network through windows that follow, or fade into, each other."""

    def __init__(
        self, config: NetworkConfig, engine: Engine, windows: shapes.SongWindows
    ):
        """Starts a stream.

        Args:
            config: The network's config.
            engine: An engine that was made for these windows.
            windows: How windows cover a song.
        """
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


def start(
    config: NetworkConfig, engine: Engine, windows: shapes.SongWindows | None
) -> Runner:
    """Starts the runner that an engine was made for.

    Args:
        config: The network's config.
        engine: The engine.
        windows: The windows that the engine was made for; None: the stream's step.
    """
    if windows:
        return WindowRunner(config, engine, windows)
    return ChunkRunner(config, engine)


def cross_fade(hop_frames: int, overlap_frames: int) -> np.ndarray:
    """Makes gains that add up to 1 where neighbouring windows overlap.

    Args:
        hop_frames: From one window's start to the next.
        overlap_frames: How long a window fades into the next one.

    Returns:
        float32 `(hop_frames + overlap_frames, 1)`.
    """
    rise = (np.arange(overlap_frames, dtype=np.float32) + 0.5) / max(overlap_frames, 1)
    whole = np.ones(hop_frames - overlap_frames, np.float32)
    return np.concatenate([rise, whole, rise[::-1]])[:, None]
