"""Models by name: finding, describing, and what is said to bad ones."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

import waveunet_tf
from tests import documents
from tests.checkpoints.conftest import MODEL_FILES, edit_json
from tests.command_line import ROOT, run_python
from waveunet_tf.checkpoints import registry
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import estimators
from waveunet_tf.export import tflite

CARD_VALUES = {
    "description": "one",
    "sources": ["accompaniment", "vocals"],
    "sample_rate_hz": 8000,
    "channels": 2,
    "median_sdr_db": {"valid": 1.5, "test": 2},
    "files": {
        "a": {"size_bytes": 3, "sha256": "00"},
        "b": {"size_bytes": 4, "sha256": ""},
    },
}


def test_the_users_models_lie_in_his_home_unless_he_names_a_folder(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for value in (None, ""):
        monkeypatch.delenv(registry.FOLDER_VARIABLE, raising=False)
        if value is not None:
            monkeypatch.setenv(registry.FOLDER_VARIABLE, value)
        assert registry.own_folder() == tmp_path / ".local/share/waveunet_tf/models"
    monkeypatch.setenv(registry.FOLDER_VARIABLE, "~/models")
    assert registry.own_folder() == tmp_path / "models"


def test_a_users_model_hides_only_one_of_its_own_name(vocals, models_dir):
    for name in ("vocals", "drums"):
        (registry.PACKAGED / name).mkdir(parents=True)
        (registry.PACKAGED / name / "model.json").touch()
    assert registry.names() == ["drums", "vocals"]
    assert registry.folder_of("vocals") == registry.find("vocals") == vocals
    assert registry.folder_of("drums") == registry.PACKAGED / "drums"


def test_models_of_installed_packages_are_found(vocals, models_dir, monkeypatch):
    """After the user's own, and before those of the project's package."""
    found = models_dir.parent
    for folder in (found / "site", found / "path"):
        for name in ("vocals", "drums-2"):
            shutil.copytree(vocals, folder / registry.NAMESPACE / name)
        monkeypatch.syspath_prepend(folder)
    (registry.PACKAGED / "drums-2").mkdir(parents=True)
    (registry.PACKAGED / "drums-2" / "model.json").touch()
    assert registry.names() == ["drums-2", "vocals"]
    assert registry.folder_of("vocals") == vocals
    first = found / "path" / registry.NAMESPACE / "drums-2"
    assert registry.find("drums-2") == first
    assert Checkpoint.open("drums-2").directory == first


@pytest.mark.slow  # network
def test_a_model_becomes_a_package_as_the_page_says(packed_model, tmp_path):
    page = (ROOT / "docs" / "separate.md").read_text()
    (project,) = [x for x in documents.blocks(page) if x.language == "toml"]
    (tmp_path / "pyproject.toml").write_text(project.text)
    shutil.copytree(packed_model, tmp_path / "waveunet_tf_models" / "my-voices")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    result = subprocess.run(
        [*pip, "--target", tmp_path / "site", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    if "hatchling" in result.stderr:
        pytest.skip(f"needs PyPI's hatchling: {result.stderr.splitlines()[-1]}")
    assert result.returncode == 0, result.stderr
    shutil.rmtree(tmp_path / "waveunet_tf_models")
    site = str(tmp_path / "site")
    told = run_python("-m", "waveunet_tf", "models", PYTHONPATH=site)
    assert told.returncode == 0, told.stderr
    assert "my-voices" in told.stdout and "A tiny one" in told.stdout


def test_the_package_has_the_default_model():
    package = pathlib.Path(waveunet_tf.__file__).parent
    assert registry.PACKAGED == package / "pretrained"
    assert (registry.folder_of(registry.DEFAULT) / registry.CARD).is_file()


def test_an_alias_is_a_name_of_a_model_of_the_package(monkeypatch, tmp_path):
    """One that has a folder of its own would say nothing."""
    monkeypatch.setenv(registry.FOLDER_VARIABLE, str(tmp_path))
    assert registry.names() == ["vocals", "vocals-small"]
    for alias, name in registry.ALIASES.items():
        assert not (registry.PACKAGED / alias).exists()
        assert registry.find(alias) == registry.PACKAGED / name
        first, *others = registry.describe_model(alias).splitlines()
        assert first.startswith(f"{alias}: the same as {name}") and not others


def test_a_folder_precedes_an_alias(packed_model, models_dir):
    """The package's model, then one of its own, then the user's."""
    for name, expected in {
        registry.PACKAGED / "vocals-small": "vocals-small",
        registry.PACKAGED / "vocals": "vocals",
        models_dir / "vocals-small": "vocals",  # only his own vocals would do
        models_dir / "vocals": "vocals",
    }.items():
        shutil.copytree(packed_model, name)
        assert registry.folder_of("vocals").name == expected
    assert registry.folder_of("vocals").parent == models_dir
    assert registry.names() == ["vocals", "vocals-small"]


def test_models_are_the_folders_that_have_a_card(vocals, models_dir):
    (models_dir / "empty").mkdir()
    (models_dir / "file").write_text("no folder")
    (models_dir / "another").mkdir()
    (models_dir / "another" / "model.json").touch()
    assert registry.names() == ["another", "vocals"]
    assert registry.folder_of("vocals") == vocals
    for name in ("empty", "file", "", "vocals/../vocals", str(vocals)):
        with pytest.raises(InputError, match="must be a model's name; .* have another"):
            registry.folder_of(name)


def test_without_any_model_the_folder_is_named(models_dir):
    assert registry.names() == []
    with pytest.raises(InputError) as error:
        registry.folder_of("vocals")
    assert str(error.value) == (
        f"vocals: must be a model's name; {models_dir} and the packages have none"
    )


def test_a_name_is_a_model_where_there_is_no_such_path(vocals, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert registry.find("vocals") == vocals
    assert registry.find(vocals) == vocals
    network = waveunet_tf.load_network("vocals")
    separator = waveunet_tf.load("vocals", engine="tensorflow")
    assert network.count_params() == waveunet_tf.load_network(vocals).count_params()
    assert separator.config == Checkpoint.open("vocals").config
    (tmp_path / "vocals").mkdir()  # a folder of the user's own is meant first
    with pytest.raises(InputError, match="^vocals: must be a checkpoint"):
        waveunet_tf.load("vocals")
    with pytest.raises(InputError, match="^other/vocals: must be a checkpoint"):
        waveunet_tf.load("other/vocals")


def test_a_path_is_found_whether_or_not_it_is_there(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert registry.find("~/m4/best") == tmp_path / "m4" / "best"
    for path in ("./vocals", "a/b", "/nowhere"):
        assert registry.find(path) == pathlib.Path(path)


@pytest.mark.parametrize("load", [waveunet_tf.load, waveunet_tf.load_network])
def test_an_unknown_name_is_refused_with_the_known_ones(vocals, load):
    with pytest.raises(InputError) as error:
        load("vocls")
    assert str(error.value) == (
        "vocls: must be a checkpoint's folder, but there is none, or a model's name; "
        f"{vocals.parent} and the packages have vocals"
    )


def change_byte(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def change_rate(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace("8000", "8001"))


def edit_card(folder, **changes):
    edit_json(folder / "model.json", **changes)


BAD_MODELS = {
    "changed": (
        lambda folder: change_byte(folder / "network.weights.h5"),
        "network.weights.h5: must be as it was packed, of sha256",
    ),
    "other_rate": (change_rate, "config.json: must be as it was packed, of sha256"),
    "cut": (
        lambda folder: os.truncate(folder / "network.weights.h5", 5000),
        "network.weights.h5: must be as it was packed, of size_bytes",
    ),
    "missing": (
        lambda folder: (folder / "network.weights.h5").unlink(),
        "network.weights.h5: must be a file of the model, but is missing",
    ),
    "older": (
        lambda folder: edit_card(folder, format_version=0),
        "model.json: `format_version` must be 1. Received: 0",
    ),
    "newer": (
        lambda folder: edit_card(folder, format_version=2, colour="red"),
        "model.json: `format_version` must be 1. Received: 2",
    ),
    "no_json": (lambda folder: os.truncate(folder / "model.json", 30), "must be JSON"),
    "list": (lambda folder: (folder / "model.json").write_text("[1]"), "version` must"),
    "new_field": (
        lambda folder: edit_card(folder, colour="red"),
        "must have the fields",
    ),
    "no_files": (lambda folder: edit_card(folder, files={}), "size_bytes None"),
    "files": (
        lambda folder: edit_card(folder, files={"a": 1}),
        "model.json: `files` must be what `pack` writes. Received: {'a': 1}",
    ),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_model_is_refused_by_name_and_by_path(vocals, name):
    damage, message = BAD_MODELS[name]
    damage(vocals)
    for load in (waveunet_tf.load, waveunet_tf.load_network, Checkpoint.open):
        for model in ("vocals", vocals):
            with pytest.raises(InputError) as error:
                load(model)
            assert message in str(error.value)
            assert str(error.value).startswith(str(vocals))


def test_a_model_that_was_changed_is_refused_although_its_step_is_kept(
    vocals, new_cache
):
    assert waveunet_tf.load("vocals", engine="litert", chunk_frames=256)
    assert list(new_cache.glob("*.tflite"))
    edit_card(vocals, format_version=2)
    with pytest.raises(InputError, match="Received: 2"):
        waveunet_tf.load("vocals", engine="litert", chunk_frames=256)


def test_verifying_gives_the_hashes_of_the_files_that_were_asked_for(vocals):
    hashes = registry.verify_model(vocals, ["config.json"])
    content = (vocals / "config.json").read_bytes()
    assert hashes == {"config.json": hashlib.sha256(content).hexdigest()}
    change_byte(vocals / "network.weights.h5")
    assert registry.verify_model(vocals, ["config.json"]) == hashes
    (vocals / "model.json").unlink()  # any checkpoint: there is nothing to compare
    assert registry.verify_model(vocals, MODEL_FILES) == {}


def test_a_card_has_the_size_of_all_files():
    assert registry.ModelCard(**CARD_VALUES).size_bytes == 7


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", None),
        ("sources", "vocals"),
        ("sources", ["vocals", 3]),
        ("sample_rate_hz", 22050.0),
        ("sample_rate_hz", True),
        ("channels", "2"),
        ("median_sdr_db", [4.9]),
        ("median_sdr_db", {"valid": "good"}),
        ("files", ["a"]),
        ("files", {"a": {"size_bytes": 3}}),
        ("files", {"a": {"size_bytes": "3", "sha256": "00"}}),
    ],
)
def test_a_card_with_a_value_of_the_wrong_type_is_refused(field, value):
    with pytest.raises(InputError) as error:
        registry.ModelCard(**{**CARD_VALUES, field: value})
    assert str(error.value) == (
        f"`{field}` must be what `pack` writes. Received: {value!r}"
    )


def test_a_card_is_read_as_it_was_written(tmp_path):
    card = registry.ModelCard(**{**CARD_VALUES, "description": "größer"})
    registry.write_card(tmp_path / "model.json", card)
    values = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    assert values == {"format_version": 1, **CARD_VALUES, "description": "größer"}
    assert registry.read_card(tmp_path) == card
    with pytest.raises(FileNotFoundError):
        registry.read_card(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "line", "text"),
    [
        ({}, 0, "vocals: accompaniment, vocals; 8000 Hz stereo; 2.0 MB"),
        ({"channels": 1}, 0, "vocals: accompaniment, vocals; 8000 Hz mono; 2.0 MB"),
        ({"channels": 6}, 0, "vocals: accompaniment, vocals; 8000 Hz ?; 2.0 MB"),
        ({"description": "größer"}, 1, "  größer"),
        ({}, 2, "  median SDR: valid 1.50 dB; test 2.00 dB"),
        ({"median_sdr_db": {}}, 2, "  median SDR: not known"),
    ],
)
def test_a_model_is_described_in_three_lines(models_dir, changes, line, text):
    folder = models_dir / "vocals"
    folder.mkdir(parents=True)
    files = {
        "a": {"size_bytes": 1_500_000, "sha256": ""},
        "b": {"size_bytes": 500_000, "sha256": ""},
    }
    values = {"format_version": 1, **CARD_VALUES, "files": files, **changes}
    (folder / "model.json").write_text(json.dumps(values))
    lines = registry.describe_model("vocals").splitlines()
    assert len(lines) == 3
    assert lines[line] == text


def test_what_exports_and_scores_takes_a_models_name(vocals):
    plan = tflite.plan("vocals", "streaming", 256)
    assert plan.config == Checkpoint.open(vocals).config
    estimator = estimators.CheckpointEstimator.open("vocals")
    assert estimator.path == str(vocals)
    assert estimator == estimators.CheckpointEstimator.open(str(vocals))
