import dataclasses

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import waveunet_tf
from tests.export.small_exports import CHUNK, export, music, one_pass, save_network
from tests.export.tflite_test import run_from_metadata_alone
from tests.networks.small_networks import random_network
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.export import file_description, parity, quantize, tflite
from waveunet_tf.export.kinds import CALIBRATED, KINDS
from waveunet_tf.separation import litert
from waveunet_tf.separation.separator import load_tflite_separator

# In one process, for the files that are converted once for all of these.
pytestmark = pytest.mark.xdist_group("tflite")


def snr_db(expected, actual):
    noise = sum(np.sum((actual[name] - expected[name]) ** 2) for name in expected)
    signal = sum(np.sum(stem**2) for stem in expected.values())
    return 10 * np.log10(signal / noise)


def test_each_kind_is_as_near_to_the_network_as_its_numbers_allow(
    kept_files, kept_checkpoint, tiny_config
):
    song = music(4000)
    network = waveunet_tf.load_network(kept_checkpoint)
    expected = one_pass(tiny_config, network, song)
    decibels = {
        kind: snr_db(expected, run_from_metadata_alone(path.read_bytes(), song))
        for kind, path in kept_files.items()
    }
    assert decibels["float32"] > 100
    assert 60 < decibels["float16"] < 100
    assert 35 < decibels["int16x8"] < decibels["float16"]
    assert 15 < decibels["int8"] < decibels["mixed"] - 3


@pytest.fixture(scope="module")
def descriptions(kept_files):
    return {
        kind: file_description.describe_tflite_file(path)
        for kind, path in kept_files.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_has_the_operations_of_its_kind(descriptions, kind):
    description = descriptions[kind]
    assert description.metadata["quantization"] == kind
    assert not any(name.startswith("Flex") for name in description.operations)
    assert "TILE" not in description.operations
    assert ("QUANTIZE" in description.operations) == (kind in CALIBRATED)


def test_weights_are_as_small_as_the_kind_says(descriptions):
    """In bytes of the constants: float32, half, a quarter and some."""
    sizes = {kind: described.weight_bytes for kind, described in descriptions.items()}
    floats = sizes["float32"]["float32"]
    assert sizes["float16"]["float16"] == pytest.approx(floats / 2, rel=0.02)
    for kind in ("dynamic", "int8", "int16x8"):
        assert 0.5 < sizes[kind]["int8"] / (floats / 4) < 1.3, kind


def test_a_kind_is_the_same_alone_and_after_others(kept_files, kept_checkpoint):
    """What kinds share must not change what each of them is, nor the plan's network."""
    plan = tflite.plan(kept_checkpoint, "streaming", CHUNK)
    before = plan.network.get_weights()
    ((kind, content),) = quantize.convert_plan(plan, ["mixed"], [music(6 * CHUNK)])
    assert kind == "mixed"
    song = music(2000)
    alone = run_from_metadata_alone(content, song)
    after = run_from_metadata_alone(kept_files["mixed"].read_bytes(), song)
    for source, stem in alone.items():
        np.testing.assert_allclose(after[source], stem, atol=1e-6)
    for one, other in zip(before, plan.network.get_weights()):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", ["dynamic", "int8"])
def test_windows_are_quantised_too(tiny_config, tmp_path, kind):
    config = dataclasses.replace(tiny_config, context=False, output_frames=200)
    network = save_network(tmp_path / "c", config)
    export(tmp_path / "c", tmp_path / "x.tflite", mode="window", kind=kind)
    song = music(200)
    stems = load_tflite_separator(tmp_path / "x.tflite").runner().run(song)
    expected = {name: np.asarray(v)[0] for name, v in network(song[None]).items()}
    assert 15 < snr_db(expected, stems) < 80


def test_a_state_has_one_scale_for_as_long_as_it_waits(kept_checkpoint):
    """Else each chunk would round it anew, and errors would grow with the song."""
    plan = tflite.plan(kept_checkpoint, "streaming", 16)
    ((_, content),) = quantize.convert_plan(plan, ["int8"], [music(800)])
    interpreter = Interpreter(model_content=content)
    step = interpreter.get_signature_runner("separate")
    state = interpreter.get_signature_runner("initial_state")()
    song = music(320)
    for start in range(0, len(song), 16):
        outputs = step(mixture=song[None, None, start : start + 16], **state)
        before, state = state, {name: outputs[name] for name in state}
        for name in state if start else ():  # silence is not rounded yet
            kind, level = f"{name}_0".split("_")[1:3]
            levels = {"upsample": 1, "bottleneck": 3}.get(kind, 0)
            levels += int(level) if level.isdigit() else 0
            came = 16 >> levels
            kept = before[name][:, :, came:]
            np.testing.assert_array_equal(state[name][:, :, : kept.shape[2]], kept)


def make_uneven(network):
    """Moves its features' levels a thousand times apart, but keeps its function."""
    generator = np.random.default_rng(7)
    convolutions = [layer for layer in network.layers if layer.name.startswith("down")]
    below = [*convolutions[1:], network.get_layer("bottleneck")]
    for level, (layer, consumer) in enumerate(zip(convolutions, below)):
        scale = 10 ** generator.uniform(-1.5, 1.5, layer.filters)
        layer.set_weights([weight * scale for weight in layer.get_weights()])
        kernel, bias = consumer.get_weights()
        consumer.set_weights([kernel / scale[:, None], bias])
        merge = network.get_layer(f"up_{level}")
        kernel, bias = merge.get_weights()
        kernel[:, : layer.filters] /= scale[:, None]
        merge.set_weights([kernel, bias])


@pytest.mark.slow
def test_channels_of_very_different_levels_cost_integers_nothing(
    kept_files, kept_checkpoint, tiny_config, tmp_path
):
    """The same function, its channels' levels a thousand times apart."""
    network = waveunet_tf.load_network(kept_checkpoint)
    song, kinds = music(8000), ["dynamic", "int8", "int16x8", "mixed"]
    expected = one_pass(tiny_config, network, song)
    make_uneven(network)
    checkpoint.save_checkpoint(tmp_path, network, tiny_config)
    plan = tflite.plan(tmp_path, "streaming", CHUNK)
    for kind, uneven in quantize.convert_plan(plan, kinds, [music(6 * CHUNK)]):
        decibels = []
        for content in (kept_files[kind].read_bytes(), uneven):
            engine = litert.LiteRTEngine(content, chunk_frames=CHUNK, threads=1)
            actual = plan.runner(engine).run(song)
            decibels += list(parity.signal_to_noise_db(expected, actual, 8000))
        even, uneven = decibels
        assert uneven > even - 1, kind


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
    ((_, content),) = quantize.convert_plan(plan, ["int16x8"], [music(3000)])
    engine = litert.LiteRTEngine(content, chunk_frames=1024, threads=1)
    actual = plan.runner(engine).run(song)["accompaniment"]
    expected = one_pass(tiny_config, network, song)["accompaniment"]
    (snr_db,) = parity.signal_to_noise_db({"x": expected}, {"x": actual}, 8000)
    assert snr_db > 26  # 19.5 with weights of 8 bits
