import dataclasses
import json
import math
import os
import shutil
import time

import numpy as np
import pytest
import soundfile

from tests.data.stems import contents, write_stem, write_tracks
from waveunet_tf.data import manifest as manifests
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import Settings, verify
from waveunet_tf.data.preparation import prepare_tracks
from waveunet_tf.data.tracks import Mending, Track
from waveunet_tf.errors import InputError

SOURCES = ("accompaniment", "vocals")
SETTINGS = Settings(22050, SOURCES)
ENTRY = {
    "origin": {},
    "frames": 1,
    "channels": 2,
    "clipped_samples": 0,
    "sha256": {},
    "residual_db": -200.0,
}


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


def test_stems_written_since_are_prepared_again_though_their_sizes_stay(tmp_path):
    """Also where the clock of another machine was ahead, but that only once."""
    out, now = tmp_path / "out", time.time()
    for number, value in enumerate((0.1, 0.2, 0.3)):
        write_stem(tmp_path / "in" / "train" / f"{number}" / "vocals.wav", value=value)
    settings = Settings(8000, ("vocals",))
    prepare_tracks(find_tracks(tmp_path / "in"), out, settings)
    before = contents(out)
    for number, written in enumerate((now - 50, now - 150, now + 1000)):
        os.utime(out / "train" / f"{number}", (now - 100, now - 100))
        path = tmp_path / "in" / "train" / f"{number}" / "vocals.wav"
        write_stem(path, value=0.4)
        os.utime(path, (written, written))
    prepare_tracks(find_tracks(tmp_path / "in"), out, settings)
    after = contents(out)
    assert {name for name in before if before[name] != after[name]} == {
        *("manifest.json", "train/0/mixture.wav", "train/0/vocals.wav")
    }


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


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    mending = Mending(merges={"vocals": ("lead", "choir")}, pad_short_stems=True)
    settings = Settings(8000, SOURCES, 24, "paper", 0.9, mending)
    entries = {f"train/caf\udce9 {number}": ENTRY for number in range(3)}
    manifests.write_manifest(tmp_path, settings, entries)
    read = manifests.read_manifest(tmp_path)
    assert read.pop("tracks") == entries
    assert read == settings.to_dict() == json.loads(json.dumps(settings.to_dict()))


def test_tracks_are_listed_by_subset_and_name_whatever_their_order(tmp_path):
    labels = ["train/B", "train/a", "train/ä", "valid/A", "test/A"]
    for order in (labels, labels[::-1]):
        manifests.write_manifest(tmp_path, SETTINGS, dict.fromkeys(order, ENTRY))
        assert list(manifests.read_manifest(tmp_path)["tracks"]) == labels


def broken(**changes):
    content = {**SETTINGS.to_dict(), "tracks": {"train/a": ENTRY}, **changes}
    return json.dumps({name: value for name, value in content.items() if value != {}})


@pytest.mark.parametrize(
    "text",
    [
        *("", "no JSON", "[]", "null", "{}", '{"format_version": 2}'),
        *(broken(tracks=[]), broken(tracks={"train": ENTRY}), broken(sources={})),
        *(broken(tracks={"song/a": ENTRY}), broken(tracks={"train/..": ENTRY})),
        broken(tracks={"train/a\0b": ENTRY}),  # a name that no system takes
        *(
            broken(tracks={"train/a": {"frames": 1}}),
            broken(tracks={"train/a/b": ENTRY}),
        ),
        *("[" * 5000, '{"a":' * 5000),
        *(broken(sample_rate_hz=value) for value in (0, -1, "8000", 0.5, None, True)),
        *(broken(sources=value) for value in (["../x"], [""], [1], "ab")),
        broken(bit_depth=8),
        *(
            broken(tracks={"train/a": {**ENTRY, name: value}})
            for name, value in [
                ("frames", -1),
                ("frames", "1"),
                ("channels", 0),
                ("clipped_samples", None),
                ("clipped_samples", "many"),
                ("residual_db", math.nan),
                ("residual_db", None),
                ("sha256", ["vocals"]),
                ("sha256", {"../../vocals": "0"}),
                ("origin", {"a": "large"}),
            ]
        ),
    ],
)
def test_a_broken_manifest_is_refused_by_name(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=r"manifest\.json: must be a manifest, but"):
        manifests.read_manifest(tmp_path)


