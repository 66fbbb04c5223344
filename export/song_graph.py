"""Separates a whole mixture inside one TensorFlow graph, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from waveunet_tf.configs.networks import NetworkConfig, WaveUNetConfig
from waveunet_tf.networks import shapes, streaming
from waveunet_tf.separation import runners

# With more frames, memory grows, and the work for a short request; a long request
# gains little.
_HOP_FRAMES = 32768


def build(config: NetworkConfig, network: keras.Model) -> SongGraph:
    """Builds the graph of a network: in chunks, or in windows if it cannot stream."""
    if config.can_stream:
        return ChunkGraph(config, network)
    return WindowGraph(config, network)


class SongGraph:
    """A network over audio of any length, in the memory of one step.

    Attributes:
        lag_frames: Frames by which the sources of a step lag behind its audio.
        hop_frames: The frames of each source that a step of the loop computes.
        stride_frames: Audio that begins a multiple of this many frames later has the
            same sources, except near its begin.
        context_frames: The most frames on each side of a part of the audio on which its
            sources depend. The part begins and ends at multiples of `stride_frames`.
    """

    def __init__(self, config: NetworkConfig, lag_frames: int):
        """Takes the network's config.

        Args:
            config: The network's config.
            lag_frames: The frames that the loop computes before the audio's first one.
        """
        self._config, self.lag_frames = config, lag_frames
        self._difference = config.has_difference_output

    def separate(self, audio: tf.Tensor) -> dict[str, tf.Tensor]:
        """Separates audio as a Separator does, at the network's rate.

        Args:
            audio: `(batch, frames, channels)`, of 1 or 2 channels.

        Returns:
            Source → `(batch, frames, channels)`, with the channels of the audio, or 1
            of a mono network. With a difference output the last source is the audio
            less the other sources, and is not clipped.
        """
        names = self._config.estimated_sources
        stereo = self._config.channels == 2
        stems = self._loop(audio, names)
        if stereo:
            stems = tf.cond(
                tf.equal(tf.shape(audio)[2], 1),
                lambda: {name: _to_channels(stem, 1) for name, stem in stems.items()},
                lambda: stems,
            )
        if self._difference:
            song = audio if stereo else _to_channels(audio, 1)
            others = [stems[name] for name in names]
            stems[self._config.sources[-1]] = song - sum(others)
        for stem in stems.values():
            stem.set_shape((None, None, None if stereo else 1))
        return stems

    def _loop(self, audio: tf.Tensor, names: tuple[str, ...]) -> dict[str, tf.Tensor]:
        """Computes sources by name, `(batch, frames, the network's channels)`."""
        batch, frames = tf.shape(audio)[0], tf.shape(audio)[1]
        hops = -(-(frames + self.lag_frames) // self.hop_frames)
        hop_shape = (None, self.hop_frames, self._config.channels)

        def step(number, state, hop_arrays):
            sources, state = self._step(audio, number * self.hop_frames, state)
            written = {
                name: hop_arrays[name].write(number, sources[name]) for name in names
            }
            return number + 1, state, written

        empty = {
            name: tf.TensorArray(tf.float32, hops, element_shape=hop_shape)
            for name in names
        }
        _, _, filled = tf.while_loop(
            lambda number, *_: number < hops,
            step,
            (0, self._initial_state(batch), empty),
            parallel_iterations=1,  # steps ahead would hold their inputs
        )
        stems = {}
        for name in names:
            steps = filled[name].stack()
            steps = tf.transpose(steps, (1, 0, 2, 3))  # (b, hops, hop, c)
            stem = tf.reshape(steps, (batch, -1, self._config.channels))
            stems[name] = stem[:, self.lag_frames : self.lag_frames + frames]
        return stems

    def _initial_state(self, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the state before the first step."""
        raise NotImplementedError

    def _step(self, audio: tf.Tensor, start: tf.Tensor, state: dict):
        """Returns the sources' next hop, which the audio from `start` on completes."""
        raise NotImplementedError

    def _part(self, audio: tf.Tensor, start: tf.Tensor, frames: int) -> tf.Tensor:
        """Cuts a part out of the audio, with silence before and after the audio.

        Returns:
            `(batch, frames, network's channels)`.
        """
        from_frame = tf.maximum(start, 0)
        part = audio[:, from_frame : tf.maximum(start + frames, from_frame)]
        before = from_frame - start
        after = frames - before - tf.shape(part)[1]
        part = tf.pad(part, [[0, 0], [before, after], [0, 0]])
        part = tf.ensure_shape(part, (None, frames, None))
        return _to_channels(part, self._config.channels)


