import dataclasses

import keras
import numpy as np
import pytest

from tests.export.small_exports import music
from tests.networks.small_networks import BASE, random_network
from waveunet_tf.export import equalize
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network


@pytest.mark.parametrize(
    ("change", "exponent"),
    [
        ({}, 0),
        ({}, 1),
        ({"upsampling": "learned", "sources": ("bass", "drums", "vocals")}, 0.75),
        (
            {"output_type": "direct", "output_activation": "linear", "channels": 1},
            0.75,
        ),
        ({"context": False, "output_frames": 64}, 0.75),
        ({"context": False, "output_frames": 64, "upsampling": "transposed"}, 0.75),
        ({"upsampling": "transposed", "num_levels": 1}, 0.75),
    ],
    ids=str,
)
def test_a_network_with_equal_channels_is_the_same_function(change, exponent):
    config = dataclasses.replace(BASE, **change)
    network = random_network(config)
    song = music(shapes.window_frames(config).input_frames, config.channels)
    before = {name: np.array(v) for name, v in network(song[None]).items()}
    kernel = np.array(network.get_layer("bottleneck").kernel)
    equalize.equalize(config, network, [song], exponent)
    for name, stem in network(song[None]).items():
        np.testing.assert_allclose(stem, before[name], atol=1e-5)
    assert np.abs(network.get_layer("bottleneck").kernel / kernel - 1).max() > 0.01


def test_with_an_exponent_of_1_all_channels_have_a_peak_of_1():
    network = random_network(BASE)
    song = music(shapes.window_frames(BASE, 4000).input_frames)
    equalize.equalize(BASE, network, [song], 1)
    for name in ("down_0", "down_2", "bottleneck", "up_1", "up_0"):
        layer = keras.Model(network.input, network.get_layer(name).output)
        peaks = np.abs(layer(song[None])[0]).max(axis=0)
        assert 0.5 < peaks.min() and peaks.max() < 3, name


def test_with_an_exponent_of_0_all_weights_of_a_layer_are_alike():
    """Each channel's weight, relative to its filter's largest, becomes the same."""
    network = random_network(BASE)
    song = music(shapes.window_frames(BASE, 2000).input_frames)
    spread = []
    for exponent in (1, 0):
        equalize.equalize(BASE, network, [song], exponent)
        kernel = np.abs(network.get_layer("bottleneck").kernel)
        relative = (kernel / kernel.max((0, 1))).max((0, 2))
        spread.append(relative.max() / relative.min())
    assert spread[1] < spread[0]
    assert spread[1] < 1.5


def test_silence_and_dead_channels_are_no_matter():
    network = build_network(BASE)  # without biases all features are zero
    song = music(shapes.window_frames(BASE).input_frames)
    before = {name: np.array(v) for name, v in network(song[None]).items()}
    equalize.equalize(BASE, network, [0 * song], 0.75)
    for name, stem in network(song[None]).items():
        np.testing.assert_allclose(stem, before[name], atol=1e-5)