@pytest.mark.parametrize("path", ["", "missing", "file", "file/below"])
def test_a_folder_without_a_manifest_is_no_prepared_one(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="must be what `prepare` wrote, but has no"):
        manifests.read_manifest(tmp_path / path)


def test_a_manifest_of_another_version_is_refused():
    with pytest.raises(InputError, match="x: `format_version` must be 2. Received: 3"):
        manifests.parse_manifest(broken(format_version=3), "x")


def test_a_new_or_empty_folder_has_no_entries(tmp_path):
    for folder in (tmp_path, tmp_path / "new"):
        assert manifests.entries_of_earlier_run(folder, SETTINGS, []) == {}
    assert not (tmp_path / "new").exists()


def test_what_is_no_folder_is_no_prepared_track(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a").write_text("")
    manifests.write_manifest(tmp_path, SETTINGS, {f"train/{n}": ENTRY for n in "ab"})
    tracks = [Track(name, "train", {}) for name in "ab"]
    assert manifests.entries_of_earlier_run(tmp_path, SETTINGS, tracks) == {}


def test_a_track_that_left_the_source_stays_prepared(tmp_path, caplog):
    for name in ("a", "b"):
        (tmp_path / "train" / name).mkdir(parents=True)
    entries = {"train/a": ENTRY, "train/b": ENTRY}
    manifests.write_manifest(tmp_path, SETTINGS, entries)
    with caplog.at_level("WARNING", logger="absl"):
        kept = manifests.entries_of_earlier_run(
            tmp_path, SETTINGS, [Track("a", "train", {})]
        )
    assert kept == entries
    (record,) = caplog.records
    assert "train/b: is prepared, but is no longer in the source" in record.getMessage()


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_rate_hz": 8000},
        {"sources": ("vocals", "accompaniment")},
        {"bit_depth": 24},
        {"validation": "none"},
        {"speed": 1.1},
        {"mending": Mending(mono_to_stereo=True)},
        {"mending": Mending(merges={"vocals": ("choir",)})},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_run_of_any_other_setting_is_another_one(tmp_path, changes):
    manifests.write_manifest(tmp_path, SETTINGS, {})
    assert manifests.entries_of_earlier_run(tmp_path, SETTINGS, []) == {}
    other = dataclasses.replace(SETTINGS, **changes)
    changed = r"the same settings.* What differs: \w+(\.\w+)* \([^()]*, now [^()]*\)$"
    with pytest.raises(InputError, match=f"must be of an earlier run with {changed}"):
        manifests.entries_of_earlier_run(tmp_path, other, [])


def test_only_what_differs_from_the_earlier_run_is_named(tmp_path):
    manifests.write_manifest(tmp_path, SETTINGS, {})
    mending = Mending(rest=SETTINGS.sources[0])
    other = dataclasses.replace(SETTINGS, sample_rate_hz=44100, mending=mending)
    with pytest.raises(InputError) as caught:
        manifests.entries_of_earlier_run(tmp_path, other, [])
    assert str(caught.value).endswith(
        f"What differs: mending.rest (None, now {SETTINGS.sources[0]}), "
        f"sample_rate_hz ({SETTINGS.sample_rate_hz}, now 44100)"
    )


def test_a_sum_must_be_one_of_the_sources():
    with pytest.raises(InputError, match="`merges` must be of .* Received: rhythm"):
        Settings(8000, SOURCES, mending=Mending(merges={"rhythm": ("drums",)}))
