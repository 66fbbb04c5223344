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

from waveunet_tf import shapes
from waveunet_tf.configs import WaveUNetConfig


class StreamingNetwork:
    """Runs a network's own layers over a stream; a pure function of chunk and state.

    The state is a dict of arrays `(batch, frames, features)`: `<layer>` holds the last
    inputs of a convolution or of an interpolation, `delay_<level>` a skip that waits,
    `delay_mixture` the mixture.

    Attributes:
        config: the network's config.
        plan: phases and delays; its `latency_frames` tells how far the sources lag.
        chunk_multiple: chunks must have a multiple of so many frames, 2^levels.
    """

    def __init__(self, config: WaveUNetConfig, network: keras.Model):
        """Takes a network's layers.

        Args:
            config: the network's config.
            network: what `model.build_network` gave.

        Raises:
            InputError: see shapes.stream_plan.
        """
        self.config = config
        self.plan = shapes.stream_plan(config)
        self.chunk_multiple = 2**config.num_levels
        self._layer = network.get_layer

    def silent_state(self, batch_size: int = 1) -> dict[str, np.ndarray]:
        """The state after endless silence, in which a song begins.

        Silence is not zero inside: every convolution has a bias. But it is the same at
        all times, so one frame of it through the layers gives each state's value.
        """
        config, plan = self.config, self.plan
        state = {}

        def remember(name: str, frames: int, value) -> None:
            value = np.asarray(ops.convert_to_numpy(value), np.float32)
            state[name] = np.tile(value, (batch_size, frames, 1))

        def convolve(name: str, value):
            """One frame `(1, 1, features)` of a constant through a convolution."""
            layer = self._layer(name)
            taps = layer.kernel_size[0]
            remember(name, taps - 1, value)
            return layer(ops.repeat(value, taps, axis=1))

        silence = ops.zeros((1, 1, config.channels))
        value, skips = silence, []
        for level in range(config.num_levels):
            value = convolve(f"down_{level}", value)
            skips.append(value)
        value = convolve("bottleneck", value)
        for level in reversed(range(config.num_levels)):
            remember(f"upsample_{level}", 1, value)
            remember(f"delay_{level}", plan.skip_delays[level], skips[level])
            value = ops.concatenate([skips[level], value], axis=-1)
            value = convolve(f"up_{level}", value)
        remember("delay_mixture", plan.latency_frames, silence)
        features = ops.concatenate([silence, value], axis=-1)
        remember("output", config.output_kernel_size - 1, features)
        return state

    def step(self, chunk, state: dict) -> tuple[dict, dict]:
        """Runs one chunk.

        Args:
            chunk: the mixture's next frames, `(batch, frames, channels)`, a multiple of
                `chunk_multiple` of them.
            state: the state before it.

        Returns:
            Source → `(batch, frames, channels)`, `plan.latency_frames` behind the
            chunk; and the state after it.
        """
        config, plan = self.config, self.plan
        after = {}

        def last_and(name: str, inputs):
            """Puts the remembered frames before the inputs, and remembers as many."""
            joined = ops.concatenate([state[name], inputs], axis=1)
            after[name] = joined[:, ops.shape(inputs)[1] :]
            return joined

        features, skips = chunk, []
        for level in range(config.num_levels):
            name = f"down_{level}"
            features = self._layer(name)(last_and(name, features))
            skips.append(features)
            features = features[:, plan.phases[level] :: 2]
        features = self._layer("bottleneck")(last_and("bottleneck", features))
        for level in reversed(range(config.num_levels)):
            name = f"upsample_{level}"
            # 2n + 1 frames out of n + 1: the first was the last chunk's last.
            features = self._layer(name)(last_and(name, features))[:, 1:]
            skip = last_and(f"delay_{level}", skips[level])
            frames = ops.shape(features)[1]
            features = ops.concatenate([skip[:, :frames], features], axis=-1)
            features = self._layer(f"up_{level}")(last_and(f"up_{level}", features))
        mixture = last_and("delay_mixture", chunk)
        return self._sources(mixture, last_and, features), after

    def _sources(self, delayed, last_and, features) -> dict:
        """The output layers; `delayed` is the mixture, oldest frame first."""
        config, plan = self.config, self.plan
        frames = ops.shape(features)[1]
        beside = delayed[:, plan.latency_frames - plan.mixture_delay :][:, :frames]
        features = last_and("output", ops.concatenate([beside, features], axis=-1))
        difference = config.output_type == "difference"
        sources = {}
        for source in config.sources[:-1] if difference else config.sources:
            estimate = self._layer(f"output_{source}")(features)
            if config.output_activation == "linear":
                estimate = self._layer(f"clip_{source}")(estimate, training=False)
            sources[source] = estimate
        if difference:
            last = config.sources[-1]
            sources[last] = self._layer(f"output_{last}")(
                [delayed[:, :frames], *sources.values()], training=False
            )
        return sources
