import errno
import pathlib
import shutil

import numpy as np
import pytest

from tests.data.stems import write_stem
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError


def test_folder_tracks_are_sorted_by_subset_and_name(tmp_path):
    for name in ("test/b", "train/z", "train/a", "valid/c"):
        write_stem(tmp_path / name / "vocals.wav")
    (tmp_path / "train" / "empty").mkdir()
    tracks = find_tracks(tmp_path)
    labels = [f"{track.subset}/{track.name}" for track in tracks]
    assert labels == ["train/a", "train/z", "valid/c", "test/b"]
    assert [track.name for track in find_tracks(tmp_path, subsets=("test",))] == ["b"]


def test_a_folder_without_subsets_is_all_training(tmp_path):
    write_stem(tmp_path / "song" / "vocals.flac")
    (track,) = find_tracks(tmp_path)
    assert (track.subset, track.name) == ("train", "song")


def test_two_files_of_one_source_are_refused(tmp_path):
    write_stem(tmp_path / "train" / "song" / "drums.wav")
    write_stem(tmp_path / "train" / "song" / "drums.flac")
    write_stem(tmp_path / "train" / "fine" / "drums.wav")
    fine, twice = find_tracks(tmp_path)
    fine.read(("drums",))
    with pytest.raises(InputError, match="train/song: must have one file a source"):
        twice.read(("drums",))


def test_musdb18hq_and_ccmixter_have_their_layouts(tmp_path):
    for name in ("bass", "drums", "mixture", "other", "vocals"):
        write_stem(
            tmp_path / "hq" / "train" / "Actions - One Minute Smile" / f"{name}.wav"
        )
        write_stem(tmp_path / "hq" / "train" / "A - B" / f"{name}.wav")
        write_stem(tmp_path / "hq" / "test" / "C - D" / f"{name}.wav")
    (tmp_path / "hq" / "train" / "A - B" / "bass.wav").unlink()
    tracks = {
        track.label: track
        for track in find_tracks(tmp_path / "hq", dataset="musdb18hq")
    }
    assert list(tracks) == [
        "train/A - B",
        "valid/Actions - One Minute Smile",
        "test/C - D",
    ]
    stems, _ = tracks["test/C - D"].read(("accompaniment", "vocals"))
    np.testing.assert_allclose(stems["accompaniment"], 3 * stems["vocals"], atol=1e-4)
    with pytest.raises(InputError, match="must have the files of MUSDB18-HQ"):
        tracks["train/A - B"].read(("vocals",))

    for name in ("mix", "source-01", "source-02"):
        write_stem(tmp_path / "cc" / "A song" / f"{name}.wav")
        write_stem(tmp_path / "cc" / "broken" / f"{name}.wav")
    (tmp_path / "cc" / "broken" / "source-02.wav").unlink()
    song, broken = find_tracks(tmp_path / "cc", dataset="ccmixter")
    assert (song.subset, song.mixture.path.name) == ("train", "mix.wav")
    assert song.sources["accompaniment"].path.name == "source-01.wav"
    assert song.sources["vocals"].path.name == "source-02.wav"
    with pytest.raises(InputError, match="must have a source-02.wav, but has none"):
        broken.read(("accompaniment", "vocals"))


def test_tracks_of_one_name_are_refused(tmp_path):
    (tmp_path / "train").mkdir(parents=True)
    (tmp_path / "train" / "song.stem.mp4").write_bytes(b"never read")
    write_stem(tmp_path / "train" / "song" / "drums.wav")
    with pytest.raises(InputError, match="there twice, such as train/song"):
        find_tracks(tmp_path)


def test_a_folder_without_tracks_is_refused(tmp_path):
    with pytest.raises(InputError, match="must hold tracks"):
        find_tracks(tmp_path)
    with pytest.raises(InputError, match="must be a folder"):
        find_tracks(tmp_path / "missing")


