import json
import pickle

import pytest

from waveunet_tf.checkpoints import registry
from waveunet_tf.errors import InputError
from waveunet_tf.separation.separator_source import CheckpointSource, TFLiteSource


def opened(place, **options):
    return CheckpointSource.open(place, overrides={}, **options)


def test_a_checkpoint_goes_elsewhere_and_is_loaded_there(
    tiny_checkpoint, tmp_path, monkeypatch, tiny_config
):
    monkeypatch.chdir(tmp_path)
    source = pickle.loads(pickle.dumps(opened("checkpoint", engine="litert")))
    monkeypatch.chdir("/")
    assert source.place == str(tiny_checkpoint)
    assert source.load().config == tiny_config


@pytest.mark.parametrize("name", ["config.json", "network.weights.h5"])
def test_another_network_in_its_place_is_refused(tiny_checkpoint, name):
    source = opened(tiny_checkpoint)
    path = tiny_checkpoint / name
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(InputError, match="must be the network of hash"):
        source.load()


def test_a_model_is_known_by_its_name_wherever_it_lies():
    source = opened(registry.DEFAULT)
    assert source.place == registry.DEFAULT
    assert source.sha256 == opened(registry.folder_of(registry.DEFAULT)).sha256


def test_overrides_are_the_configs(tiny_checkpoint):
    with pytest.raises(InputError, match="has no `phase_iterations` to change"):
        CheckpointSource.open(tiny_checkpoint, overrides={"phase_iterations": 3})


def test_a_tflite_file_is_loaded_only_as_it_was(tmp_path):
    path, *_ = registry.folder_of(registry.DEFAULT).glob("step-*.tflite")
    with pytest.raises(InputError):  # a step of ours, but no file of `export`
        TFLiteSource.open(path)
    source = TFLiteSource(str(tmp_path / "x.tflite"), ("vocals",), "0" * 64)
    (tmp_path / "x.tflite").write_text(json.dumps(1))
    with pytest.raises(InputError, match="x.tflite: must be the network of hash 0000"):
        source.load()
