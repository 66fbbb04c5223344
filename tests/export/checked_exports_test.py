import dataclasses
import json
import pathlib
import shutil

import numpy as np
import pytest
import soundfile

from tests.export.small_exports import CHUNK, music, save_network
from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.export import (
    checked_exports,
    parity,
    quantize,
    saved_model,
    saved_model_parity,
)
from waveunet_tf.export.checked_exports import TFLiteOptions
from waveunet_tf.separation.separator import load_tflite_separator
from waveunet_tf.system import own_folders

OPTIONS = TFLiteOptions(chunk_frames=CHUNK)
COST = {"factor": 1.0, "peak_mib": 1.0, "load_seconds": 1.0}


@pytest.fixture(autouse=True)
def no_processes(monkeypatch):
    """What a file costs is parity_test's."""
    monkeypatch.setattr(parity, "cost_in_a_process", lambda *_: COST)


@pytest.fixture
def songs_dir(tmp_path):
    folder = tmp_path / "songs" / "test" / "song"
    folder.mkdir(parents=True)
    mixture = music(6000)  # less than a second: scores are parity_test's
    for name, part in (("vocals", 0.4), ("accompaniment", 0.6), ("mixture", 1.0)):
        soundfile.write(folder / f"{name}.wav", part * mixture, 8000, subtype="FLOAT")
    return tmp_path / "songs"


@pytest.fixture
def converted(kept_files, monkeypatch):
    """Files of before are taken, in place of a conversion."""

    def convert(plan, kinds, excerpts):
        return [(kind, kept_files[kind].read_bytes()) for kind in kinds]

    monkeypatch.setattr(quantize, "convert_plan", convert)


def test_files_and_tables_appear_together(kept_checkpoint, songs_dir, tmp_path):
    folder = tmp_path / "out"
    paths = {kind: folder / f"{kind}.tflite" for kind in ("float32", "dynamic")}
    measured = []
    checked_exports.write_tflite_files(
        kept_checkpoint,
        paths,
        dataclasses.replace(OPTIONS, data_dir=songs_dir),
        on_measured=measured.extend,
    )
    assert sorted(path.name for path in folder.iterdir()) == [
        "dynamic.tflite",
        "float32.tflite",
        "parity.json",
        "parity.md",
    ]
    assert [row.artefact for row in measured] == ["float32.tflite", "dynamic.tflite"]
    table = json.loads((folder / "parity.json").read_text())
    assert table["songs"] == ["test/song"]
    assert load_tflite_separator(paths["dynamic"]).config.num_levels == 3


@pytest.mark.xdist_group("tflite")
@pytest.mark.usefixtures("converted")
def test_the_licence_of_weights_goes_with_their_files(
    kept_checkpoint, songs_dir, tmp_path
):
    model = shutil.copytree(kept_checkpoint, tmp_path / "model")
    (model / "LICENSE").write_text("for research only")
    paths = {"float32": tmp_path / "out" / "float32.tflite"}
    options = dataclasses.replace(OPTIONS, data_dir=songs_dir)
    checked_exports.write_tflite_files(model, paths, options)
    licence = tmp_path / "out" / "MODEL-LICENSE.txt"
    assert licence.read_text() == "for research only"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / licence.name).write_text("mine")
    paths = {"float32": tmp_path / "mine" / "float32.tflite"}
    with pytest.raises(InputError, match="MODEL-LICENSE.txt: must be a new file"):
        checked_exports.write_tflite_files(model, paths, options)


@pytest.mark.xdist_group("tflite")
@pytest.mark.usefixtures("converted")
def test_a_file_that_loses_too_much_is_not_written(
    kept_checkpoint, songs_dir, tmp_path, monkeypatch
):
    measured = []
    monkeypatch.setattr(parity, "signal_to_noise_db", lambda *_: np.array([99.0]))
    with pytest.raises(InputError, match="100 dB. Received: 99.0 dB; nothing is wri"):
        checked_exports.write_tflite_files(
            kept_checkpoint,
            {"float32": tmp_path / "out" / "x.tflite"},
            dataclasses.replace(OPTIONS, data_dir=songs_dir),
            on_measured=measured.extend,
        )
    assert [row.snr_db for row in measured] == [99.0]
    assert not (tmp_path / "out").exists()


@pytest.mark.xdist_group("tflite")
@pytest.mark.usefixtures("converted")
def test_tables_of_other_files_stay_unless_they_may_go(
    kept_checkpoint, songs_dir, tmp_path
):
    (tmp_path / "parity.md").write_text("of another file")
    options = dataclasses.replace(OPTIONS, data_dir=songs_dir)
    paths = {"float32": tmp_path / "x.tflite"}
    with pytest.raises(InputError, match=r"parity\.md: must be a new file"):
        checked_exports.write_tflite_files(kept_checkpoint, paths, options)
    assert (tmp_path / "parity.md").read_text() == "of another file"
    options = dataclasses.replace(options, overwrite=True)
    checked_exports.write_tflite_files(kept_checkpoint, paths, options)
    assert "x.tflite" in (tmp_path / "parity.md").read_text()


