import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.networks.small_networks import BASE, MATRIX, kept_network
from tests.original import LONGER_INPUTS
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.networks import fused, shapes
from waveunet_tf.networks.build import build_network

# They share networks.
pytestmark = pytest.mark.xdist_group("small_networks")


def estimates_and_gradients(function, mixture, weights):
    """Computes the estimates, and gradients to which every frame adds its own part."""
    with tf.GradientTape() as tape:
        estimates = function(mixture)
        loss = sum(tf.reduce_sum(tf.sin(3 * stem)) for stem in estimates.values())
    return estimates, tape.gradient(loss, weights)


def check_equality(config, network, output_frames):
    """Compares the training pass and its gradients with those of the network."""
    window = shapes.window_frames(config, output_frames)
    mixture = np.random.default_rng(0).normal(
        0, 0.5, (2, window.input_frames, config.channels)
    )
    mixture = mixture.astype("f")
    weights = network.trainable_variables
    actual, gradients = estimates_and_gradients(
        fused.training_pass(config, network), mixture, weights
    )
    expected, true_gradients = estimates_and_gradients(
        lambda mixture: network(mixture, training=True), mixture, weights
    )
    assert list(actual) == list(expected)
    for name, stem in expected.items():
        np.testing.assert_allclose(actual[name], stem, atol=1e-5)
    for one, other in zip(gradients, true_gradients):
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max() + 1e-8)


@pytest.mark.parametrize("change", MATRIX, ids=str)
def test_the_training_pass_is_the_networks_with_its_gradients(change):
    config = dataclasses.replace(BASE, **change)
    check_equality(config, kept_network(config), 40)


@pytest.mark.parametrize("name", LONGER_INPUTS)
def test_the_training_pass_follows_the_crops_of_a_longer_input(name):
    config = LONGER_INPUTS[name].config()
    check_equality(config, kept_network(config), 40)


def test_the_training_pass_is_the_networks_where_gradients_are_cut():
    check_equality(BASE, kept_network(BASE), 3000)


def test_without_context_or_of_spectrograms_the_network_itself_trains():
    config = dataclasses.replace(BASE, context=False)
    check_equality(config, kept_network(config), 64)


def test_a_network_without_a_frame_before_the_output_trains_as_itself():
    # With one tap on the way down, a skip may begin where its centre does.
    config = WaveUNetConfig(
        num_levels=2, base_filters=3, down_kernel_size=1, up_kernel_size=3
    )
    check_equality(config, kept_network(config), 16)


def test_a_training_pass_in_bfloat16_is_near_that_in_float32():
    weights = kept_network(BASE).get_weights()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_network(BASE)
    finally:
        keras.config.set_dtype_policy(before)
    network.set_weights(weights)
    window = shapes.window_frames(BASE, 800)
    mixture = np.random.default_rng(2).normal(0, 0.5, (1, window.input_frames, 2))
    actual = fused.training_pass(BASE, network)(mixture.astype("f"))
    exact = fused.training_pass(BASE, kept_network(BASE))(mixture.astype("f"))
    for name, stem in exact.items():
        assert actual[name].dtype == tf.float32
        np.testing.assert_allclose(actual[name], stem, atol=0.05)


@pytest.mark.parametrize("axis", [False, True], ids=["flat", "with an axis of 1"])
@pytest.mark.parametrize("taps", [1, 3, 5, 9])
@pytest.mark.parametrize("upsampling", ["linear", "learned"])
def test_a_merge_is_upsampling_and_the_convolution_after_it(upsampling, taps, axis):
    config = dataclasses.replace(
        BASE, num_levels=1, upsampling=upsampling, up_kernel_size=taps
    )
    network = kept_network(config)
    draw = np.random.default_rng(4).normal
    features = draw(0, 1, (2, 11, 8)).astype("f")
    upsampled = np.asarray(network.get_layer("upsample_0")(features))  # 21 frames
    frames = 2 * (11 - (taps + 1) // 2)
    skip = draw(0, 1, (2, frames + taps - 1, 4)).astype("f")
    # The last frame of the result sees the last upsampled one.
    both = np.concatenate([skip, upsampled[:, -skip.shape[1] :]], axis=-1)
    expected = network.get_layer("up_0")(both)
    if axis:
        skip, features = skip[:, None], features[:, None]
    merged = fused.FusedLayers(config, network).merge(0, skip, features)
    np.testing.assert_allclose(np.reshape(merged, expected.shape), expected, atol=1e-5)


def test_fused_outputs_are_neither_clipped_nor_subtracted():
    config = dataclasses.replace(BASE, output_activation="linear")
    network = kept_network(config)
    features = 50 * np.random.default_rng(4).normal(0, 1, (1, 9, 6)).astype("f")
    outputs = fused.FusedLayers(config, network).outputs(features)
    assert list(outputs) == ["accompaniment"]
    kernel, bias = network.get_layer("output_accompaniment").get_weights()
    np.testing.assert_allclose(
        outputs["accompaniment"], features @ kernel[0] + bias, rtol=1e-4, atol=1e-3
    )
    assert np.abs(outputs["accompaniment"]).max() > 1
