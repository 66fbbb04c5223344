import dataclasses

import keras
import numpy as np
import pytest

from tests.original import LONGER_INPUTS, noise
from waveunet_tf.checkpoints import tf1
from waveunet_tf.configs.networks import VARIANTS, SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import layers, shapes
from waveunet_tf.networks.build import build_network


@pytest.mark.parametrize(
    ("variant", "weights"),
    [("M1", 10.263e6), ("M4", 10.263e6), ("M5", 10.266e6), ("M7", 20.6e6)],
)
def test_full_size_networks_have_the_papers_number_of_weights(variant, weights):
    network = build_network(VARIANTS[variant])
    assert network.count_params() == pytest.approx(weights, rel=2e-3)


MATRIX = [
    {},
    {"output_type": "direct", "output_activation": "linear"},
    {"upsampling": "learned", "sources": ("bass", "drums", "vocals")},
    {"context": False},
    {"context": False, "upsampling": "learned", "output_activation": "linear"},
    {"output_kernel_size": 5, "down_kernel_size": 5, "up_kernel_size": 3},
    {"channels": 1, "num_levels": 1},
    {"upsampling": "transposed"},
    {"upsampling": "transposed", "context": False},
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
        estimates = build_network(config, frames=frames)(noise)
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
    estimates = build_network(config)(mixture, training=True)
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
        network = build_network(config)
        for estimate in network(noise).values():
            assert np.abs(np.asarray(estimate)).max() <= 1
        last = config.sources[-1]
        assert np.abs(np.asarray(network(noise, training=True)[last])).max() > 1


def test_frames_that_do_not_fit_are_refused(tiny_config):
    frames = shapes.window_frames(tiny_config).input_frames
    with pytest.raises(InputError, match="frames must fit the network"):
        build_network(tiny_config)(np.zeros((1, frames + 2, 2), np.float32))


@pytest.mark.parametrize("name", LONGER_INPUTS)
def test_a_longer_input_is_cropped_as_the_original_crops_it(name):
    original = LONGER_INPUTS[name]
    config = original.config()
    frames = original.padding(64)
    assert shapes.window_frames(config, 64) == frames
    odd = "".join("eo"[shapes.skip_surplus_frames(config, n) % 2] for n in range(9))
    assert odd.startswith(name.split()[-1])
    mixture = noise(2, frames[0], config.channels)
    variables, expected = original.compute(mixture)
    network = build_network(config)
    tf1.set_weights(config, network, variables)
    for source, estimate in network(mixture).items():
        assert expected[source].shape == (2, frames[1], config.channels)
        np.testing.assert_allclose(estimate, expected[source], atol=1e-5)


@pytest.mark.parametrize("name", ["4 levels, eoeo", "6 levels, eeeoee"])
def test_a_longer_input_of_another_length_is_refused(name):
    config = LONGER_INPUTS[name].config()
    frames = shapes.window_frames(config).input_frames
    network = build_network(config)
    network(np.zeros((1, frames + 2**config.num_levels, config.channels), np.float32))
    for level in range(config.num_levels):
        for more in (2**level, -(2**level), 2**config.num_levels - 2**level):
            with pytest.raises(InputError, match="frames must fit the network"):
                network(np.zeros((1, frames + more, config.channels), np.float32))


def test_the_network_is_saved_and_loaded_as_keras(tiny_config, tmp_path):
    network = build_network(dataclasses.replace(tiny_config, upsampling="learned"))
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    frames = shapes.window_frames(tiny_config).input_frames
    noise = np.random.default_rng(0).normal(0, 0.1, (1, frames, 2))
    for source, estimate in network(noise).items():
        np.testing.assert_array_equal(
            np.asarray(loaded(noise)[source]), np.asarray(estimate)
        )


@pytest.mark.parametrize("context", [True, False])
def test_transposed_upsampling_contains_linear_interpolation(context):
    """With the taps 1/2, 1, 1/2 it is linear interpolation, zeros beyond the end."""
    config = WaveUNetConfig(
        num_levels=1, base_filters=2, upsampling="transposed", output_frames=8
    )
    config = dataclasses.replace(config, context=context)
    network = build_network(config)
    layer = network.get_layer("upsample_0")
    kernel = np.zeros(layer.kernel.shape, np.float32)
    kernel[:, [0, 1], [0, 1]] = [[0.5, 0.5], [1, 1], [0.5, 0.5]]
    layer.set_weights([kernel, np.zeros(2, np.float32)])
    features = np.random.default_rng(0).uniform(0, 1, (1, 5, 4)).astype("f")
    upsampled = network.get_layer("upsample_0_crop")(layer(features))
    linear = layers.LinearInterpolation(context=True)(features[..., :2])
    np.testing.assert_allclose(upsampled[:, :9], linear, atol=1e-6)
    assert upsampled.shape[1] == (9 if context else 10)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(
    "config",
    [
        WaveUNetConfig(num_levels=3, base_filters=4, output_frames=64),
        WaveUNetConfig(
            num_levels=3, base_filters=4, output_frames=64, upsampling="learned"
        ),
        SpectrogramUNetConfig(
            num_levels=3,
            base_filters=4,
            fft_frames=64,
            hop_frames=48,
            output_frames=784,
            phase_iterations=2,
        ),
    ],
    ids=["linear", "learned", "spectrogram"],
)
def test_networks_run_in_mixed_precision(config, policy):
    full = build_network(config)
    keras.config.set_dtype_policy(policy)
    try:
        half = build_network(config)
    finally:
        keras.config.set_dtype_policy("float32")
    half.set_weights(full.get_weights())
    shape = (1, shapes.window_frames(config).input_frames, config.channels)
    noise = np.random.default_rng(0).normal(0, 0.1, shape).astype("f")
    for source, estimate in full(noise).items():
        actual = np.asarray(keras.ops.cast(half(noise)[source], "float32"))
        assert np.abs(actual - np.asarray(estimate)).max() < 0.03
