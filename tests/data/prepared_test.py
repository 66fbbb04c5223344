import dataclasses
import json
import shutil

import numpy as np
import pytest
import soundfile

from tests.data.batches import first_batches, flat
from tests.data.stems import write_tracks
from waveunet_tf.data import manifest, preparation, prepared
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError


def test_a_data_set_may_be_on_another_file_system(tiny_config, tmp_path):
    """Of those that TensorFlow knows, only one is at hand."""
    generator = np.random.default_rng(0)
    names = ("vocals", "other", "drums")
    for source in names:
        path = tmp_path / "in" / "train" / "song" / f"{source}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, generator.normal(0, 0.1, (4000, 2)), 8000)
    settings = manifest.Settings(8000, names)
    preparation.prepare_tracks(find_tracks(tmp_path / "in"), tmp_path / "out", settings)
    here = prepared.load_prepared(tmp_path / "out", tiny_config, "train")
    there = prepared.load_prepared(f"file://{tmp_path}/out", tiny_config, "train")
    expected = first_batches(here, tiny_config, 2)
    for reader in ("auto", "soundfile"):
        excerpts = first_batches(there, tiny_config, 2, reader=reader)
        for left, right in zip(flat(excerpts), flat(expected)):
            np.testing.assert_array_equal(left, right)
    for change, message in {
        "sample_rate_hz": "sample rate, 8001 Hz, but has 8000",
        "sources": "lacks bass",
    }.items():
        value = 8001 if change == "sample_rate_hz" else ("bass", "vocals")
        config = dataclasses.replace(tiny_config, **{change: value})
        with pytest.raises(InputError, match=message):
            prepared.load_prepared(f"file://{tmp_path}/out", config, "train")
    with pytest.raises(InputError, match="must be what `prepare` wrote"):
        prepared.load_prepared(f"file://{tmp_path}/none", tiny_config, "train")
    stem = tmp_path / "out" / "train" / "song" / "vocals.wav"
    soundfile.write(stem, np.zeros((3999, 2)), 8000)
    with pytest.raises(InputError, match="vocals.wav: must have 4000 frames, .* 3999"):
        first_batches(there, tiny_config, 1, reader="soundfile")
    stem.unlink()
    with pytest.raises(InputError, match=r"file://.*vocals\.wav: must be a wav file"):
        first_batches(there, tiny_config, 1, reader="soundfile")


def test_all_folders_must_have_the_same_stems(
    constant_stems_dir, stems_dir, tiny_config
):
    folders = [stems_dir, constant_stems_dir]
    with pytest.raises(InputError, match="constant: must have the same stems as"):
        prepared.load_all(folders, tiny_config, "train")
    (constant_stems_dir / "train" / "0" / "vocals.wav").unlink()
    with pytest.raises(InputError, match="but lacks accompaniment, vocals"):
        prepared.load_prepared(constant_stems_dir, tiny_config, "train")


def test_all_tracks_of_a_folder_must_have_the_same_stems(tiny_config, tmp_path):
    halves, parts = ("accompaniment", "vocals"), ("bass", "drums", "vocals")
    for track, stems in {"1": halves, "2": parts, "3": halves}.items():
        for stem in stems:
            path = tmp_path / "train" / track / f"{stem}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.zeros((4000, 2)), 8000)
    with pytest.raises(InputError) as error:
        prepared.load_all([tmp_path], tiny_config, "train")
    assert str(error.value) == (
        f"{tmp_path}: train/2 must have the same stems as train/1, accompaniment, "
        "vocals; `prepare` writes the same of all. Received: bass, drums, vocals"
    )


def test_a_folder_is_known_by_its_content_wherever_it_lies(stems_dir, tmp_path):
    name = prepared.identify(stems_dir)
    moved = shutil.copytree(stems_dir, tmp_path / "moved")
    assert prepared.identify(moved) == name
    wav = moved / "train" / "one" / "vocals.wav"
    wav.rename(wav.with_name("drums.wav"))
    assert prepared.identify(moved) != name


