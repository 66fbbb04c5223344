import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import waveunet_tf
from tests.original import LONGER_INPUTS
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.export import song_graph
from waveunet_tf.export.serving.client import RemoteSeparator
from waveunet_tf.export.serving.contract import DESCRIPTION_VERSION
from waveunet_tf.networks.build import build_network

SPECTROGRAM = SpectrogramUNetConfig(
    num_levels=2, base_filters=2, fft_frames=16, hop_frames=8, output_frames=40
)


def build(config, folder):
    """A graph of a network with random weights, and a separator of its checkpoint."""
    keras.utils.set_random_seed(4)
    network = build_network(config)
    for weight in network.weights:  # silence is not zero inside
        if weight.name == "bias":
            weight.assign(keras.random.normal(weight.shape, stddev=0.2))
    checkpoint.save_checkpoint(folder, network, config)
    graph = song_graph.build(config, network)
    separator = waveunet_tf.load(folder, engine="tensorflow")
    return graph, separator


class Transport:
    """Leads to a graph in this process."""

    def __init__(self, config, graph, separate):
        self._description = {
            "format_version": DESCRIPTION_VERSION,
            "network": config.to_json(),
            "sample_rate_hz": config.sample_rate_hz,
            "channels": config.channels,
            "sources": config.sources,
            "chunk_frames": None,
            "context_frames": graph.context_frames,
            "stride_frames": graph.stride_frames,
        }
        self.separate = lambda audio: {
            source: stem.numpy() for source, stem in separate(audio).items()
        }

    def describe(self):
        return json.dumps(self._description)


def slow(change):
    """A case that make test-slow runs."""
    return pytest.param(change, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "change",
    [
        {},
        slow({"upsampling": "learned", "sources": ("bass", "drums", "vocals")}),
        slow({"output_type": "direct", "output_activation": "linear", "channels": 1}),
        slow({"output_kernel_size": 3, "upsampling": "transposed"}),
        slow({"context": False, "channels": 1}),
        slow(
            dataclasses.replace(SPECTROGRAM, phase_iterations=2, phase_start="random")
        ),
        slow(LONGER_INPUTS["4 levels, eoeo"].config()),
        slow(
            dataclasses.replace(
                LONGER_INPUTS["5 levels, eeooe"].config(), upsampling="transposed"
            )
        ),
    ],
    ids=str,
)
def test_a_graph_equals_a_separator_at_odd_lengths(tiny_config, tmp_path, change):
    config = change
    if isinstance(change, dict):
        config = dataclasses.replace(tiny_config, **change)
    graph, separator = build(config, tmp_path)
    # As a SavedModel has it: traced once, for audio of any shape.
    audio_of_any_shape = tf.TensorSpec((None, None, None), tf.float32)
    separate = tf.function(graph.separate, input_signature=[audio_of_any_shape])
    generator = np.random.default_rng(0)
    for frames, channels in [(1, 2), (257, 1), (40_001, 2)]:
        if config.architecture != "wave_u_net":
            frames = min(frames, 1001)  # its windows are 40 frames here
        audio = generator.normal(0, 0.8, (2, frames, channels)).astype(np.float32)
        stems = separate(tf.constant(audio))
        for item in range(2):
            expected = separator.separate(audio[item], config.sample_rate_hz)
            assert sorted(stems) == sorted(expected)
            for source, stem in expected.items():
                np.testing.assert_allclose(stems[source][item], stem, atol=1e-5)
    # In parts, with as much around them as the graph says that it takes.
    client = RemoteSeparator(Transport(config, graph, separate), request_seconds=0.05)
    song = audio[0, :2001]
    parts = client.separate(song, config.sample_rate_hz)
    for source, stem in separator.separate(song, config.sample_rate_hz).items():
        np.testing.assert_allclose(parts[source], stem, atol=1e-5)