def test_musdb18s_streams_and_validation_tracks_are_the_official_ones(tmp_path):
    example = import_sigsep("stempeg").example_stem_path()
    for name in ("train/ANiMAL - Rockshow", "train/A", "test/B"):
        path = tmp_path / f"{name}.stem.mp4"
        path.parent.mkdir(exist_ok=True)
        shutil.copyfile(example, path)
    tracks = find_tracks(tmp_path)
    labels = [f"{track.subset}/{track.name}" for track in tracks]
    assert labels == ["train/A", "valid/ANiMAL - Rockshow", "test/B"]
    streams = {name: stream.stream for name, stream in tracks[0].sources.items()}
    assert streams == {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
    assert tracks[0].mixture.stream == 0


def test_musdb18_has_its_80_training_and_14_validation_tracks(shared_data):
    tracks = find_tracks(shared_data / "musdb18-7s")
    subsets = [track.subset for track in tracks]
    assert {name: subsets.count(name) for name in set(subsets)} == {
        "train": 80,
        "valid": 14,
        "test": 5,
    }
    stems, rate_hz = tracks[-1].read(("accompaniment", "vocals"))
    assert rate_hz == 44100
    residual = stems["mixture"] - stems["accompaniment"] - stems["vocals"]
    assert np.mean(residual**2) < 0.01 * np.mean(stems["mixture"] ** 2)


def test_hidden_and_foreign_files_are_no_stems(tmp_path, caplog):
    write_stem(tmp_path / "train" / "song" / "vocals.wav")
    write_stem(tmp_path / "train" / ".hidden" / "vocals.wav")
    write_stem(tmp_path / "train" / "song" / "._drums.wav")
    write_stem(tmp_path / "extra" / "song" / "vocals.wav")
    (tmp_path / "train" / "song" / "notes.txt").write_text("")
    (tmp_path / "train" / "file").write_text("")
    with caplog.at_level("WARNING", logger="absl"):
        (track,) = find_tracks(tmp_path)
    assert list(track.sources) == ["vocals"]
    assert "extra: left out, for it is no subset" in caplog.text


@pytest.mark.parametrize("name", ["bass.wvx", "bass", "bass.wav.part"])
def test_a_file_that_may_be_a_stem_is_the_tracks_problem(tmp_path, name):
    """Else its track would be prepared without it."""
    write_stem(tmp_path / "song" / "vocals.wav")
    (tmp_path / "song" / name).write_bytes(b"music of an unknown format")
    (track,) = find_tracks(tmp_path)
    assert f"but has {name}, which is neither by its name" in track.problem


def test_suffixes_may_be_of_any_case_and_format(tmp_path):
    for name in ("vocals.WAV", "drums.Flac", "bass.ogg"):
        write_stem(tmp_path / "song" / name)
    (track,) = find_tracks(tmp_path)
    assert set(track.sources) == {"vocals", "drums", "bass"}


def test_a_folder_of_no_tracks_tells_the_layouts_that_are_looked_for(tmp_path):
    (tmp_path / "song").mkdir()
    with pytest.raises(InputError, match=r"<train\|test>/<track>.stem.mp4 or <train"):
        find_tracks(tmp_path)
    with pytest.raises(InputError, match="as <track>/mix.wav, source-01.wav"):
        find_tracks(tmp_path, dataset="ccmixter")
    with pytest.raises(InputError, match="must hold tracks of test, as"):
        find_tracks(tmp_path, subsets=("test",))


def test_a_split_moves_tracks_of_any_layout(tmp_path):
    for name in "abcd":
        write_stem(tmp_path / "in" / "train" / name / "vocals.wav")
    (tmp_path / "names.txt").write_text("c\n")
    tracks = find_tracks(tmp_path / "in", validation=str(tmp_path / "names.txt"))
    labels = [track.label for track in tracks]
    assert labels == ["train/a", "train/b", "train/d", "valid/c"]


def test_a_folder_that_cannot_be_read_is_a_track_with_a_problem(tmp_path, monkeypatch):
    """It may hold stems; the others can be prepared."""
    for name in ("a", "b"):
        write_stem(tmp_path / "train" / name / "vocals.wav")
    listed = pathlib.Path.iterdir

    def refusing(path):
        if path.name == "a":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(pathlib.Path, "iterdir", refusing)
    first, second = find_tracks(tmp_path)
    assert first.problem == "its folder cannot be read: Permission denied"
    with pytest.raises(InputError, match="^train/a: its folder cannot be read"):
        first.read(("vocals",))
    assert second.problem is None
