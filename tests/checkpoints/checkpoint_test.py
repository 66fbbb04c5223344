import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

import waveunet_tf
from tests.command_line import ROOT
from waveunet_tf.checkpoints import checkpoint, packing, registry
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.system import files


def test_a_loaded_network_computes_what_the_saved_one_did(tiny_config, tmp_path):
    network = build_network(tiny_config)
    checkpoint.save_checkpoint(tmp_path / "a", network, tiny_config, TrainingConfig())
    assert checkpoint.Checkpoint.open(tmp_path / "a").config == tiny_config
    loaded = waveunet_tf.load_network(tmp_path / "a")
    frames = shapes.window_frames(tiny_config).input_frames
    noise = np.random.default_rng(0).normal(0, 0.1, (1, frames, 2))
    for source, estimate in network(noise).items():
        np.testing.assert_array_equal(
            np.asarray(loaded(noise)[source]), np.asarray(estimate)
        )


def test_a_saved_checkpoint_is_two_files(tiny_checkpoint):
    names = sorted(path.name for path in tiny_checkpoint.iterdir())
    assert names == ["config.json", "network.weights.h5"]


def edit_config(folder, **changes):
    values = json.loads((folder / "config.json").read_text())
    values["network"].update(changes.pop("network", {}))
    (folder / "config.json").write_text(json.dumps({**values, **changes}))


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "a folder with config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "must be JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "a `network`"),
        (lambda folder: edit_config(folder, format_version=99), "Received: 99"),
        (
            lambda folder: edit_config(folder, network={"channels": 7}),
            "`channels` must",
        ),
        (lambda folder: edit_config(folder, network={"new": 7}), "has the fields"),
        (lambda folder: edit_config(folder, network={"num_levels": 4}), "arrays"),
        (lambda folder: edit_config(folder, network={"num_levels": 2}), "arrays"),
        (lambda folder: edit_config(folder, network={"base_filters": 5}), "arrays"),
        (lambda folder: (folder / "network.weights.h5").unlink(), "is missing"),
        (lambda folder: cut(folder / "network.weights.h5"), "is broken"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tiny_checkpoint, damage, message):
    damage(tiny_checkpoint)
    with pytest.raises(InputError) as error:
        waveunet_tf.load_network(tiny_checkpoint)
    assert message in str(error.value)
    assert str(tiny_checkpoint) in str(error.value)


def test_weights_of_other_layers_of_the_same_shapes_keep_their_place(
    tiny_config, tmp_path
):
    """Keras names arrays by class and number: the order must survive the file."""
    network = build_network(tiny_config)
    for number, weight in enumerate(network.weights):
        weight.assign(np.full(weight.shape, number))
    checkpoint.save_checkpoint(tmp_path / "a", network, tiny_config)
    keras.backend.clear_session()
    loaded = waveunet_tf.load_network(tmp_path / "a")
    for number, weight in enumerate(loaded.weights):
        assert np.all(np.asarray(weight) == number)


@pytest.mark.parametrize("load", [waveunet_tf.load, waveunet_tf.load_network])
@pytest.mark.parametrize("named", [True, False])
def test_loading_a_model_hashes_and_parses_each_of_its_files_once(
    tiny_checkpoint, tmp_path, monkeypatch, load, named
):
    monkeypatch.setenv(registry.FOLDER_VARIABLE, str(tmp_path / "models"))
    model = tmp_path / "models" / "tiny"
    packing.pack(tiny_checkpoint, model, description="A tiny one")
    hashed, parsed = [], []

    def note_hash(path):
        hashed.append(path)
        return file_sha256(path)

    def note_reading(path, **options):
        parsed.append(path)
        return read_text(path, **options)

    file_sha256, read_text = files.file_sha256, pathlib.Path.read_text
    monkeypatch.setattr(files, "file_sha256", note_hash)
    monkeypatch.setattr(pathlib.Path, "read_text", note_reading)
    load("tiny" if named else model)
    assert sorted(hashed) == [model / "config.json", model / "network.weights.h5"]
    for name in ("config.json", "model.json"):
        assert parsed.count(model / name) == 1


def test_a_config_is_read_without_tensorflow_or_keras(tiny_checkpoint):
    code = (
        "import sys; from waveunet_tf.checkpoints.checkpoint import Checkpoint;"
        f"print(Checkpoint.open({str(tiny_checkpoint)!r}).config.num_levels,"
        "[name for name in ('tensorflow', 'keras', 'h5py') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.stdout.split() == ["3", "[]"], result.stderr