def test_a_manifest_tells_of_a_sample_that_changed(stems_dir, tmp_path):
    def identity(digit):
        entry = {"origin": {"a": 1}, "frames": 4, "channels": 2}
        entry |= {"residual_db": -200.0, "clipped_samples": 0}
        entry["sha256"] = {"vocals": digit * 64}
        values = {"sample_rate_hz": 8000, "sources": ["vocals"], "bit_depth": 16}
        values |= {"format_version": manifest.MANIFEST_VERSION, "validation": None}
        (stems_dir / manifest.MANIFEST).write_text(
            json.dumps({**values, "tracks": {"train/one": entry}})
        )
        return prepared.identify(stems_dir)

    assert identity("1") == identity("1") != identity("2")
    assert prepared.identify(f"file://{stems_dir}") == prepared.identify(stems_dir)


def rewrite(path, *, frames=None, channels=2, rate_hz=8000):
    soundfile.write(path, np.zeros((frames, channels)), rate_hz)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "train/two .* lacks vocals"),
        (lambda path: path.write_bytes(b"no wav"), r"vocals\.wav: must be a wav file"),
        (lambda path: rewrite(path, frames=0), "to its last frame"),
        (lambda path: rewrite(path, frames=2499), "must be of one length"),
        (lambda path: rewrite(path, frames=2500, rate_hz=44100), "sample rate, 8000"),
        (lambda path: rewrite(path, frames=2500, channels=1), "2 channels, but has 1"),
        (
            lambda path: rewrite(path.with_suffix(".flac"), frames=2500),
            r"train/two: must have one file .* vocals\.flac and vocals\.wav",
        ),
    ],
)
def test_stems_that_do_not_fit_the_network_are_refused_by_name(
    stems_dir, tiny_config, damage, message
):
    damage(stems_dir / "train" / "two" / "vocals.wav")
    with pytest.raises(InputError, match=message):
        prepared.load_prepared(stems_dir, tiny_config, "train")


def test_a_prepared_track_has_its_stems_files_and_length(stems_dir, tiny_config):
    one, two = prepared.load_prepared(stems_dir, tiny_config, "train")
    assert (one.name, one.frames) == ("train/one", 4000)
    assert (two.name, two.frames) == ("train/two", 2500)
    assert one.stems == (("accompaniment",), ("vocals",))
    assert one.kinds == {("WAV", "FLOAT")}
    assert one.paths == tuple(
        str(stems_dir / "train" / "one" / f"{name}.wav") for (name,) in one.stems
    )


def test_sources_are_sums_in_the_order_of_the_stems():
    track = prepared.PreparedTrack("x", (), (("a", "b", "c"), ("d",), ("e", "f")), 1)
    assert track.sums([1, 2, 4, 8, 16, 32]) == [7, 8, 48]
    arrays = [np.full((2, 1), 2.0**place) for place in range(6)]
    for source, expected in zip(track.sums(arrays), (7, 8, 48)):
        np.testing.assert_array_equal(source, np.full((2, 1), expected))


def test_a_folder_may_lack_validation_tracks_if_another_has_some(
    stems_dir, tiny_config, tmp_path
):
    more = tmp_path / "more"
    shutil.copytree(stems_dir / "train", more / "train")
    assert prepared.has_subset(stems_dir, "valid")
    assert not prepared.has_subset(more, "valid")
    train = prepared.load_all([stems_dir, more], tiny_config, "train")
    assert [track.name for track in train] == ["train/one", "train/two"] * 2
    valid = prepared.load_all([more, stems_dir], tiny_config, "valid")
    assert [track.name for track in valid] == ["valid/three"]
    with pytest.raises(InputError, match="must hold tracks of valid"):
        prepared.load_prepared(more, tiny_config, "valid")


