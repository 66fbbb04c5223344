import dataclasses
import functools
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest.mock

import keras
import numpy as np
import pytest

import waveunet_tf
from tests.conftest import TINY
from waveunet_tf.checkpoints import checkpoint, packing
from waveunet_tf.checkpoints.checkpoint import DYNAMIC, FLOAT32, Checkpoint
from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.separation import engines, litert_conversion
from waveunet_tf.separation.litert import LiteRTEngine
from waveunet_tf.separation.separator import Separator

SONG = np.random.default_rng(0).normal(0, 0.3, (3001, 2))


def save_network(directory, config, seed=1):
    keras.utils.set_random_seed(seed)
    checkpoint.save_checkpoint(directory, build_network(config), config)


def separate(directory, **options):
    stems = waveunet_tf.load(directory, chunk_frames=256, **options).separate(
        SONG, 8000
    )
    return np.stack(list(stems.values()))


@pytest.fixture
def conversions(monkeypatch, new_cache):
    """Counts the conversions of networks."""
    done = []

    def convert(*arguments):
        done.append(arguments)
        return original(*arguments)

    original = litert_conversion.convert_program
    monkeypatch.setattr(litert_conversion, "convert_program", convert)
    return done


@pytest.mark.parametrize(
    "change",
    [
        {"sources": ("down_0", "output", "vocals")},  # as arrays of the state are named
        {"upsampling": "learned", "channels": 1, "up_kernel_size": 3},
        *(
            pytest.param(change, marks=pytest.mark.slow)
            for change in [
                {"output_type": "direct", "output_activation": "linear"},
                {"output_kernel_size": 3, "down_kernel_size": 5},
                {"down_kernel_size": 1, "up_kernel_size": 1},
                {"upsampling": "transposed"},
                {"context": False},
            ]
        ),
    ],
    ids=str,
)
def test_litert_equals_tensorflow(tiny_config, tmp_path, change):
    save_network(tmp_path, dataclasses.replace(tiny_config, num_levels=2, **change))
    expected = separate(tmp_path, engine="tensorflow")
    actual = separate(tmp_path, engine="litert", threads=1)
    np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_a_network_is_converted_once_and_again_when_it_changes(
    tiny_config, tmp_path, conversions
):
    config = dataclasses.replace(tiny_config, num_levels=1)
    save_network(tmp_path, config)
    first = separate(tmp_path, engine="litert")
    np.testing.assert_array_equal(separate(tmp_path, engine="litert"), first)
    assert len(conversions) == 1
    save_network(tmp_path, config, seed=2)
    second = separate(tmp_path, engine="litert")
    assert len(conversions) == 2
    assert np.abs(second - first).max() > 1e-3
    np.testing.assert_allclose(
        separate(tmp_path, engine="tensorflow"), second, atol=1e-5
    )


@pytest.mark.parametrize("faster", ["tensorflow", "litert"])
def test_auto_takes_what_measured_faster_and_measures_once(
    tiny_config, tmp_path, monkeypatch, new_cache, faster
):
    save_network(tmp_path, dataclasses.replace(tiny_config, num_levels=1))
    measured = []

    def seconds(_, engine):
        measured.append(engine.name)
        return 1.0 if engine.name == faster else 2.0

    monkeypatch.setattr(engines, "_seconds_per_frame", seconds)
    for _ in range(2):
        assert waveunet_tf.load(tmp_path).engine == faster
        assert sorted(measured) == ["litert", "tensorflow"]
    waveunet_tf.load(tmp_path, threads=1)  # is another matter
    assert len(measured) == 4


def test_windows_are_measured_by_the_frames_that_they_give(tiny_config, monkeypatch):
    """Without context a window's length is fixed, whatever chunk is wished for."""
    config = dataclasses.replace(tiny_config, context=False)
    for chunk_frames in (1, 10_000):
        times = iter([0.0, 2.0] * 4)
        monkeypatch.setattr(engines.time, "perf_counter", times.__next__)
        engine = unittest.mock.Mock(input_shapes={}, chunk_frames=chunk_frames)
        assert engines._seconds_per_frame(config, engine) == 2.0 / 256


def test_a_network_that_does_not_convert_runs_on_tensorflow(
    tiny_config, tmp_path, monkeypatch
):
    save_network(tmp_path, dataclasses.replace(tiny_config, num_levels=1))
    (tmp_path / "full").write_text("a file, where a folder would be")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    assert waveunet_tf.load(tmp_path).engine == "tensorflow"
    with pytest.raises(InputError, match="cannot be converted for LiteRT"):
        waveunet_tf.load(tmp_path, engine="litert")


