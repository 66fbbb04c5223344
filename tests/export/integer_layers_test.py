import dataclasses
import functools

import numpy as np
import pytest

from tests.export.small_exports import music
from tests.networks.small_networks import BASE, MATRIX, one_pass, random_network, stream
from waveunet_tf.export import integer_layers
from waveunet_tf.networks import shapes, streaming


@pytest.mark.parametrize(
    ("layers", "change"),
    [(integer_layers.IntegerLayers, change) for change in MATRIX[2:6] + MATRIX[8:10]]
    + [
        (functools.partial(integer_layers.IntegerLayers, first_level=1), {}),
        (integer_layers.TwoPartLayers, MATRIX[8]),
    ],
    ids=str,
)
def test_layers_for_integers_are_the_network_in_floats(change, layers):
    config = dataclasses.replace(BASE, **change)
    network = random_network(config)
    song = np.random.default_rng(0).normal(0, 0.5, (101, config.channels))
    network_for_integers = streaming.StreamingNetwork(config, network, layers)
    stems = stream(
        network_for_integers, song, [4 * network_for_integers.chunk_multiple]
    )
    for name, stem in one_pass(config, network, song).items():
        np.testing.assert_allclose(stems[name], stem, atol=1e-5)


@pytest.mark.parametrize(
    "change",
    [{}, {"context": False, "output_kernel_size": 3, "output_activation": "linear"}],
    ids=str,
)
def test_two_part_outputs_are_the_network_in_floats(change):
    config = dataclasses.replace(BASE, **change)
    network = random_network(config)
    song = music(shapes.window_frames(config).input_frames)[None]
    copied = integer_layers.with_two_part_outputs(network)
    for name, stem in network(song).items():
        np.testing.assert_allclose(copied(song)[name], stem, atol=1e-5)


def test_a_copy_with_two_part_outputs_leaves_the_network_as_it_is():
    network = random_network(BASE)
    before = network.get_weights()
    copied = integer_layers.with_two_part_outputs(network)
    assert [weight.shape for weight in copied.weights] == [w.shape for w in before]
    copied.get_layer("bottleneck").kernel.assign_add(
        np.ones(copied.get_layer("bottleneck").kernel.shape)
    )
    for one, other in zip(before, network.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_the_first_part_of_a_kernel_is_what_int8_holds_and_the_second_the_rest():
    kernel = np.random.default_rng(0).normal(0, 1, (3, 4, 2)).astype(np.float32)
    kernel[..., 1] *= 1e-3  # each filter has a scale of its own
    coarse, fine = map(np.asarray, integer_layers._two_parts(kernel))
    np.testing.assert_allclose(coarse + fine, kernel, rtol=1e-6)
    step = np.abs(kernel).max((0, 1)) / 127
    np.testing.assert_allclose(coarse / step, np.round(coarse / step), atol=1e-3)
    assert (np.abs(fine) <= 0.5001 * step).all()


def test_a_filter_without_weights_stays_without():
    kernel = np.zeros((3, 4, 2), np.float32)
    kernel[..., 1] = 0.5
    for part in map(np.asarray, integer_layers._two_parts(kernel)):
        np.testing.assert_array_equal(part[..., 0], 0)
        assert np.isfinite(part).all()
