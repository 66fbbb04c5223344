import dataclasses

import keras
import numpy as np
import pytest

import waveunet_tf
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import VARIANTS, SpectrogramUNetConfig
from waveunet_tf.networks import shapes, spectrogram_u_net
from waveunet_tf.networks.build import build_network

TRANSFORM = {"fft_frames": 64, "hop_frames": 48}


@pytest.fixture
def config():
    """A U7 that is quick to run: 3 levels, windows of 64 frames, 16 of them."""
    return SpectrogramUNetConfig(
        num_levels=3, base_filters=4, output_frames=64 + 15 * 48, **TRANSFORM
    )


def noise(frames, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, (1, frames, 1)).astype("f")


def values(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def test_a_saved_network_is_the_same_when_it_is_loaded(config, tmp_path):
    """Its layers are registered, and their configs hold what they were made with."""
    refined = dataclasses.replace(config, phase_iterations=2, phase_start="random")
    network = build_network(refined)
    network.save(tmp_path / "network.keras")
    loaded = keras.saving.load_model(tmp_path / "network.keras")
    layer = loaded.get_layer("output_vocals")
    assert (layer.phase_iterations, layer.phase_start) == (2, "random")
    assert (layer.fft_frames, layer.hop_frames) == (64, 48)
    audio = noise(config.output_frames)
    expected = network(audio)
    for source, stem in loaded(audio).items():
        np.testing.assert_allclose(values(stem), values(expected[source]), atol=1e-5)


def test_spectrograms_stay_float32_where_layers_compute_in_half(config):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        network = build_network(config)
    finally:
        keras.config.set_dtype_policy(before)
    for name in ("stft", "magnitude", "vocals_mask", "vocals_nyquist", "output_vocals"):
        assert network.get_layer(name).compute_dtype == "float32"
    assert network.get_layer("vocals_down_1").compute_dtype == "float16"
    loud = 30 * noise(config.output_frames)
    assert np.isfinite(values(network(loud)["vocals"])).all()


@pytest.mark.parametrize(("num_levels", "dropouts"), [(2, 1), (3, 2), (6, 3)])
def test_the_first_three_layers_on_the_way_up_drop_out(num_levels, dropouts):
    config = SpectrogramUNetConfig(
        num_levels=num_levels,
        base_filters=2,
        fft_frames=128,
        hop_frames=96,
        output_frames=128 + 96 * (2**num_levels - 1),
    )
    dropped = [
        int(layer.name.removeprefix("vocals_up_").removesuffix("_dropout"))
        for layer in build_network(config).layers
        if layer.name.startswith("vocals") and layer.name.endswith("_dropout")
    ]
    assert sorted(dropped, reverse=True) == list(
        range(num_levels - 2, num_levels - 2 - dropouts, -1)
    )


def test_the_nyquist_bin_is_halved(config):
    network = build_network(config)
    mask = keras.Model(network.input, network.get_layer("vocals_nyquist").output)
    masks = values(mask(noise(config.output_frames)))
    assert masks.shape == (1, 16, 33)
    np.testing.assert_array_equal(masks[..., -1], 0.5)
    assert 0 <= masks.min() and masks.max() <= 1


def test_phase_iterations_are_for_inference_only(config):
    refined = dataclasses.replace(config, phase_iterations=3)
    plain, network = build_network(config), build_network(refined)
    network.set_weights(plain.get_weights())
    audio = noise(config.output_frames)
    layers = [each.get_layer("output_vocals") for each in (plain, network)]
    mask = np.full((1, 16, 33), 0.3, np.float32)
    mask[:, ::2] = 0.9
    inputs = [mask, *plain.get_layer("stft")(audio)]
    trained = [values(layer(inputs, training=True)) for layer in layers]
    np.testing.assert_array_equal(*trained)
    inferred = [values(layer(inputs, training=False)) for layer in layers]
    assert np.abs(inferred[0] - inferred[1]).max() > 1e-3


def test_full_size_is_the_originals():
    config = VARIANTS["U7"]
    assert VARIANTS["U7a"] == config
    network = build_network(config)
    # 2 U-Nets: 5×5 convolutions 1-16-…-512 and back, with bias; 3 numbers a normalized
    # feature.
    down = [1, 16, 32, 64, 128, 256, 512]
    weights = sum(25 * a * b + b for a, b in zip(down, down[1:])) + 3 * sum(down[1:])
    up = [(512, 256), (512, 128), (256, 64), (128, 32), (64, 16)]
    weights += sum(25 * a * b + b + 3 * b for a, b in up) + 25 * 32 + 1
    assert network.count_params() == 2 * weights
    assert network.compute_output_shape((1, 98560, 1))["vocals"] == (1, 98560, 1)


def test_magnitudes_share_the_networks_weights(config):
    network = build_network(config)
    magnitudes = spectrogram_u_net.magnitude_network(config, network)
    audio = noise(config.output_frames)
    expected = np.hypot(*map(values, network.get_layer("stft")(audio)))
    mask = keras.Model(network.input, network.get_layer("vocals_nyquist").output)
    np.testing.assert_allclose(
        values(magnitudes(audio)["vocals"]), values(mask(audio)) * expected, atol=1e-5
    )


def test_a_song_of_any_length_has_no_seams(config, tmp_path):
    """Zero kernels make every mask sigmoid(0): the stems are half of the mixture."""
    network = build_network(config)
    for source in config.sources:
        layer = network.get_layer(f"{source}_mask")
        layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])
    checkpoint.save_checkpoint(tmp_path, network, config)
    separator = waveunet_tf.load(tmp_path)
    for frames in (1, 783, 784, 785, 5000):
        song = noise(frames)[0]
        stems = separator.separate(song, config.sample_rate_hz)
        for stem in stems.values():
            assert stem.shape == (frames, 1)
            # Of a block's first and last windows the ends have no second window; the
            # fade weighs them with less than a tenth.
            np.testing.assert_allclose(stem, song / 2, atol=0.03)


def test_load_overrides_the_phase_but_not_the_weights(config, tmp_path):
    checkpoint.save_checkpoint(tmp_path, build_network(config), config)
    network = waveunet_tf.load_network(
        tmp_path, phase_iterations=2, phase_start="random"
    )
    layer = network.get_layer("output_vocals")
    assert (layer.phase_iterations, layer.phase_start) == (2, "random")
    with pytest.raises(waveunet_tf.InputError, match="has no `colour`"):
        waveunet_tf.load_network(tmp_path, colour=3)
    with pytest.raises(waveunet_tf.InputError, match="has no `base_filters`"):
        waveunet_tf.load_network(tmp_path, base_filters=8)


def test_windows_are_those_of_the_config(config):
    window = shapes.window_frames(config)
    assert (window.input_frames, window.output_frames) == (784, 784)
    with pytest.raises(waveunet_tf.InputError, match="Received: 100"):
        shapes.window_frames(config, 100)
