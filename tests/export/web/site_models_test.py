import hashlib
import importlib.util
import json
import pathlib
import tempfile

import numpy as np
import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.export.web import libraries, site_folder, site_models
from waveunet_tf.separation.separator import load_separator, load_tflite_separator


def test_a_file_is_taken_as_it_is(small_separators, tmp_path, monkeypatch):
    path, _ = small_separators["stereo"]
    monkeypatch.setenv("HOME", str(path.parent))
    (line,) = site_models.write_models([f"~/{path.name}"], [], 0, tmp_path)
    content = (tmp_path / line.file).read_bytes()
    assert content == path.read_bytes()
    assert line.bytes == len(content)
    assert line.sha256 == hashlib.sha256(content).hexdigest()
    told = json.loads(json.dumps(line.to_json()))
    assert told["name"] == "stereo" and told["quantization"] == "float32"
    assert told["sampleRateHz"] == 8000 and told["channels"] == 2
    assert told["sources"] == ["accompaniment", "vocals"]


def test_models_are_required_before_anything_is_fetched(
    small_separators, tiny_checkpoint, tmp_path, monkeypatch
):
    path, _ = small_separators["stereo"]
    monkeypatch.setenv("HOME", str(path.parent))
    there = ["vocals-small", str(tiny_checkpoint), f"~/{path.name}"]
    site_models.require_models(there)
    for missing in (str(tmp_path), "nothing", "~/nothing.tflite"):
        with pytest.raises((InputError, OSError), match=missing.strip("~")):
            site_models.require_models([*there, missing])
    monkeypatch.setattr(libraries, "fetched_libraries", None)  # it is not called
    with pytest.raises(InputError, match="nothing"):
        site_folder.write_site(tmp_path, ["nothing"], [], 0)


def test_two_models_of_a_name_and_other_files_are_refused(
    small_separators, tmp_path, monkeypatch
):
    # vocals-small then brings its own files, which takes less time than an export.
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    path, _ = small_separators["stereo"]
    exported = tmp_path / "vocals-small-float32.tflite"
    exported.write_bytes(path.read_bytes())
    twice = "names that differ. Received: {} twice"
    both = ["vocals-small", str(exported)]
    for models, words in [
        ([str(path), str(path)], twice.format("stereo")),
        (both, twice.format(exported.stem)),
        (both[::-1], twice.format(exported.stem)),
        ([str(tmp_path / "bad.tflite")], "bad.tflite: must be a TFLite file"),
    ]:
        (tmp_path / "bad.tflite").write_text("none")
        site = pathlib.Path(tempfile.mkdtemp(dir=tmp_path))
        with pytest.raises(InputError, match=words):
            site_models.write_models(models, ["float32"], 512, site)


@pytest.mark.slow
def test_a_checkpoint_is_exported_with_its_licence(tiny_checkpoint, tmp_path):
    (tiny_checkpoint / "LICENSE").write_text("for all")
    site = tmp_path / "site"
    site.mkdir()
    lines = site_models.write_models([str(tiny_checkpoint)], ["float32"], 512, site)
    assert [line.file for line in lines] == ["models/checkpoint-float32.tflite"]
    names = {p.relative_to(site).as_posix() for p in site.rglob("*") if p.is_file()}
    assert names == {lines[0].file, "licences/model-checkpoint.txt"}
    song = np.random.default_rng(0).uniform(-0.5, 0.5, (3000, 2)).astype(np.float32)
    expected = load_separator(tiny_checkpoint).separate(song, 8000)
    exported = load_tflite_separator(site / lines[0].file)
    for name, stem in exported.separate(song, 8000).items():
        np.testing.assert_allclose(stem, expected[name], atol=1e-5)
