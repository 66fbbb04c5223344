import dataclasses
import json

import keras
import numpy as np
import pytest

from waveunet_tf import model, shapes, tf1
from waveunet_tf.configs import VARIANTS, WaveUNetConfig
from waveunet_tf.errors import InputError


@pytest.mark.parametrize("variant", ["M1", "M2", "M3", "M4", "M5", "M6"])
def test_network_equals_the_original_with_its_weights(variant, shared_data):
    folder = shared_data / "waveunet-reference" / variant
    original = json.loads((folder / "config.json").read_text())
    config = dataclasses.replace(
        VARIANTS[variant],
        num_levels=original["num_layers"],
        base_filters=original["num_initial_filters"],
        output_frames=original["desired_output_frames"],
    )
    network = model.build_network(config)
    variables = tf1.read_variables(folder / f"{variant}-1234")
    tf1.set_weights(config, network, variables)
    arrays = np.load(folder / "io.npz")
    estimates = network(arrays["mix"])
    assert list(estimates) == original["source_names"]
    for source, estimate in estimates.items():
        np.testing.assert_allclose(np.asarray(estimate), arrays[source], atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "weights"), [("M1", 10.263e6), ("M4", 10.263e6), ("M5", 10.266e6)]
)
def test_full_size_networks_have_the_papers_number_of_weights(variant, weights):
    network = model.build_network(VARIANTS[variant])
    assert network.count_params() == pytest.approx(weights, abs=500)


MATRIX = [
    {},
    {"output_type": "direct", "output_activation": "linear"},
    {"upsampling": "learned", "sources": ("bass", "drums", "vocals")},
    {"context": False},
    {"context": False, "upsampling": "learned", "output_activation": "linear"},
    {"output_kernel_size": 5, "down_kernel_size": 5, "up_kernel_size": 3},
    {"channels": 1, "num_levels": 1},
]


@pytest.mark.parametrize("change", MATRIX)
def test_frames_in_and_out_are_those_of_shapes(change):
    config = WaveUNetConfig(**{"num_levels": 3, "base_filters": 4, **change})
    config = dataclasses.replace(config, output_frames=64)
    window = shapes.window_frames(config)
    noise = np.random.default_rng(0).normal(
        0, 1, (2, window.input_frames, config.channels)
    )
    for frames in (None, window.input_frames):
        estimates = model.build_network(config, frames=frames)(noise)
        assert list(estimates) == list(config.sources)
        for estimate in estimates.values():
            assert estimate.shape == (2, window.output_frames, config.channels)


@pytest.mark.parametrize("change", MATRIX)
def test_difference_output_adds_up_to_the_mixture_in_training(change):
    config = WaveUNetConfig(**{"num_levels": 3, "base_filters": 4, **change})
    config = dataclasses.replace(config, output_frames=64, output_type="difference")
    window = shapes.window_frames(config)
    mixture = np.random.default_rng(0).normal(
        0, 1, (1, window.input_frames, config.channels)
    )
    estimates = model.build_network(config)(mixture, training=True)
    context = window.context_frames
    np.testing.assert_allclose(
        np.asarray(sum(estimates.values())),
        mixture[:, context : context + window.output_frames],
        atol=1e-5,
    )


def test_estimates_are_within_full_scale_at_inference(tiny_config):
    for activation in ("linear", "tanh"):
        config = dataclasses.replace(tiny_config, output_activation=activation)
        frames = shapes.window_frames(config).input_frames
        noise = np.random.default_rng(0).normal(0, 30, (1, frames, 2))
        network = model.build_network(config)
        for estimate in network(noise).values():
            assert np.abs(np.asarray(estimate)).max() <= 1
        last = config.sources[-1]
        assert np.abs(np.asarray(network(noise, training=True)[last])).max() > 1


def test_frames_that_do_not_fit_are_refused(tiny_config):
    frames = shapes.window_frames(tiny_config).input_frames
    with pytest.raises(InputError, match="frames must fit the network"):
        model.build_network(tiny_config)(np.zeros((1, frames + 2, 2), np.float32))


def test_the_network_is_saved_and_loaded_as_keras(tiny_config, tmp_path):
    network = model.build_network(
        dataclasses.replace(tiny_config, upsampling="learned")
    )
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    frames = shapes.window_frames(tiny_config).input_frames
    noise = np.random.default_rng(0).normal(0, 0.1, (1, frames, 2))
    for source, estimate in network(noise).items():
        np.testing.assert_array_equal(
            np.asarray(loaded(noise)[source]), np.asarray(estimate)
        )
