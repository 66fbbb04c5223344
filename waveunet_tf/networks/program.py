"""Builds a network's step as a pure function of named arrays.

Engines run it, and export converts it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.networks import layer_names, shapes


class Program(NamedTuple):
    """A network's step, and the arrays that it takes.

    Attributes:
        function: Takes arrays by keyword and returns arrays by name. It takes the
            `mixture` and the state; it returns every source and the next state.
        input_shapes: The shape of each array that `function` takes: the mixture
            `(1, frames, channels)`, and the state's `(1, frames, features)`.
        silence: The value of each array of the state in silence, `(1, 1, features)`.
    """

    function: Callable[..., dict]
    input_shapes: dict[str, tuple[int, ...]]
    silence: dict[str, np.ndarray]


def build_program(
    config: NetworkConfig,
    network,
    chunk_frames: int,
    *,
    whole_delays: bool = False,
    layers: Callable | None = None,
) -> Program:
    """Builds the step of a network's stream or, if it cannot stream, of a window.

    The names of the state's arrays begin with `state_` (layer_names.state), which keeps
    them apart from the sources.

    Args:
        config: The network's config.
        network: The Keras network, from build.build_network.
        chunk_frames: The largest number of frames in a chunk, or in a window's hop.
        whole_delays: Whether the state holds all frames of its delays, instead of only
            those that a step uses (streaming.StreamingNetwork.step).
        layers: The class that computes the stream's layers; by default
            fused.FusedLayers.

    Returns:
        The program. That of a window has no state.
    """
    if config.can_stream:
        return _stream_program(config, network, chunk_frames, whole_delays, layers)
    window, _, _ = shapes.song_windows(config, chunk_frames)
    shape = (1, window.input_frames, config.channels)
    return Program(lambda mixture: network(mixture), {layer_names.MIXTURE: shape}, {})


def _stream_program(
    config: NetworkConfig,
    network,
    chunk_frames: int,
    whole_delays: bool,
    layers: Callable | None,
) -> Program:
    from waveunet_tf.networks import fused, streaming  # they import Keras

    streaming_network = streaming.StreamingNetwork(
        config, network, layers or fused.FusedLayers
    )

    def step(mixture, **state):
        state = {layer_names.array_of_state(name): state[name] for name in state}
        sources, after = streaming_network.step(mixture, state)
        return {**sources, **{layer_names.state(name): after[name] for name in after}}

    silence = streaming_network.silence()
    shape = (1, shapes.chunk_frames(config, chunk_frames), config.channels)
    input_shapes = {layer_names.MIXTURE: shape}
    frames = shapes.stream_state_frames(config, None if whole_delays else shape[1])
    for name, count in frames.items():
        input_shapes[layer_names.state(name)] = (1, count, silence[name].shape[-1])
    silence = {layer_names.state(name): silence[name] for name in frames}
    return Program(step, input_shapes, silence)