def test_tracks_know_their_data_set_and_its_weight(stems_dir, tiny_config, tmp_path):
    more = shutil.copytree(stems_dir, tmp_path / "more")
    tracks = prepared.load_all([stems_dir, more], tiny_config, "train", weights=[1, 3])
    assert [(track.data_dir, track.weight) for track in tracks] == [
        *[(str(stems_dir), 1)] * 2,
        *[(str(more), 3)] * 2,
    ]


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (
            [1, 0],
            "^b: its `data_weight` must be a number from 0.000001 to 1000000. "
            "Received: 0$",
        ),
        ([1e308, 1e308], "^a: its `data_weight` must be .* Received: 1e.308$"),
        ([1, 1e-9], "^b: its `data_weight` must be .* Received: 1e-09$"),
        ([np.nan, 1], "^a: its `data_weight` must be .* Received: nan$"),
        ([1, np.inf], "^b: its `data_weight` must be .* Received: inf$"),
        ([-1.5, 1], "^a: its `data_weight` must be .* Received: -1.5$"),
        ([3], "once for each `data_dir`.* Received: 1 weights for 2 folders$"),
    ],
)
def test_weights_must_be_in_range_and_as_many_as_folders(weights, text):
    with pytest.raises(InputError, match=text):
        prepared.check_weights(["a", "b"], weights)


def test_a_track_that_the_manifest_lacks_is_left_out(tiny_config, tmp_path, caplog):
    write_tracks(tmp_path / "in", 2)
    settings = manifest.Settings(8000, ("accompaniment", "vocals"))
    preparation.prepare_tracks(find_tracks(tmp_path / "in"), tmp_path / "out", settings)
    added = tmp_path / "out" / "train" / "added"
    shutil.copytree(tmp_path / "out" / "train" / "track 0", added)
    with caplog.at_level("WARNING", logger="absl"):
        tracks = prepared.load_prepared(tmp_path / "out", tiny_config, "train")
    assert [track.name for track in tracks] == ["train/track 0", "train/track 1"]
    assert "train/added: left out" in caplog.text


def test_tracks_of_the_manifest_that_are_gone_are_told(tiny_config, tmp_path, caplog):
    """Such as of a copy that was interrupted."""
    out = tmp_path / "out"
    tracks = find_tracks(write_tracks(tmp_path / "in", 3))
    tracks[0] = dataclasses.replace(tracks[0], subset="valid")
    settings = manifest.Settings(8000, ("accompaniment", "vocals"))
    preparation.prepare_tracks(tracks, out, settings)
    caplog.clear()
    assert len(prepared.load_prepared(out, tiny_config, "train")) == 2
    assert not caplog.records
    shutil.rmtree(out / "train" / "track 2")
    assert len(prepared.load_prepared(out, tiny_config, "train")) == 1
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{out}: lacks 1 of the 2 tracks of train in its manifest, such as "
        "train/track 2"
    )


def test_tracks_that_were_moved_behind_the_manifest_are_no_subset(
    tiny_config, tmp_path
):
    write_tracks(tmp_path / "in", 2)
    settings = manifest.Settings(8000, ("accompaniment", "vocals"))
    preparation.prepare_tracks(find_tracks(tmp_path / "in"), tmp_path / "out", settings)
    (tmp_path / "out" / "valid").mkdir()
    (tmp_path / "out" / "train" / "track 0").rename(tmp_path / "out/valid/track 0")
    text = "out: must hold tracks of valid that its manifest.json lists, but has none"
    with pytest.raises(InputError, match=text):
        prepared.load_all([tmp_path / "out"], tiny_config, "valid")


def test_mono_networks_train_on_stereo_stems_and_not_the_other_way(
    stems_dir, tiny_config
):
    mono = dataclasses.replace(tiny_config, channels=1)
    assert len(prepared.load_prepared(stems_dir, mono, "train")) == 2
    for path in stems_dir.rglob("*.wav"):
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, samples[:, :1], rate_hz)
    assert len(prepared.load_prepared(stems_dir, mono, "train")) == 2
    with pytest.raises(InputError, match="2 channels, but has 1; .*mono_to_stereo"):
        prepared.load_prepared(stems_dir, tiny_config, "train")
