import json
import shutil

import numpy as np
import pytest
import soundfile

from waveunet_tf import audio
from waveunet_tf.errors import InputError
from waveunet_tf.prepare import prepare
from waveunet_tf.tracks import find_tracks

SOURCES = ("accompaniment", "vocals")


@pytest.fixture
def source_dir(tmp_path):
    """One song of three stems, 44.1 kHz, quiet enough to sum."""
    seconds = np.arange(44100)[:, None] / 44100
    for name, hz in {"vocals": 440, "drums": 1000, "bass": 100}.items():
        path = tmp_path / "source" / "train" / "song" / f"{name}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        tone = 0.25 * np.sin(2 * np.pi * hz * seconds * [1, 2])
        soundfile.write(path, tone, 44100, subtype="PCM_24")
    return tmp_path / "source"


def test_prepared_stems_are_the_resampled_stems_to_16_bit(source_dir, tmp_path):
    tracks = find_tracks(source_dir)
    failures = prepare(tracks, tmp_path / "out", sample_rate_hz=22050, sources=SOURCES)
    assert failures == []
    stems, rate_hz = tracks[0].read(SOURCES)
    written = sorted((tmp_path / "out" / "train" / "song").iterdir())
    names = [path.stem for path in written]
    assert names == ["accompaniment", "mixture", "vocals"]
    for path in written:
        assert soundfile.info(path).subtype == "PCM_16"
        samples, written_hz = audio.read(path)
        assert written_hz == 22050
        expected = audio.resample(stems[path.stem], rate_hz, 22050)
        error = samples - expected
        assert (
            np.abs(error).max() <= 1.51 / 2**15
        )  # dither of 1 step each way, rounding
        assert abs(error.mean()) < 0.05 / 2**15


def test_the_manifest_tells_what_was_prepared(source_dir, tmp_path):
    prepare(
        find_tracks(source_dir), tmp_path / "out", sample_rate_hz=22050, sources=SOURCES
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["sample_rate_hz"] == 22050
    assert manifest["sources"] == list(SOURCES)
    entry = manifest["tracks"]["train/song"]
    assert (entry["frames"], entry["channels"]) == (22050, 2)
    assert len(entry["origin"]) == 3
    assert entry["residual_db"] < -100  # the mixture is the sum


def test_a_broken_track_is_reported_and_the_others_are_done(source_dir, tmp_path):
    broken = source_dir / "train" / "broken"
    broken.mkdir()
    for name in ("vocals", "drums"):
        (broken / f"{name}.wav").write_bytes(b"nothing to hear")
    failures = prepare(
        find_tracks(source_dir), tmp_path / "out", sample_rate_hz=22050, sources=SOURCES
    )
    assert len(failures) == 1
    assert failures[0].startswith("train/broken: ")
    assert [path.name for path in (tmp_path / "out" / "train").iterdir()] == ["song"]


def test_a_stopped_run_goes_on_and_prepares_nothing_twice(source_dir, tmp_path):
    settings = {"sample_rate_hz": 22050, "sources": SOURCES}
    shutil.copytree(source_dir / "train" / "song", source_dir / "train" / "z")
    both = find_tracks(source_dir)
    prepare(both[:1], tmp_path / "out", **settings)
    done = tmp_path / "out" / "train" / "song" / "vocals.wav"
    before = done.stat().st_mtime_ns
    assert prepare(both, tmp_path / "out", **settings) == []
    assert done.stat().st_mtime_ns == before
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert list(manifest["tracks"]) == ["train/song", "train/z"]
    with pytest.raises(InputError, match="must be of an earlier run with"):
        prepare(both, tmp_path / "out", **{**settings, "sample_rate_hz": 8000})


def test_what_is_clipped_is_counted(source_dir, tmp_path):
    loud = np.full((44100, 2), 0.9)
    for name in ("drums", "bass"):
        path = source_dir / "train" / "song" / f"{name}.flac"
        soundfile.write(path, loud, 44100)
    prepare(
        find_tracks(source_dir), tmp_path / "out", sample_rate_hz=44100, sources=SOURCES
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    entry = manifest["tracks"]["train/song"]
    assert entry["clipped_samples"] >= 2 * 44100
    folder = tmp_path / "out" / "train" / "song"
    written = {path.stem: soundfile.read(path)[0] for path in folder.iterdir()}
    rest = written["mixture"] - written["accompaniment"] - written["vocals"]
    level = 10 * np.log10(np.sum(rest**2) / np.sum(written["mixture"] ** 2))
    assert entry["residual_db"] == pytest.approx(level, abs=0.01)


def test_silence_stays_silent(source_dir, tmp_path):
    path = source_dir / "train" / "song" / "vocals.flac"
    soundfile.write(path, np.zeros((44100, 2)), 44100)
    prepare(
        find_tracks(source_dir), tmp_path / "out", sample_rate_hz=22050, sources=SOURCES
    )
    written, _ = soundfile.read(tmp_path / "out" / "train" / "song" / "vocals.wav")
    assert not written.any()


def test_a_folder_that_holds_something_is_left_alone(source_dir, tmp_path):
    with pytest.raises(InputError, match="must be new, empty, or of an earlier run"):
        prepare(
            find_tracks(source_dir), source_dir, sample_rate_hz=22050, sources=SOURCES
        )
