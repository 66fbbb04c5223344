"""The exact streaming network: a song in chunks, each frame computed once.

A network with context is a filter bank whose output frames each depend on a finite part
of the mixture. So it can run over a song chunk by chunk and carry, from chunk to chunk,
the last inputs of every convolution and a delay line for every skip. The result is that
of one pass over the whole song with silence before and after it.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.networks import layer_names, shapes
from waveunet_tf.networks.fused import FusedLayers


class StreamingNetwork:
    """Runs a network's own weights over a stream; a pure function of chunk and state.

    The state is a dict of arrays `(batch, frames, features)`, by the names that
    layer_names has for them: the last inputs of a convolution or an interpolation, a
    skip that waits, and the mixture that waits.

    Attributes:
        config: The network's config.
        plan: The stream's phases and delays; sources lag by its `latency_frames`.
        chunk_multiple: 2^levels; the frames of every chunk must be a multiple of it.
    """

    def __init__(
        self, config: WaveUNetConfig, network: keras.Model, layers=FusedLayers
    ):
        """Takes a network's layers.

        Args:
            config: The network's config.
            network: The Keras network.
            layers: The class that computes the layers, FusedLayers or a subclass.

        Raises:
            InputError: The network cannot stream.
        """
        self.config = config
        self.plan = shapes.stream_plan(config)
        self.chunk_multiple = 2**config.num_levels
        self._layers = layers(config, network)

    def silence(self) -> dict[str, np.ndarray]:
        """Computes the value of each array of the state in silence.

        Silence is not zero inside, because every convolution has a bias. But it is the
        same at all times, so one frame of it through the layers gives every value.

        Returns:
            Name → float32 `(1, 1, features)`.
        """
        config, values = self.config, {}
        silence = value = ops.zeros((1, 1, config.channels))
        for level in range(config.num_levels):
            values[layer_names.down(level)] = value
            value = self._convolve_constant(layer_names.down(level), value)
            values[layer_names.delay(level)] = value
        values[layer_names.BOTTLENECK] = value
        value = self._convolve_constant(layer_names.BOTTLENECK, value)
        for level in reversed(range(config.num_levels)):
            values[layer_names.upsample(level)] = value
            values[layer_names.up(level)] = skip = values[layer_names.delay(level)]
            both = ops.concatenate([skip, value], axis=-1)
            value = self._convolve_constant(layer_names.up(level), both)
        values[layer_names.DELAY_MIXTURE] = silence
        values[layer_names.DELAY_DIFFERENCE] = silence
        values[layer_names.OUTPUT_STATE] = ops.concatenate([silence, value], axis=-1)
        return {
            name: np.asarray(ops.convert_to_numpy(value), np.float32)
            for name, value in values.items()
        }

    def _convolve_constant(self, name: str, value):
        """Computes one frame of a convolution over a constant, both `(1, 1, …)`."""
        layer = self._layers.layer(name)
        shape = (1, *layer.kernel_size, value.shape[-1])
        return layer(ops.broadcast_to(value, shape))

    def silent_state(self, batch_size: int = 1) -> dict[str, np.ndarray]:
        """Returns the state after endless silence, in which a song begins.

        Args:
            batch_size: The number of songs.

        Returns:
            Name → float32 `(batch, frames, features)`.
        """
        silence = self.silence()
        return {
            name: np.tile(silence[name], (batch_size, frames, 1))
            for name, frames in shapes.stream_state_frames(self.config).items()
        }

    def step(self, chunk, state: dict, *, clip: bool = True) -> tuple[dict, dict]:
        """Runs one chunk.

        Arrays may have an axis of 1 before their frames, as phones' 2-D convolutions
        have; then all have.

        Args:
            chunk: The mixture's next frames, `(batch, frames, channels)`, a multiple of
                `chunk_multiple`.
            state: The state before the chunk. A caller that keeps a delay's frames
                elsewhere passes only the oldest of them: as many as the chunk has at
                the delay's level. The new state then holds the chunk's own.
            clip: Whether the last source of a difference output is clipped to [-1, 1].

        Returns:
            Source → `(batch, frames, channels)`, `plan.latency_frames` behind the
            chunk; and the state after the chunk.
        """
        config, memory = self.config, _Memory(state)
        features, skips = chunk, []
        for level in range(config.num_levels):
            features = self._convolve(layer_names.down(level), memory, features)
            skips.append(features)
            features = features[..., self.plan.phases[level] :: 2, :]
        features = self._convolve(layer_names.BOTTLENECK, memory, features)
        for level in reversed(range(config.num_levels)):
            skip = memory.delay(layer_names.delay(level), skips[level])
            features = self._layers.merge(
                level,
                memory.extend(layer_names.up(level), skip),
                memory.extend(layer_names.upsample(level), features),
            )
        beside = memory.delay(layer_names.DELAY_MIXTURE, chunk)
        features = self._layers.beside(beside, features)
        mixture = memory.delay(layer_names.DELAY_DIFFERENCE, beside)
        features = memory.extend(layer_names.OUTPUT_STATE, features)
        return self._sources(mixture, features, clip), memory.after

    def _convolve(self, name: str, memory: _Memory, inputs):
        """Computes a convolution of the last inputs of the chunk before, and these."""
        return self._layers.convolve(name, memory.extend(name, inputs))

    def _sources(self, mixture, features, clip: bool) -> dict:
        """Computes the output layers and, of the mixture, the difference."""
        config = self.config
        sources = self._layers.outputs(features)
        if config.output_activation == "linear":
            for source in sources:
                clipping = self._layers.layer(layer_names.clip(source))
                sources[source] = clipping(sources[source], training=False)
        if config.has_difference_output:
            rest = mixture - sum(sources.values())
            sources[config.sources[-1]] = ops.clip(rest, -1.0, 1.0) if clip else rest
        return sources


class _Memory:
    """What a step remembers: the state before the chunk, and the state after it.

    A name that is not in the state stands for no frames: a kernel of one tap, or no
    delay. All arrays are `(..., frames, features)`.

    Attributes:
        after: The state after the chunk, by name, as far as it is known yet.
    """

    def __init__(self, before: dict):
        self._before = before
        self.after = {}

    def extend(self, name: str, inputs):
        """Puts the remembered frames before the inputs, and remembers the last ones."""
        if name not in self._before:
            return inputs
        joined = ops.concatenate([self._before[name], inputs], axis=-2)
        self.after[name] = joined[..., ops.shape(inputs)[-2] :, :]
        return joined

    def delay(self, name: str, inputs):
        """Returns as many frames as the inputs have, the oldest; the rest waits."""
        if name not in self._before:
            return inputs
        line, frames = self._before[name], inputs.shape[-2]
        waiting = line.shape[-2]
        if waiting > frames:
            line, due = line[..., frames:, :], line[..., :frames, :]
            self.after[name] = ops.concatenate([line, inputs], axis=-2)
            return due
        self.after[name] = inputs[..., frames - waiting :, :]
        if waiting == frames:
            return line
        early = inputs[..., : frames - waiting, :]
        return ops.concatenate([line, early], axis=-2)