class ChunkGraph(SongGraph):
    """A streaming network over chunks, with all of its state.

    Attributes:
        state_frames: State → its frames.
        silence: State → one frame of it in silence, `(1, 1, features)`.
    """

    def __init__(self, config: WaveUNetConfig, network: keras.Model):
        plan = shapes.stream_plan(config)
        super().__init__(config, plan.latency_frames)
        self.hop_frames = shapes.chunk_frames(config, _HOP_FRAMES)
        self.context_frames = plan.context_frames
        self.stride_frames = 2**config.num_levels
        self.state_frames = shapes.stream_state_frames(config)
        self._stream = streaming.StreamingNetwork(config, network)
        silence = self._stream.silence()
        self.silence = {name: silence[name] for name in self.state_frames}

    def silent_state(self, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the state in silence, `(batch, frames, features)` by name."""
        state = {}
        for name, value in self.silence.items():
            shape = (batch, self.state_frames[name], value.shape[-1])
            state[name] = tf.ensure_shape(
                tf.broadcast_to(tf.constant(value), shape), (None, *shape[1:])
            )
        return state

    _initial_state = silent_state

    def step(self, chunk: tf.Tensor, state: dict) -> tuple[dict, dict]:
        """Computes a chunk; the last source of a difference output is not clipped.

        Args:
            chunk: `(batch, frames, channels)`.
            state: Arrays `(batch, frames, features)` by name.

        Returns:
            Source → `(batch, frames, channels)`, and the state for the next chunk.
        """
        return self._stream.step(chunk, state, clip=False)

    def _step(self, audio, start, state):
        return self.step(self._part(audio, start, self.hop_frames), state)


class WindowGraph(SongGraph):
    """A network that cannot stream over windows, as runners.WindowRunner."""

    def __init__(self, config: NetworkConfig, network: keras.Model):
        self._window, self.hop_frames, self._overlap = shapes.song_windows(
            config, _HOP_FRAMES
        )
        super().__init__(config, self._overlap)
        self.context_frames = self._window.input_frames + self._overlap
        self.stride_frames = self.hop_frames
        self._gains = runners.cross_fade(self.hop_frames, self._overlap)
        self._network = _of_each_item(config, network)

    def _initial_state(self, batch):
        shape = (batch, self._overlap, self._config.channels)
        return dict.fromkeys(self._config.sources, tf.zeros(shape))

    def _step(self, audio, start, state):
        before = self._overlap + self._window.context_frames
        window = self._part(audio, start - before, self._window.input_frames)
        sources, fading = {}, {}
        for name, estimate in self._network(window).items():
            stem = estimate[:, : len(self._gains)] * self._gains
            mixed = stem[:, : self._overlap] + state[name]
            sources[name] = tf.concat(
                [mixed, stem[:, self._overlap : self.hop_frames]], axis=1
            )
            fading[name] = stem[:, self.hop_frames :]
        return sources, fading


def _of_each_item(
    config: NetworkConfig, network: keras.Model
) -> Callable[[tf.Tensor], dict]:
    """Returns the network, item by item if it draws phases by the batch's shape."""
    if not config.has_random_phase:
        return network

    def each(windows: tf.Tensor) -> dict:
        shape = (config.output_frames, config.channels)
        return tf.map_fn(
            lambda window: {
                name: estimate[0] for name, estimate in network(window[None]).items()
            },
            windows,
            fn_output_signature={name: tf.TensorSpec(shape) for name in config.sources},
            parallel_iterations=1,
        )

    return each


def _to_channels(audio: tf.Tensor, channels: int) -> tf.Tensor:
    """Converts audio `(batch, frames, 1 or 2)` as blocks.to_channels does."""
    if channels == 1:
        return tf.reduce_mean(audio, axis=2, keepdims=True)
    shape = tf.concat([tf.shape(audio)[:2], [channels]], axis=0)
    audio = tf.broadcast_to(audio, shape)
    return tf.ensure_shape(audio, (None, None, channels))
