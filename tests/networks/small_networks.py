"""Small networks with context of many shapes, and what one pass of them gives."""

import functools

import keras
import numpy as np

from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network

BASE = WaveUNetConfig(num_levels=3, base_filters=4, output_frames=8)
# Changes of BASE: kernels of all kinds, outputs of all kinds, both interpolations.
MATRIX = [
    {},
    {"num_levels": 1},
    {"num_levels": 2, "down_kernel_size": 5, "up_kernel_size": 1},
    {"num_levels": 5, "down_kernel_size": 5, "up_kernel_size": 3},
    {"num_levels": 4, "down_kernel_size": 7, "up_kernel_size": 7},
    {"down_kernel_size": 3, "up_kernel_size": 9},
    {"down_kernel_size": 1, "up_kernel_size": 1},
    {"output_kernel_size": 5},
    {"output_kernel_size": 3, "output_type": "direct", "output_activation": "linear"},
    {"upsampling": "learned", "sources": ("bass", "drums", "other", "vocals")},
    {"channels": 1, "output_activation": "linear", "upsampling": "learned"},
]


def random_network(config):
    """Builds a network whose biases matter, so that silence is not zero inside."""
    keras.utils.set_random_seed(3)
    network = build_network(config)
    generator = np.random.default_rng(3)
    for weight in network.weights:
        if weight.name == "bias":
            weight.assign(generator.normal(0, 0.3, weight.shape))
    return network


@functools.cache
def kept_network(config):
    """Gives the same `random_network` of a config to all tests, which only read it."""
    return random_network(config)


def one_pass(config, network, song):
    """Runs the network over a whole song with silence around it.

    Args:
        config: The network's config.
        network: The network.
        song: `(frames, channels)`.

    Returns:
        Source → `(frames, channels)`.
    """
    stride = 2**config.num_levels
    window = shapes.window_frames(config, -(-len(song) // stride) * stride)
    before = window.context_frames
    after = window.input_frames - before - len(song)
    estimates = network(np.pad(song, ((before, after), (0, 0)))[None])
    return {name: np.asarray(stem)[0, : len(song)] for name, stem in estimates.items()}


def stream(streaming_network, song, chunk_frames):
    """Runs the stream over a song, and over silence until all of it is out.

    Args:
        streaming_network: A StreamingNetwork.
        song: `(frames, channels)`.
        chunk_frames: The chunks' frames, in turn.

    Returns:
        Source → `(frames, channels)`.
    """
    latency = streaming_network.plan.latency_frames
    state = streaming_network.silent_state()
    blocks, position, turn = [], 0, 0
    while position < len(song) + latency:
        frames = chunk_frames[turn % len(chunk_frames)]
        chunk = song[position : position + frames]
        chunk = np.pad(chunk, ((0, frames - len(chunk)), (0, 0)))
        sources, state = streaming_network.step(chunk[None].astype("f"), state)
        blocks.append({name: np.asarray(stem)[0] for name, stem in sources.items()})
        position, turn = position + frames, turn + 1
    whole = slice(latency, latency + len(song))
    return {
        name: np.concatenate([block[name] for block in blocks])[whole]
        for name in blocks[0]
    }
