"""A network's step as a pure function of named arrays, for engines and exports."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.networks import layer_names, shapes


class Program(NamedTuple):
    """A network's step as a function of arrays by name.

    Attributes:
        function: takes and gives arrays by name, as an engine does.
        input_shapes: of each array that it takes.
        silence: what each array of the state holds in silence, `(1, 1, features)`.
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
    """The stream's step of a network or, if it cannot stream, one window of it.

    The arrays of a stream's state have `state_` before their names, lest a source be
    called the same.

    Args:
        config: the network's config.
        network: what `build.build_network` gave.
        chunk_frames: the most frames of a chunk, or of a window's hop.
        whole_delays: whether the state holds all frames of its delays, or only those
            that are due; see streaming.StreamingNetwork.step.
        layers: what computes the stream's layers, if not fused.FusedLayers.
    """
    if not config.can_stream:
        window, _, _ = shapes.song_windows(config, chunk_frames)
        shape = (1, window.input_frames, config.channels)
        return Program(
            lambda mixture: network(mixture), {layer_names.MIXTURE: shape}, {}
        )
    from waveunet_tf.networks import fused, streaming

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
