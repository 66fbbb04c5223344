import dataclasses

import keras
import numpy as np
import pytest

from waveunet_tf.configs.networks import (
    ARCHITECTURES,
    SpectrogramUNetConfig,
    WaveUNetConfig,
)
from waveunet_tf.networks.build import build_network

WAVEFORM = WaveUNetConfig(
    num_levels=2, base_filters=3, context=False, output_frames=104, channels=1
)
SPECTROGRAM = SpectrogramUNetConfig(
    num_levels=2, base_filters=3, fft_frames=32, hop_frames=24, output_frames=104
)
CONFIGS = pytest.mark.parametrize("config", [WAVEFORM, SPECTROGRAM], ids=["M", "U7"])


def test_every_architecture_is_built_here():
    assert {config.architecture for config in (WAVEFORM, SPECTROGRAM)} == set(
        ARCHITECTURES
    )


@CONFIGS
def test_a_network_is_called_by_its_architecture_and_gives_the_sources(config):
    config = dataclasses.replace(config, sources=("vocals", "bass", "drums"))
    network = build_network(config)
    assert network.name == config.architecture
    assert list(network.output) == ["vocals", "bass", "drums"]
    mixture = np.zeros((2, config.output_frames, 1), np.float32)
    for estimate in network(mixture).values():
        assert estimate.shape == (2, config.output_frames, 1)


@CONFIGS
def test_frames_and_batch_are_open_unless_they_are_fixed(config):
    assert build_network(config).input_shape == (None, None, 1)
    frames = config.output_frames
    fixed = build_network(config, frames=frames, batch_size=3)
    assert fixed.input_shape == (3, frames, 1)
    for estimate in fixed.output.values():
        assert estimate.shape == (3, frames, 1)


@CONFIGS
def test_a_fixed_network_has_the_weights_of_an_open_one(config):
    frames = config.output_frames
    opened, fixed = build_network(config), build_network(config, frames=frames)
    assert [weight.path for weight in opened.weights] == [
        weight.path for weight in fixed.weights
    ]
    fixed.set_weights(opened.get_weights())
    mixture = np.random.default_rng(0).normal(0, 1, (1, frames, 1))
    one, other = opened(mixture), fixed(mixture)
    for source in config.sources:
        np.testing.assert_allclose(one[source], other[source], atol=1e-5)


@CONFIGS
def test_kernels_are_glorots_and_biases_zero(config):
    """Uniform within sqrt(6 / (fan in + fan out)) (Glorot and Bengio, 2010)."""
    keras.utils.set_random_seed(0)
    network = build_network(dataclasses.replace(config, base_filters=16))
    kernels = [weight for weight in network.weights if weight.name == "kernel"]
    assert len(kernels) >= 6
    for kernel in kernels:
        *taps, fan_in, fan_out = kernel.shape
        bound = np.sqrt(6 / (np.prod(taps) * (fan_in + fan_out)))
        largest = np.abs(kernel.numpy()).max()
        assert 0.8 * bound < largest <= bound
    for weight in network.weights:
        if weight.name == "bias":
            np.testing.assert_array_equal(weight.numpy(), 0)


@CONFIGS
def test_weights_depend_on_the_seed_only(config):
    def drawn(seed):
        keras.utils.set_random_seed(seed)
        return np.concatenate([w.ravel() for w in build_network(config).get_weights()])

    np.testing.assert_array_equal(drawn(1), drawn(1))
    assert np.abs(drawn(1) - drawn(2)).max() > 0.01
