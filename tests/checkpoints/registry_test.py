"""Models by name: packing, finding, listing, and what is said to bad ones."""

import json
import os
import pathlib
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import soundfile

import waveunet_tf
from evaluate import estimators
from export import tflite
from tests.command_line import ROOT, check_refusal, run
from waveunet_tf.audio import io
from waveunet_tf.checkpoints import checkpoint, packing, registry
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError

PACK = "waveunet_tf pack"
SEPARATE = "waveunet_tf separate"
FILES = ["config.json", "model.json", "network.weights.h5"]


@pytest.fixture
def models_dir(tmp_path, monkeypatch):
    """An empty folder of models, for this process and the commands it runs."""
    monkeypatch.setenv(registry.FOLDER_VARIABLE, str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def vocals(tiny_checkpoint, models_dir):
    """The folder of a model called vocals."""
    packing.pack(
        tiny_checkpoint,
        models_dir / "vocals",
        description="A tiny one",
        median_sdr_db={"validation vocals": 4.9},
    )
    return models_dir / "vocals"


@pytest.fixture
def song(tmp_path):
    """Noise, half a second at the tiny network's rate."""
    path = tmp_path / "song.wav"
    noise = np.random.default_rng(0).normal(0, 0.1, (4000, 2))
    soundfile.write(path, noise, 8000, subtype="FLOAT")
    return path


def edit_manifest(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def set_weight(folder, value):
    """Sets the first weight of a checkpoint; gives its name in the file."""
    names = []
    with h5py.File(folder / checkpoint.WEIGHTS, "r+") as file:
        file.visititems(
            lambda name, item: (
                names.append(name) if isinstance(item, h5py.Dataset) else None
            )
        )
        file[names[0]][...] = np.full(file[names[0]].shape, value)
    return names[0]


def test_a_packed_model_holds_the_weights_rounded_to_float16(tiny_checkpoint, vocals):
    original = waveunet_tf.load_network(tiny_checkpoint).get_weights()
    packed = waveunet_tf.load_network(vocals).get_weights()
    assert len(packed) == len(original)
    for ours, theirs in zip(packed, original):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs.astype(np.float16))
    assert sorted(path.name for path in vocals.iterdir()) == FILES
    sizes = [(d / checkpoint.WEIGHTS).stat().st_size for d in (vocals, tiny_checkpoint)]
    count = sum(weight.size for weight in original)
    assert sizes[1] - sizes[0] == pytest.approx(2 * count, rel=0.2)


def test_a_packed_model_keeps_how_it_was_trained_but_no_optimizer(
    tiny_checkpoint, tiny_config, tmp_path
):
    network = waveunet_tf.load_network(tiny_checkpoint)
    training = TrainingConfig(seed=7)
    adam = build_adam(training)
    adam.build(network.trainable_variables)
    trained = tmp_path / "trained"
    checkpoint.save_checkpoint(trained, network, tiny_config, training, optimizer=adam)
    assert (trained / "optimizer.weights.h5").exists()
    packing.pack(trained, tmp_path / "a", description="one")
    packing.pack(trained, tmp_path / "b", description="one")
    assert checkpoint.Checkpoint.open(tmp_path / "a").training == training
    for name in FILES:  # and nothing depends on when it was packed
        assert (tmp_path / "a" / name).read_bytes() == (
            tmp_path / "b" / name
        ).read_bytes()
    assert sorted(os.listdir(tmp_path / "a")) == FILES


def test_stems_of_music_lose_less_than_50_db_by_packing(tiny_checkpoint, vocals):
    path = import_sigsep("stempeg").example_stem_path()
    song, rate_hz = io.read(path)
    song = song[2 * rate_hz : 3 * rate_hz]
    original, packed = (
        waveunet_tf.load(folder, engine="tensorflow").separate(song, rate_hz)
        for folder in (tiny_checkpoint, vocals)
    )
    for source, stem in original.items():
        error = packed[source] - stem
        assert 0 < np.sum(error**2) < np.sum(stem**2) / 1e5


@pytest.mark.parametrize("value", [1e5, -np.inf, np.nan])
def test_weights_that_float16_cannot_hold_are_refused(tiny_checkpoint, tmp_path, value):
    name = set_weight(tiny_checkpoint, value)
    with pytest.raises(InputError, match=f"at most 65504.0.*Received: .* in {name}"):
        packing.pack(tiny_checkpoint, tmp_path / "a" / "b", description="loud")
    assert not (tmp_path / "a").exists()


def test_a_model_that_is_too_large_is_not_written(
    tiny_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(packing, "MAX_BYTES", 9000)
    with pytest.raises(InputError, match="must have at most 0 MB. Received: 0.1 MB"):
        packing.pack(tiny_checkpoint, tmp_path / "a", description="large")
    assert not (tmp_path / "a").exists()


def test_a_checkpoint_is_not_overwritten_by_its_model(tiny_checkpoint):
    before = (tiny_checkpoint / checkpoint.WEIGHTS).read_bytes()
    with pytest.raises(InputError, match="must be a model or new, but is another"):
        packing.pack(tiny_checkpoint, tiny_checkpoint, description="itself")
    assert (tiny_checkpoint / checkpoint.WEIGHTS).read_bytes() == before


def test_a_model_that_did_not_get_there_whole_is_refused(
    tiny_checkpoint, tmp_path, monkeypatch
):
    """As if the process were killed when the first file has its name."""

    class Killed(BaseException):
        pass

    replace = os.replace

    def replace_once(part, path):
        replace(part, path)
        raise Killed

    monkeypatch.setattr(os, "replace", replace_once)
    with pytest.raises(Killed):
        packing.pack(tiny_checkpoint, tmp_path / "a", description="half")
    monkeypatch.undo()
    with pytest.raises(InputError, match="is missing"):
        waveunet_tf.load_network(tmp_path / "a")
    packing.pack(tiny_checkpoint, tmp_path / "a", description="whole")
    assert waveunet_tf.load_network(tmp_path / "a")


def test_a_name_is_a_model_where_there_is_no_such_path(vocals, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert registry.find("vocals") == vocals
    assert registry.find(vocals) == vocals
    network, separator = waveunet_tf.load_network("vocals"), waveunet_tf.load("vocals")
    assert network.count_params() == waveunet_tf.load_network(vocals).count_params()
    assert separator.config == checkpoint.Checkpoint.open("vocals").config
    (tmp_path / "vocals").mkdir()  # a folder of the user's own is meant first
    with pytest.raises(InputError, match="^vocals: must be a checkpoint"):
        waveunet_tf.load("vocals")
    with pytest.raises(InputError, match="^other/vocals: must be a checkpoint"):
        waveunet_tf.load("other/vocals")


@pytest.mark.parametrize("load", [waveunet_tf.load, waveunet_tf.load_network])
def test_an_unknown_name_is_refused_with_the_known_ones(vocals, load):
    with pytest.raises(InputError) as error:
        load("vocls")
    assert str(error.value) == (
        "vocls: must be a checkpoint's folder, but there is none, or a model's name; "
        f"{vocals.parent} has vocals"
    )


def change_byte(path):
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def edit_config(folder):
    path = folder / "config.json"
    path.write_text(path.read_text().replace("8000", "8001"))


BAD_MODELS = {
    "changed": (
        lambda folder: change_byte(folder / "network.weights.h5"),
        "network.weights.h5: must be as it was packed, of sha256",
    ),
    "other_rate": (edit_config, "config.json: must be as it was packed, of sha256"),
    "cut": (
        lambda folder: os.truncate(folder / "network.weights.h5", 5000),
        "network.weights.h5: must be as it was packed, of size_bytes",
    ),
    "missing": (
        lambda folder: (folder / "network.weights.h5").unlink(),
        "network.weights.h5: must be a file of the model, but is missing",
    ),
    "older": (
        lambda folder: edit_manifest(folder, format_version=0),
        "model.json: `format_version` must be 1. Received: 0",
    ),
    "newer": (
        lambda folder: edit_manifest(folder, format_version=2, colour="red"),
        "model.json: `format_version` must be 1. Received: 2",
    ),
    "no_json": (lambda folder: os.truncate(folder / "model.json", 30), "must be JSON"),
    "list": (lambda folder: (folder / "model.json").write_text("[1]"), "version` must"),
    "new_field": (
        lambda folder: edit_manifest(folder, colour="red"),
        "have the fields",
    ),
    "no_files": (lambda folder: edit_manifest(folder, files={}), "size_bytes None"),
    "files": (lambda folder: edit_manifest(folder, files={"a": 1}), "`files` is not"),
    "scores": (
        lambda folder: edit_manifest(folder, median_sdr_db={"valid": "good"}),
        "`median_sdr_db` is not",
    ),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_a_bad_model_is_refused_by_name_and_by_path(vocals, name):
    damage, message = BAD_MODELS[name]
    damage(vocals)
    for load in (waveunet_tf.load, waveunet_tf.load_network):
        for model in ("vocals", vocals):
            with pytest.raises(InputError) as error:
                load(model)
            assert message in str(error.value)
            assert str(vocals) in str(error.value)


def test_a_model_that_was_changed_is_refused_although_its_step_is_kept(vocals):
    assert waveunet_tf.load("vocals", engine="litert", chunk_frames=256)
    assert (vocals / "cache").is_dir()
    edit_manifest(vocals, format_version=2)
    with pytest.raises(InputError, match="Received: 2"):
        waveunet_tf.load("vocals", engine="litert", chunk_frames=256)


def test_separating_takes_the_model_in_the_box(vocals, song, tmp_path):
    """Without a flag, by its name, and by its path: the same stems."""
    command = [sys.executable, "-m", *SEPARATE.split(), song]
    subprocess.run(
        [*command, "--engine=tensorflow"],
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    written = sorted((tmp_path / "stems" / "song").iterdir())
    assert [path.name for path in written] == ["accompaniment.wav", "vocals.wav"]
    noise, _ = io.read(song)
    expected = waveunet_tf.load(vocals, engine="tensorflow").separate(noise, 8000)
    for path in written:
        np.testing.assert_allclose(io.read(path)[0], expected[path.stem], atol=1e-6)


def test_separating_without_a_model_is_refused_in_one_line(models_dir, vocals, song):
    check_refusal(run(SEPARATE, "--model=vocls", song), 1, "vocls", "has vocals")
    check_refusal(run(SEPARATE), 2, "needs audio files")
    both = run(SEPARATE, "--model=vocals", "--checkpoint=a", song)
    check_refusal(both, 2, "At most one of")
    for path in vocals.iterdir():
        path.unlink()
    refused = run(SEPARATE, f"--output_dir={models_dir}/stems", song)
    check_refusal(
        refused, 1, f"{models_dir} has none (--checkpoint names one of your own)"
    )
    assert not (models_dir / "stems").exists()


def test_models_are_listed_and_broken_ones_told(models_dir, vocals, tiny_checkpoint):
    listed = run(SEPARATE, "--list_models")
    size = sum((vocals / name).stat().st_size for name in FILES if name != FILES[1])
    assert listed.returncode == 0
    assert listed.stdout.splitlines() == [
        f"vocals: accompaniment, vocals; 8000 Hz stereo; {size / 1e6:.1f} MB",
        "  A tiny one",
        "  median SDR: validation vocals 4.90 dB",
    ]
    packing.pack(tiny_checkpoint, models_dir / "newer", description="of tomorrow")
    edit_manifest(models_dir / "newer", format_version=2)
    listed = run(SEPARATE, "--list_models")
    check_refusal(listed, 1, "newer/model.json", "Received: 2")
    assert listed.stdout.startswith("vocals: ")


def test_packing_as_a_user_does(tiny_checkpoint, models_dir):
    own = models_dir.parent / "own"
    command = [
        *(PACK, f"--checkpoint={tiny_checkpoint}", f"--output_dir={own}"),
        *("--name=tiny", "--description=Ein Modell, größer als nichts"),
    ]
    result = run(*command, "--median_sdr_db=a=b=1.5")
    assert result.returncode == 0, result.stderr
    assert registry.read_card(own / "tiny").median_sdr_db == {"a=b": 1.5}
    (own / "tiny" / "README.md").write_text("the model's card")
    check_refusal(run(*command), 1, f"{own}/tiny/config.json: must be a new file")
    assert run(*command, "--overwrite").returncode == 0
    manifest = registry.read_card(own / "tiny")
    assert manifest.description == "Ein Modell, größer als nichts"
    assert manifest.median_sdr_db == {}
    assert sorted(os.listdir(own / "tiny")) == ["README.md", *FILES]
    assert waveunet_tf.load_network(own / "tiny")

    for flag, text in {
        "--name=../vocals": "--name must be of letters",
        "--description=a\nb": "--description must be one line",
        "--median_sdr_db=good=nan": "--median_sdr_db must be WHAT=DB",
    }.items():
        check_refusal(run(*command, flag), 2, text)


def test_what_summarises_exports_and_scores_takes_a_models_name(vocals):
    summary = run("waveunet_tf describe", "--checkpoint=vocals")
    assert summary.returncode == 0, summary.stderr
    plan = tflite.plan("vocals", "streaming", 256)
    assert plan.config == checkpoint.Checkpoint.open(vocals).config
    estimator = estimators.of_network("checkpoint", "vocals")
    assert estimator.path == str(vocals)
    assert estimator == estimators.of_network("checkpoint", str(vocals))


def test_an_installed_package_carries_its_models(tiny_checkpoint, tmp_path):
    """A copy of the project with a model, built as `pip install .` builds it."""
    project = tmp_path / "project"
    package = project / "waveunet_tf"
    package.mkdir(parents=True)
    for name in ("pyproject.toml", "requirements.txt", "README.md"):
        (project / name).write_bytes((ROOT / name).read_bytes())
    (package / "__init__.py").touch()
    model = package / "pretrained" / "vocals"
    packing.pack(tiny_checkpoint, model, description="A tiny one")
    (model / "README.md").write_text("the model's card")
    (model / "cache").mkdir()
    (model / "cache" / "step.tflite").touch()
    code = "from setuptools import build_meta as b; b.build_wheel('dist')"
    subprocess.run(
        [sys.executable, "-c", code], cwd=project, check=True, capture_output=True
    )
    (wheel,) = (project / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = [name for name in archive.namelist() if "pretrained" in name]
    assert sorted(pathlib.PurePath(name).name for name in carried) == [
        "README.md",
        *FILES,
    ]
