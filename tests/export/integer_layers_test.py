import dataclasses
import functools

import keras
import numpy as np
import pytest

from export import equalize, integer_layers, parity, quantize, tflite
from tests.export.tflite_test import music
from tests.networks.streaming_test import BASE, MATRIX, one_pass, random_network, stream
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.networks import shapes, streaming
from waveunet_tf.networks.build import build_network
from waveunet_tf.separation import litert


def uneven_network(config, network):
    """A copy that is the same function, its features' levels a thousand times apart."""
    uneven = keras.models.clone_model(network)
    uneven.set_weights(network.get_weights())
    generator = np.random.default_rng(7)
    convolutions = [layer for layer in uneven.layers if layer.name.startswith("down")]
    below = [*convolutions[1:], uneven.get_layer("bottleneck")]
    for level, (layer, consumer) in enumerate(zip(convolutions, below)):
        scale = 10 ** generator.uniform(-1.5, 1.5, layer.filters)
        layer.set_weights([weight * scale for weight in layer.get_weights()])
        kernel, bias = consumer.get_weights()
        consumer.set_weights([kernel / scale[:, None], bias])
        merge = uneven.get_layer(f"up_{level}")
        kernel, bias = merge.get_weights()
        kernel[:, : layer.filters] /= scale[:, None]
        merge.set_weights([kernel, bias])
    return uneven


@pytest.mark.parametrize("exponent", [0, 0.75, 1])
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"upsampling": "learned", "sources": ("bass", "drums", "vocals")},
        {"output_type": "direct", "output_activation": "linear", "channels": 1},
        {"context": False, "output_frames": 64},
        {"context": False, "output_frames": 64, "upsampling": "transposed"},
        {"upsampling": "transposed", "num_levels": 1},
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


def test_silence_and_dead_channels_are_no_matter():
    network = build_network(BASE)  # without biases all features are zero
    song = music(shapes.window_frames(BASE).input_frames)
    before = {name: np.array(v) for name, v in network(song[None]).items()}
    equalize.equalize(BASE, network, [0 * song], 0.75)
    for name, stem in network(song[None]).items():
        np.testing.assert_allclose(stem, before[name], atol=1e-5)


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
    song = np.random.default_rng(0).normal(0, 0.5, (301, config.channels))
    network_for_integers = streaming.StreamingNetwork(config, network, layers)
    stems = stream(network_for_integers, song, [network_for_integers.chunk_multiple])
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


@pytest.mark.parametrize("kind", ["dynamic", "int8", "int16x8", "mixed"])
def test_channels_of_very_different_levels_cost_integers_nothing(
    tiny_config, tmp_path, kind
):
    """The same function, its channels' levels a thousand times apart."""
    network = random_network(tiny_config)
    song = music(8000)
    decibels = []
    for name, own in [
        ("even", network),
        ("uneven", uneven_network(tiny_config, network)),
    ]:
        checkpoint.save_checkpoint(tmp_path / name, own, tiny_config)
        plan = tflite.plan(tmp_path / name, "streaming", 1024)
        ((_, content),) = quantize.convert_plan(plan, [kind], [music(6000)])
        engine = litert.LiteRTEngine(content, chunk_frames=1024, threads=1)
        actual = plan.runner(engine).run(song)
        expected = one_pass(tiny_config, network, song)
        (snr_db,) = parity.signal_to_noise_db(expected, actual, 8000)
        decibels.append(snr_db)
    assert decibels[1] > decibels[0] - 1


@pytest.mark.parametrize("mode", tflite.MODES)
def test_outputs_of_int16x8_have_weights_of_16_bits(tiny_config, tmp_path, mode):
    """A quiet source as the difference of features that are alike."""
    network = random_network(tiny_config)
    merge = network.get_layer("up_0")
    alike = [np.repeat(weight[..., :1], 4, -1) for weight in merge.get_weights()]
    merge.set_weights(alike)
    output = network.get_layer("output_accompaniment")
    kernel, bias = (np.zeros_like(weight) for weight in output.get_weights())
    kernel[0, 2], kernel[0, 3] = 1, -0.9871
    output.set_weights([kernel, bias])
    checkpoint.save_checkpoint(tmp_path, network, tiny_config)
    song = music(8000)
    plan = tflite.plan(tmp_path, mode, 1024)
    ((_, content),) = quantize.convert_plan(plan, ["int16x8"], [music(6000)])
    engine = litert.LiteRTEngine(content, chunk_frames=1024, threads=1)
    actual = plan.runner(engine).run(song)["accompaniment"]
    expected = one_pass(tiny_config, network, song)["accompaniment"]
    (snr_db,) = parity.signal_to_noise_db({"x": expected}, {"x": actual}, 8000)
    assert snr_db > 26  # 19.5 with weights of 8 bits
