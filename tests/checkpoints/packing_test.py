"""Packing a checkpoint as a model: what it holds, and what is refused."""

import os
import shutil

import h5py
import numpy as np
import pytest

import waveunet_tf
from tests.checkpoints.conftest import MODEL_FILES
from waveunet_tf.audio import io
from waveunet_tf.checkpoints import packing, registry
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.checkpoints.checkpoint import WEIGHTS, Checkpoint, save_checkpoint
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError


def set_weight(folder, value):
    """Sets the first weight of a checkpoint; returns its name in the file."""
    names = []
    with h5py.File(folder / WEIGHTS, "r+") as file:
        file.visititems(
            lambda name, item: (
                names.append(name) if isinstance(item, h5py.Dataset) else None
            )
        )
        file[names[0]][...] = np.full(file[names[0]].shape, value)
    return names[0]


def test_a_packed_model_holds_the_weights_rounded_to_float16(tiny_checkpoint, tmp_path):
    model = tmp_path / "model"
    packing.pack(tiny_checkpoint, model, description="one")
    original = waveunet_tf.load_network(tiny_checkpoint).get_weights()
    packed = waveunet_tf.load_network(model).get_weights()
    assert len(packed) == len(original)
    for ours, theirs in zip(packed, original):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs.astype(np.float16))
    assert sorted(path.name for path in model.iterdir()) == MODEL_FILES
    sizes = [(folder / WEIGHTS).stat().st_size for folder in (model, tiny_checkpoint)]
    count = sum(weight.size for weight in original)
    assert sizes[1] - sizes[0] == pytest.approx(2 * count, rel=0.2)


def test_the_card_says_what_the_config_and_the_files_are(tiny_checkpoint, tmp_path):
    scores = {"validation vocals": 4.9}
    card = packing.pack(
        tiny_checkpoint, tmp_path / "a", description="one", median_sdr_db=scores
    )
    assert registry.read_card(tmp_path / "a") == card
    config = Checkpoint.open(tmp_path / "a").config
    assert (card.sources, card.sample_rate_hz, card.channels) == (
        list(config.sources),
        config.sample_rate_hz,
        config.channels,
    )
    assert (card.description, card.median_sdr_db) == ("one", scores)
    others = set(MODEL_FILES) - {"model.json"}
    assert set(card.files) == others
    assert card.size_bytes == sum(
        (tmp_path / "a" / name).stat().st_size for name in others
    )


def test_a_packed_model_keeps_how_it_was_trained_but_not_adams_moments(
    tiny_checkpoint, tiny_config, tmp_path
):
    network = waveunet_tf.load_network(tiny_checkpoint)
    training = TrainingConfig(seed=7)
    adam = build_adam(training)
    adam.build(network.trainable_variables)
    trained = tmp_path / "trained"
    save_checkpoint(trained, network, tiny_config, training, optimizer=adam)
    assert (trained / "optimizer.weights.h5").exists()
    packing.pack(trained, tmp_path / "a", description="one")
    packing.pack(trained, tmp_path / "b", description="one")
    assert Checkpoint.open(tmp_path / "a").training == training
    for name in MODEL_FILES:  # and nothing depends on when it was packed
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes()
    assert sorted(os.listdir(tmp_path / "a")) == MODEL_FILES


def test_a_model_packed_again_stays_the_same(packed_model, tmp_path):
    """A model is a checkpoint, and float16 is rounded once."""
    packing.pack(packed_model, tmp_path / "a", description="A tiny one")
    for name in ("config.json", "network.weights.h5"):
        assert (tmp_path / "a" / name).read_bytes() == (
            packed_model / name
        ).read_bytes()


def test_stems_of_music_lose_less_than_50_db_by_packing(tiny_checkpoint, tmp_path):
    packing.pack(tiny_checkpoint, tmp_path / "model", description="one")
    path = import_sigsep("stempeg").example_stem_path()
    song, rate_hz = io.read(path)
    song = song[2 * rate_hz : 3 * rate_hz]
    original, packed = (
        waveunet_tf.load(folder, engine="tensorflow").separate(song, rate_hz)
        for folder in (tiny_checkpoint, tmp_path / "model")
    )
    for source, stem in original.items():
        error = packed[source] - stem
        assert 0 < np.sum(error**2) < np.sum(stem**2) / 1e5


@pytest.mark.parametrize("value", [1e5, -np.inf, np.nan])
def test_weights_that_float16_cannot_hold_are_refused(tiny_checkpoint, tmp_path, value):
    name = set_weight(tiny_checkpoint, value)
    message = f"at most 65504.0.*Received: .* in {name}"
    if not np.isfinite(value):
        message = "must hold finite numbers. Received: NaN or infinity"
    with pytest.raises(InputError, match=message):
        packing.pack(tiny_checkpoint, tmp_path / "a" / "b", description="loud")
    assert not (tmp_path / "a").exists()