@pytest.mark.parametrize("kind", ["int8", "int16x8", "mixed"])
def test_ranges_need_songs(kept_checkpoint, tmp_path, kind):
    paths = {"float32": tmp_path / "x", kind: tmp_path / "y"}
    with pytest.raises(InputError, match=f"`calibration_dir` must be given for {kind}"):
        checked_exports.write_tflite_files(kept_checkpoint, paths, OPTIONS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunk_frames": 12}, "multiple of 2.num_levels"),
        ({"data_dir": "/nowhere"}, "/nowhere"),
    ],
    ids=str,
)
def test_what_does_not_fit_leaves_nothing(kept_checkpoint, tmp_path, change, message):
    paths = {"float32": tmp_path / "out" / "x.tflite"}
    options = dataclasses.replace(OPTIONS, **change)
    with pytest.raises(InputError, match=message):
        checked_exports.write_tflite_files(kept_checkpoint, paths, options)
    assert not (tmp_path / "out").exists()


@pytest.fixture
def quick_saved_model(tiny_model_dir, monkeypatch):
    """Copies a SavedModel in place of making one; says by how much it differs."""

    def write(directory, folder, *, chunk_frames):
        assert chunk_frames == saved_model.STREAM_CHUNK_FRAMES
        shutil.copytree(tiny_model_dir / "waveunet" / "1", folder, dirs_exist_ok=True)

    differences = [3e-6]
    monkeypatch.setattr(saved_model, "write_saved_model", write)
    monkeypatch.setattr(
        saved_model_parity, "largest_difference", lambda *_: differences[0]
    )
    return differences


@pytest.mark.xdist_group("saved_model")
def test_a_version_has_all_that_a_server_needs(quick_saved_model, tmp_path):
    result = checked_exports.write_version("checkpoint", tmp_path, "songs", 2)
    assert result == (3e-6, "")
    version = tmp_path / "songs" / "2"
    assert (version / "saved_model.pb").exists()
    assert (version / "assets.extra" / "tf_serving_warmup_requests").exists()
    assert "songs" in (tmp_path / "models.config").read_text()
    assert (tmp_path / "compose.yaml").exists()


@pytest.mark.xdist_group("saved_model")
def test_a_version_is_replaced_as_a_whole(quick_saved_model, tmp_path):
    version = tmp_path / "songs" / "1"
    checked_exports.write_version("checkpoint", tmp_path, "songs", 1)
    told = json.loads((version / own_folders.LIST).read_text())
    told["files"].append("old.txt")  # of a version that had one file more
    (version / own_folders.LIST).write_text(json.dumps(told))
    (version / "old.txt").touch()
    checked_exports.write_version("checkpoint", tmp_path, "songs", 1)
    assert not (version / "old.txt").exists()
    (version / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="a SavedModel only, .* such as mine.txt"):
        checked_exports.write_version("checkpoint", tmp_path, "songs", 1)
    assert (version / "mine.txt").read_text() == "mine"
    _, hint = checked_exports.write_version("checkpoint", tmp_path, "songs", 2)
    assert "models.config stays as it is" in hint
    folders = sorted(path.name for path in (tmp_path / "songs").iterdir())
    assert folders == ["1", "2"]


@pytest.mark.xdist_group("saved_model")
@pytest.mark.parametrize("difference", [1.1e-5, float("nan")])
def test_a_version_that_differs_is_not_written(quick_saved_model, tmp_path, difference):
    checked_exports.write_version("checkpoint", tmp_path / "m", "songs", 1)
    quick_saved_model[0] = difference
    with pytest.raises(InputError, match="at most 1e-05, but differs by .* not writ"):
        checked_exports.write_version("checkpoint", tmp_path / "m", "songs", 1)
    with pytest.raises(InputError, match=f"{tmp_path}/new/songs/1: must differ"):
        checked_exports.write_version("checkpoint", tmp_path / "new", "songs", 1)
    # What was there is there still.
    assert (tmp_path / "m" / "songs" / "1" / "saved_model.pb").exists()
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["ex[1]", "a*b", "wh?t"])
def test_a_path_that_is_a_pattern_to_tensorflow_is_refused(tmp_path, monkeypatch, name):
    with pytest.raises(InputError, match="takes for a pattern"):
        checked_exports.write_version("checkpoint", tmp_path / name, "songs", 1)
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)  # and where only the way to it is one
    with pytest.raises(InputError, match="takes for a pattern"):
        checked_exports.write_version("checkpoint", pathlib.Path("out"), "songs", 1)
    assert not list((tmp_path / name).iterdir())


@pytest.mark.slow
def test_a_network_without_stream_is_served_in_windows(tmp_path):
    config = SpectrogramUNetConfig(
        num_levels=2, base_filters=2, fft_frames=16, hop_frames=8, output_frames=40
    )
    save_network(tmp_path / "c", config)
    difference, _ = checked_exports.write_version(
        tmp_path / "c", tmp_path / "m", "songs", 1
    )
    assert difference < 1e-5