@pytest.mark.slow
def test_two_processes_may_convert_at_once(tiny_config, tmp_path, new_cache):
    save_network(tmp_path, tiny_config)
    code = (
        "import sys, numpy, waveunet_tf;"
        f"waveunet_tf.load({str(tmp_path)!r}, engine='litert')"
        ".separate(numpy.zeros((9, 2)), 8000);"
    )
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert sorted(path.suffix for path in new_cache.iterdir()) == [
        ".json",
        ".tflite",
    ]
    code += "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_spectrogram_network_runs_on_tensorflow_only(tmp_path):
    config = SpectrogramUNetConfig(
        num_levels=2, base_filters=2, fft_frames=16, hop_frames=8, output_frames=40
    )
    save_network(tmp_path, config)
    assert waveunet_tf.load(tmp_path).engine == "tensorflow"
    with pytest.raises(InputError, match="must be tensorflow for a spectrogram"):
        waveunet_tf.load(tmp_path, engine="litert")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_levels": 2}, "its network has no `num_levels` to change"),
        ({"engine": "torch"}, "`engine` must be one of auto.* Received: torch"),
        ({"device": "gpu:7"}, "finds here, cpu.* Received: gpu:7"),
        ({"device": "gpu:7", "engine": "litert"}, "tensorflow for the device gpu:7"),
        ({"threads": 0}, "`threads` must .* at least 1. Received: 0"),
        ({"chunk_frames": -1}, "`chunk_frames` must be .* Received: -1"),
    ],
)
def test_what_no_engine_can_do_is_refused(tiny_checkpoint, options, message):
    with pytest.raises(InputError, match=message):
        waveunet_tf.load(tiny_checkpoint, **options)


@pytest.fixture(scope="module")
def packed_with_step(tmp_path_factory):
    """A tiny model that brings its step along, of 256 frames."""
    folder = tmp_path_factory.mktemp("packed")
    save_network(folder / "checkpoint", TINY)
    with unittest.mock.patch.dict(engines._CHUNK_FRAMES, litert=256):
        packing.pack(
            folder / "checkpoint",
            folder / "model",
            description="A tiny one",
            convert=functools.partial(engines.convert_steps, TINY, dynamic=True),
        )
    return folder / "model"


def test_a_model_separates_with_the_step_that_it_brings_along(
    packed_with_step, conversions
):
    """Its weights are rounded as those of the model, else the stems would differ."""
    expected = separate(packed_with_step, engine="tensorflow")
    actual = separate(packed_with_step)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert waveunet_tf.load(packed_with_step, chunk_frames=256).engine == "litert"
    assert not conversions
    assert waveunet_tf.load(packed_with_step, chunk_frames=512, engine="litert")
    assert len(conversions) == 1


def test_a_model_with_its_step_needs_no_tensorflow(packed_with_step):
    """Nor Keras, h5py or any other package of the extras."""
    absent = "tensorflow keras h5py scipy matplotlib musdb museval grpc".split()
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        "import numpy, waveunet_tf\n"
        f"separator = waveunet_tf.load({str(packed_with_step)!r}, chunk_frames=256)\n"
        "separator.separate(numpy.zeros((9, 2)), 8000)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_step_that_was_changed_is_refused(packed_with_step, tmp_path):
    model = pathlib.Path(shutil.copytree(packed_with_step, tmp_path / "model"))
    step = model / "step-256.tflite"
    step.write_bytes(step.read_bytes()[:-1])
    with pytest.raises(InputError, match=f"{step.name}: must be as it was packed"):
        separate(model)
    (model / "model.json").unlink()
    with pytest.raises(InputError, match=f"{step.name}: must be of a model"):
        separate(model)


def test_the_dynamic_step_is_smaller_and_nearly_as_good(packed_with_step):
    """Its top layers have the float step's weights, the others one of 255 values."""
    model = Checkpoint.open(packed_with_step)
    noise = np.random.default_rng(3).normal(0, 0.1, (9000, 2))
    stems, sizes = {}, {}
    for kind in (FLOAT32, DYNAMIC):
        step = model.carried_step(256, kind)
        engine = LiteRTEngine(step, chunk_frames=256, threads=1)
        stems[kind] = Separator(model.config, engine).separate(noise, 8000)["vocals"]
        sizes[kind] = len(step)
    error = np.square(stems[DYNAMIC] - stems[FLOAT32]).sum()
    assert 0 < error < 1e-3 * np.square(stems[FLOAT32]).sum()
    assert sizes[DYNAMIC] < sizes[FLOAT32]
    assert model.carried_step(512, DYNAMIC) is None


def test_no_step_is_converted_for_a_spectrogram_network():
    assert engines.convert_steps(SpectrogramUNetConfig(), None) == {}