def test_the_largest_weight_of_float16_is_packed(tiny_checkpoint, tmp_path):
    set_weight(tiny_checkpoint, -65504)
    packing.pack(tiny_checkpoint, tmp_path / "a", description="loud")
    weights = waveunet_tf.load_network(tmp_path / "a").get_weights()
    assert min(np.min(weight) for weight in weights) == -65504


def test_a_model_that_is_too_large_is_not_written(
    tiny_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(packing, "MAX_BYTES", 9000)
    with pytest.raises(InputError, match="must have at most 0 MB. Received: 0.1 MB"):
        packing.pack(tiny_checkpoint, tmp_path / "a", description="large")
    assert not (tmp_path / "a").exists()


def test_a_checkpoint_is_not_overwritten_by_its_model(tiny_checkpoint):
    before = (tiny_checkpoint / WEIGHTS).read_bytes()
    with pytest.raises(InputError, match="must be a model or new, but is another"):
        packing.pack(tiny_checkpoint, tiny_checkpoint, description="itself")
    assert (tiny_checkpoint / WEIGHTS).read_bytes() == before


def test_weights_of_another_network_are_not_packed(tiny_checkpoint, tmp_path):
    path = tiny_checkpoint / "config.json"
    path.write_text(path.read_text().replace('"num_levels": 3', '"num_levels": 2'))
    with pytest.raises(InputError, match="must hold the config's"):
        packing.pack(tiny_checkpoint, tmp_path / "a", description="mixed up")
    assert not (tmp_path / "a").exists()


def test_a_model_that_did_not_get_there_whole_is_refused(
    tiny_checkpoint, tmp_path, monkeypatch
):
    """As if the process were killed when the first file has its name."""
    replace = os.replace

    def replace_once(part, path):
        replace(part, path)
        if not (tmp_path / "half").exists():
            shutil.copytree(tmp_path / "a", tmp_path / "half")

    monkeypatch.setattr(os, "replace", replace_once)
    packing.pack(tiny_checkpoint, tmp_path / "a", description="killed")
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "a")
    (tmp_path / "half").rename(tmp_path / "a")
    with pytest.raises(InputError, match="is missing"):
        waveunet_tf.load_network(tmp_path / "a")
    packing.pack(tiny_checkpoint, tmp_path / "a", description="whole")
    assert waveunet_tf.load_network(tmp_path / "a")


def test_steps_are_listed_and_those_of_an_earlier_model_go(tiny_checkpoint, tmp_path):
    def rounded(network):
        for variable in network.weights:
            half = np.asarray(variable).astype(np.float16)
            np.testing.assert_array_equal(np.asarray(variable), half)
        return {"step-64.tflite": b"a step", "step-64-dynamic.tflite": b"another"}

    model = tmp_path / "model"
    for convert in (rounded, lambda network: {"step-256.tflite": b"x"}):
        packing.pack(tiny_checkpoint, model, description="one", convert=convert)
    card = registry.read_card(model)
    assert {path.name for path in model.iterdir()} == {*card.files, registry.CARD}
    assert "step-256.tflite" in card.files
    packing.pack(tiny_checkpoint, model, description="one")
    assert not list(model.glob("step-*"))


def test_a_model_that_is_not_replaced_keeps_its_step(
    tiny_checkpoint, tmp_path, monkeypatch
):
    model = tmp_path / "model"
    one = {"step-64.tflite": b"a step"}
    packing.pack(tiny_checkpoint, model, description="one", convert=lambda _: one)
    monkeypatch.setattr(packing, "MAX_BYTES", 9000)
    with pytest.raises(InputError, match="must have at most"):
        packing.pack(tiny_checkpoint, model, description="large")
    registry.verify_model(model, registry.read_card(model).files)


def test_weights_that_a_training_replaces_meanwhile_are_not_mixed_with_their_step(
    tiny_checkpoint, tmp_path
):
    def convert(_):  # the step is of the weights before
        set_weight(tiny_checkpoint, 0.5)
        return {"step-64.tflite": b"a step"}

    with pytest.raises(InputError, match="weights.h5: must stay the same while"):
        packing.pack(tiny_checkpoint, tmp_path / "a", description="x", convert=convert)
    assert not (tmp_path / "a").exists()


def test_the_licence_of_weights_goes_with_their_copy(packed_model, tmp_path):
    licensed = shutil.copytree(packed_model, tmp_path / "licensed")
    (licensed / "LICENSE").write_text("for research only\n")
    packing.pack(licensed, tmp_path / "a", description="again")
    assert (tmp_path / "a" / "LICENSE").read_text() == "for research only\n"
    packing.pack(licensed, licensed, description="onto itself")
    assert (licensed / "LICENSE").read_text() == "for research only\n"


def test_a_file_of_the_users_that_is_no_step_stays(tiny_checkpoint, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for name in ("step-best.tflite", "step-64-mine.tflite", "step-64.tflite"):
        (model / name).write_text("mine")
    packing.pack(tiny_checkpoint, model, description="one")
    left = sorted(path.name for path in model.glob("step-*"))
    assert left == ["step-64-mine.tflite", "step-best.tflite"]
