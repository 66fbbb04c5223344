import json
import shutil

import numpy as np
import pytest
import soundfile

from tests.data.stems import contents, write_tracks
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import Settings, verify
from waveunet_tf.data.preparation import prepare_tracks
from waveunet_tf.errors import InputError

SOURCES = ("accompaniment", "vocals")


SETTINGS = Settings(22050, SOURCES)


def test_the_manifest_tells_what_was_prepared(source_dir, tmp_path):
    prepare_tracks(find_tracks(source_dir), tmp_path / "out", Settings(22050, SOURCES))
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["sample_rate_hz"] == 22050
    assert manifest["sources"] == list(SOURCES)
    entry = manifest["tracks"]["train/song"]
    assert (entry["frames"], entry["channels"]) == (22050, 2)
    assert len(entry["origin"]) == 3
    assert entry["residual_db"] < -100  # the mixture is the sum


def test_a_folder_that_holds_something_is_left_alone(source_dir, tmp_path):
    with pytest.raises(InputError, match="must be new, empty, or of an earlier run"):
        prepare_tracks(find_tracks(source_dir), source_dir, Settings(22050, SOURCES))


def test_what_has_changed_is_prepared_again_and_nothing_changes_its_subset(tmp_path):
    folder = write_tracks(tmp_path / "in", 3)
    prepare_tracks(find_tracks(folder), tmp_path / "out", SETTINGS)
    before = contents(tmp_path / "out")
    soundfile.write(
        folder / "train" / "track 0" / "drums.flac", np.zeros((30_000, 2)), 44100
    )
    shutil.rmtree(tmp_path / "out" / "train" / "track 1")
    prepare_tracks(find_tracks(folder), tmp_path / "out", SETTINGS)
    after = contents(tmp_path / "out")
    differ = {name for name in before if before[name] != after[name]}
    assert differ == {
        "manifest.json",
        "train/track 0/accompaniment.wav",
        "train/track 0/mixture.wav",
    }
    (tmp_path / "names").write_text("track 2\n")
    moved = find_tracks(folder, validation=str(tmp_path / "names"))
    with pytest.raises(InputError, match="train/track 2 would now be in valid"):
        prepare_tracks(moved, tmp_path / "out", SETTINGS)


@pytest.mark.parametrize(
    "sources", [(), ("a", "a"), ("mixture",), ("../x",), ("a/b",), (".x",), ("",)]
)
def test_sources_must_be_names_of_files(sources):
    with pytest.raises(InputError, match="`sources` must be"):
        Settings(22050, sources)


def test_verification_names_what_is_not_as_it_was_written(tmp_path):
    out = tmp_path / "out"
    prepare_tracks(find_tracks(write_tracks(tmp_path / "in", 3)), out, SETTINGS)
    assert verify(out) == []
    changed = out / "train" / "track 0" / "vocals.wav"
    content = bytearray(changed.read_bytes())
    content[5000] ^= 1
    changed.write_bytes(content)
    missing = out / "train" / "track 1" / "mixture.wav"
    missing.unlink()
    added = out / "train" / "track 2" / "drums.wav"
    added.write_bytes(b"")
    problems = verify(out)
    assert len(problems) == 3
    for path, text in {
        changed: "has changed",
        missing: "missing",
        added: "not in the manifest",
    }.items():
        assert any(line.startswith(f"{path}: ") and text in line for line in problems)


def test_a_manifest_of_an_earlier_version_has_speed_1(source_dir, tmp_path):
    settings = Settings(22050, ("vocals",))
    prepare_tracks(find_tracks(source_dir), tmp_path / "out", settings)
    path = tmp_path / "out" / "manifest.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("speed") == 1
    path.write_text(json.dumps(manifest))
    assert prepare_tracks(find_tracks(source_dir), tmp_path / "out", settings) == []
