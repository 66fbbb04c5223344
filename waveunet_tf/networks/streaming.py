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
from waveunet_tf.networks import shapes
from waveunet_tf.networks.fused import FusedLayers


class StreamingNetwork:
    """Runs a network's own weights over a stream; a pure function of chunk and state.

    The state is a dict of arrays `(batch, frames, features)`: `<layer>` holds the last
    inputs of a convolution or of an interpolation, `delay_<level>` a skip that waits,
    `delay_mixture` and `delay_difference` the mixture.

    Attributes:
        config: the network's config.
        plan: phases and delays; its `latency_frames` tells how far the sources lag.
        chunk_multiple: chunks must have a multiple of so many frames, 2^levels.
    """

    def __init__(
        self, config: WaveUNetConfig, network: keras.Model, layers=FusedLayers
    ):
        """Takes a network's layers.

        Args:
            config: the network's config.
            network: what `build.build_network` gave.
            layers: the class that computes them, FusedLayers or of it.

        Raises:
            InputError: see shapes.stream_plan.
        """
        self.config = config
        self.plan = shapes.stream_plan(config)
        self.chunk_multiple = 2**config.num_levels
        self._layers = layers(config, network)

    def silence(self) -> dict[str, np.ndarray]:
        """What each array of the state holds in silence, `(1, 1, features)`.

        Silence is not zero inside: every convolution has a bias. But it is the same at
        all times, so one frame of it through the layers gives each state's value.
        """
        config = self.config
        values = {}

        def convolve(name: str, value):
            """One frame `(1, 1, features)` of a constant through a convolution."""
            values[name] = value
            layer = self._layers.layer(name)
            return layer(ops.repeat(value, layer.kernel_size[0], axis=1))

        silence = ops.zeros((1, 1, config.channels))
        value = silence
        for level in range(config.num_levels):
            value = convolve(f"down_{level}", value)
            values[f"delay_{level}"] = value
        value = convolve("bottleneck", value)
        for level in reversed(range(config.num_levels)):
            values[f"upsample_{level}"] = value
            skip = values[f"up_{level}"] = values[f"delay_{level}"]
            layer = self._layers.layer(f"up_{level}")
            both = ops.concatenate([skip, value], axis=-1)
            value = layer(ops.repeat(both, layer.kernel_size[0], axis=1))
        values["delay_mixture"] = values["delay_difference"] = silence
        values["output"] = ops.concatenate([silence, value], axis=-1)
        return {
            name: np.asarray(ops.convert_to_numpy(value), np.float32)
            for name, value in values.items()
        }

    def silent_state(self, batch_size: int = 1) -> dict[str, np.ndarray]:
        """The state after endless silence, in which a song begins."""
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
            chunk: the mixture's next frames, `(batch, frames, channels)`, a multiple of
                `chunk_multiple` of them.
            state: the state before it. Whoever keeps a delay's frames elsewhere may
                give just those that are due, the oldest, as many as the chunk has at
                the delay's level. Then those that the chunk has made come back.
            clip: whether the last source of a difference output is clipped to [-1, 1].

        Returns:
            Source → `(batch, frames, channels)`, `plan.latency_frames` behind the
            chunk; and the state after it.
        """
        config, plan = self.config, self.plan
        after = {}

        def last_and(name: str, inputs):
            """Puts the remembered frames before the inputs, and remembers as many."""
            if name not in state:  # a kernel of one tap, or no delay
                return inputs
            joined = ops.concatenate([state[name], inputs], axis=-2)
            after[name] = joined[..., ops.shape(inputs)[-2] :, :]
            return joined

        def delayed(name: str, inputs):
            """As many frames as the inputs, of the remembered and these."""
            if name not in state:
                return inputs
            line, frames = state[name], inputs.shape[-2]
            waiting = line.shape[-2]
            if waiting > frames:
                after[name] = ops.concatenate([line[..., frames:, :], inputs], axis=-2)
                return line[..., :frames, :]
            after[name] = inputs[..., frames - waiting :, :]
            early = inputs[..., : frames - waiting, :]
            return ops.concatenate([line, early], axis=-2) if waiting < frames else line

        features, skips = chunk, []
        for level in range(config.num_levels):
            name = f"down_{level}"
            features = self._layers.convolve(name, last_and(name, features))
            skips.append(features)
            features = features[..., plan.phases[level] :: 2, :]
        features = self._layers.convolve("bottleneck", last_and("bottleneck", features))
        for level in reversed(range(config.num_levels)):
            skip = delayed(f"delay_{level}", skips[level])
            features = self._layers.merge(
                level,
                last_and(f"up_{level}", skip),
                last_and(f"upsample_{level}", features),
            )
        beside = delayed("delay_mixture", chunk)
        features = self._layers.beside(beside, features)
        mixture = delayed("delay_difference", beside)
        return self._sources(mixture, last_and("output", features), clip), after

    def _sources(self, mixture, features, clip: bool) -> dict:
        """The output layers; the mixture is for the difference."""
        config = self.config
        sources = self._layers.outputs(features)
        if config.output_activation == "linear":
            for source in sources:
                clipping = self._layers.layer(f"clip_{source}")
                sources[source] = clipping(sources[source], training=False)
        if config.output_type == "difference":
            rest = mixture - sum(sources.values())
            sources[config.sources[-1]] = ops.clip(rest, -1.0, 1.0) if clip else rest
        return sources
