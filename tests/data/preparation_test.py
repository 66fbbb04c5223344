"""Preparing a data set: what is written, what is refused, and what fails alone."""

import dataclasses
import errno
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import soundfile

from tests.audio import planted_decoders
from tests.command_line import run_python
from tests.data.stems import contents, unreadable, write_stem, write_tracks
from tests.system.leftovers import leave_half
from waveunet_tf.audio import decoder_child, io, resample
from waveunet_tf.data import preparation, tracks
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import Settings, verify
from waveunet_tf.data.preparation import prepare_tracks
from waveunet_tf.data.tracks import Mending
from waveunet_tf.errors import InputError

SOURCES = ("accompaniment", "vocals")
SETTINGS = Settings(22050, SOURCES)


def test_prepared_stems_are_the_resampled_stems_to_16_bit(source_dir, tmp_path):
    tracks = find_tracks(source_dir)
    failures = prepare_tracks(tracks, tmp_path / "out", SETTINGS)
    assert failures == []
    stems, rate_hz = tracks[0].read(SOURCES)
    written = sorted((tmp_path / "out" / "train" / "song").iterdir())
    names = [path.stem for path in written]
    assert names == ["accompaniment", "mixture", "vocals"]
    for path in written:
        assert soundfile.info(path).subtype == "PCM_16"
        samples, written_hz = io.read(path)
        assert written_hz == 22050
        expected = resample.resample(stems[path.stem], rate_hz, 22050)
        error = samples - expected
        assert (
            np.abs(error).max() <= 1.51 / 2**15
        )  # dither of 1 step each way, rounding
        assert abs(error.mean()) < 0.05 / 2**15


def test_a_broken_track_is_reported_and_the_others_are_done(source_dir, tmp_path):
    broken = source_dir / "train" / "broken"
    broken.mkdir()
    for name in ("vocals", "drums"):
        (broken / f"{name}.wav").write_bytes(b"nothing to hear")
    failures = prepare_tracks(find_tracks(source_dir), tmp_path / "out", SETTINGS)
    assert len(failures) == 1
    assert failures[0].startswith("train/broken: ")
    assert [path.name for path in (tmp_path / "out" / "train").iterdir()] == ["song"]


@pytest.mark.skipif(not pathlib.Path("/proc/self/mem").exists(), reason="needs Linux")
@pytest.mark.parametrize(
    ("replace", "workers"),
    [(unreadable, 1), (unreadable, 2), ("loop", 1), ("folder", 1)],
)
def test_an_unreadable_stem_costs_its_track_alone(tmp_path, replace, workers):
    folder = write_tracks(tmp_path / "in", 3)
    stem = folder / "train" / "track 1" / "drums.flac"
    kept = stem.read_bytes()
    if replace == "loop":
        stem.unlink()
        stem.symlink_to(stem)
    elif replace == "folder":
        stem.unlink()
        stem.mkdir()
    else:
        replace(stem)
    (failure,) = prepare_tracks(
        find_tracks(folder), tmp_path / "out", SETTINGS, workers=workers
    )
    assert failure.startswith(f"train/track 1: {stem}: cannot be read: ")
    assert "Errno" not in failure and len(failure.splitlines()) == 1
    assert list(json.loads((tmp_path / "out/manifest.json").read_text())["tracks"]) == [
        "train/track 0",
        "train/track 2",
    ]
    stem.rmdir() if replace == "folder" else stem.unlink()
    stem.write_bytes(kept)
    assert prepare_tracks(find_tracks(folder), tmp_path / "out", SETTINGS) == []
    assert verify(tmp_path / "out") == []


def test_an_odd_error_of_a_decoder_costs_its_track_alone(tmp_path, monkeypatch):
    folder = write_tracks(tmp_path / "in", 2)
    blocks = tracks.AudioReader.blocks

    def odd_blocks(reader):
        if reader.path.parent.name == "track 0":
            raise AttributeError("no such codec")
        yield from blocks(reader)

    monkeypatch.setattr(tracks.AudioReader, "blocks", odd_blocks)
    (failure,) = prepare_tracks(find_tracks(folder), tmp_path / "out", SETTINGS)
    assert failure.endswith("cannot be read: AttributeError: no such codec")
    assert failure.startswith("train/track 0: ")


def test_an_unwritable_output_is_no_tracks_fault(tmp_path, monkeypatch):
    """No track can be written then, so the run ends at the first."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(preparation.AudioWriter, "write", full)
    found = find_tracks(write_tracks(tmp_path / "in", 2))
    with pytest.raises(OSError, match="No space left"):
        prepare_tracks(found, tmp_path / "out", SETTINGS)


def test_a_decoder_that_crashes_is_its_tracks_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(decoder_child, "_START", planted_decoders.START)
    folder = tmp_path / "in" / "train"
    for track in ("a", "b-segv", "c"):
        for name in ("vocals", "drums"):
            write_stem(folder / track / f"{name}.mp3", 9000)
    failures = prepare_tracks(
        find_tracks(tmp_path / "in"), tmp_path / "out", Settings(8000, SOURCES)
    )
    assert len(failures) == 1
    assert re.match(
        rf"train/b-segv: {folder}/b-segv/\w+\.mp3: cannot be decoded: its decoder "
        r"crashed \(SIGSEGV\)$",
        failures[0],
    )
    written = {path.name for path in (tmp_path / "out" / "train").iterdir()}
    assert written == {"a", "c"}


def test_a_folder_with_a_users_files_is_no_tracks(source_dir, tmp_path):
    prepare_tracks([], tmp_path / "out", SETTINGS)
    mine = tmp_path / "out" / "train" / "song" / "session.als"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    tracks = find_tracks(source_dir)
    (failure,) = prepare_tracks(tracks, tmp_path / "out", SETTINGS)
    assert "holds other files, such as session.als" in failure
    assert mine.read_text() == "mine"
    mine.unlink()
    (mine.parent / "vocals.wav").write_bytes(b"half")
    assert prepare_tracks(tracks, tmp_path / "out", SETTINGS) == []
    assert verify(tmp_path / "out") == []


def test_a_stopped_run_goes_on_and_prepares_nothing_twice(source_dir, tmp_path):
    shutil.copytree(source_dir / "train" / "song", source_dir / "train" / "z")
    both = find_tracks(source_dir)
    prepare_tracks(both[:1], tmp_path / "out", SETTINGS)
    done = tmp_path / "out" / "train" / "song" / "vocals.wav"
    before = done.stat().st_mtime_ns
    assert prepare_tracks(both, tmp_path / "out", SETTINGS) == []
    assert done.stat().st_mtime_ns == before
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert list(manifest["tracks"]) == ["train/song", "train/z"]
    with pytest.raises(InputError, match="must be of an earlier run with"):
        prepare_tracks(both, tmp_path / "out", Settings(8000, SOURCES))


def test_another_song_of_the_same_name_is_not_taken_for_prepared(
    source_dir, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    prepare_tracks(find_tracks(source_dir), tmp_path / "out", SETTINGS)
    before = contents(tmp_path / "out")
    shutil.copytree(source_dir, tmp_path / "other")
    first = min((source_dir / "train" / "song").iterdir())
    text = f"out: train/song must be the earlier run's, of {first}, but would now be of"
    with pytest.raises(InputError, match=re.escape(text)):
        prepare_tracks(find_tracks("other"), tmp_path / "out", SETTINGS)
    assert contents(tmp_path / "out") == before
    shutil.rmtree(source_dir)  # the data set has moved
    assert prepare_tracks(find_tracks("other"), tmp_path / "out", SETTINGS) == []
    moved = contents(tmp_path / "out")
    assert {**moved, "manifest.json": b""} == {**before, "manifest.json": b""}
    # The same files, named otherwise.
    done = tmp_path / "out" / "train" / "song" / "vocals.wav"
    time_ns = done.stat().st_mtime_ns
    (tmp_path / "link").symlink_to(tmp_path / "other")
    prepare_tracks(find_tracks(tmp_path / "link"), tmp_path / "out", SETTINGS)
    assert done.stat().st_mtime_ns == time_ns


def test_a_track_with_one_more_stem_is_prepared_again(tmp_path):
    folder = write_tracks(tmp_path / "in", 1) / "train" / "track 0"
    settings = Settings(44100, SOURCES, bit_depth=32)
    prepare_tracks(find_tracks(tmp_path / "in"), tmp_path / "out", settings)
    shutil.copyfile(folder / "bass.flac", folder / "more bass.flac")
    assert (
        prepare_tracks(find_tracks(tmp_path / "in"), tmp_path / "out", settings) == []
    )
    written, _ = io.read(tmp_path / "out" / "train" / "track 0" / "accompaniment.wav")
    expected = sum(
        soundfile.read(folder / f"{name}.flac")[0]
        for name in ("bass", "more bass", "drums")
    )
    np.testing.assert_allclose(written, expected, atol=1e-6)


def test_an_output_is_named_as_it_was_given(source_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracks = find_tracks(source_dir)
    prepare_tracks(tracks, "out", SETTINGS)
    with pytest.raises(InputError, match="^out: must be of an earlier run with"):
        prepare_tracks(tracks, "out", Settings(8000, SOURCES))


def test_what_is_clipped_is_counted(source_dir, tmp_path):
    loud = np.full((44100, 2), 0.9)
    for name in ("drums", "bass"):
        path = source_dir / "train" / "song" / f"{name}.flac"
        soundfile.write(path, loud, 44100)
    prepare_tracks(find_tracks(source_dir), tmp_path / "out", Settings(44100, SOURCES))
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
    prepare_tracks(find_tracks(source_dir), tmp_path / "out", SETTINGS)
    written, _ = soundfile.read(tmp_path / "out" / "train" / "song" / "vocals.wav")
    assert not written.any()


def test_an_instrumental_is_its_own_accompaniment(tmp_path):
    folder = write_tracks(tmp_path / "in", 1)
    (folder / "train" / "track 0" / "vocals.flac").unlink()
    settings = Settings(22050, SOURCES, mending=Mending(missing_is_silence=True))
    assert prepare_tracks(find_tracks(folder), tmp_path / "out", settings) == []
    stems = {
        path.stem: soundfile.read(path)[0]
        for path in (tmp_path / "out" / "train" / "track 0").iterdir()
    }
    assert not stems["vocals"].any()
    assert np.abs(stems["accompaniment"] - stems["mixture"]).max() < 5 / 2**15


def test_a_long_name_is_a_name_like_any(tmp_path):
    folder = write_tracks(tmp_path / "in", 2)
    (folder / "train" / "track 1").rename(folder / "train" / ("ü" * 120))
    tracks = find_tracks(folder)
    assert prepare_tracks(tracks, tmp_path / "out", SETTINGS) == []
    assert (tmp_path / "out" / "train" / ("ü" * 120) / "vocals.wav").exists()


@pytest.mark.parametrize(
    ("bit_depth", "subtype"), [(16, "PCM_16"), (24, "PCM_24"), (32, "FLOAT")]
)
def test_the_bit_depth_is_as_wished_and_float_is_not_clipped(
    tmp_path, bit_depth, subtype
):
    folder = write_tracks(tmp_path / "in", 1)
    loud = np.full((30_000, 2), 0.9)
    for name in ("drums", "bass"):
        soundfile.write(folder / "train" / "track 0" / f"{name}.flac", loud, 44100)
    settings = Settings(44100, SOURCES, bit_depth=bit_depth)
    prepare_tracks(find_tracks(folder), tmp_path / "out", settings)
    path = tmp_path / "out" / "train" / "track 0" / "accompaniment.wav"
    assert soundfile.info(path).subtype == subtype
    peak = np.abs(soundfile.read(path)[0]).max()
    assert peak == pytest.approx(1.8 if bit_depth == 32 else 1.0, abs=1e-3)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert (manifest["tracks"]["train/track 0"]["clipped_samples"] == 0) == (
        bit_depth == 32
    )


def damage(folder, name, samples, rate_hz=44100):
    soundfile.write(
        folder / "train" / "track 0" / f"{name}.wav",
        samples,
        rate_hz,
        subtype="FLOAT",
    )
    (folder / "train" / "track 0" / f"{name}.flac").unlink()


@pytest.mark.parametrize(
    ("samples", "rate_hz", "message", "mending"),
    [
        (np.zeros((29_999, 2)), 44100, "agree in length", {"pad_short_stems": True}),
        (np.zeros((30_000, 1)), 44100, "agree in channels", {"mono_to_stereo": True}),
        (np.zeros((30_000, 2)), 48000, "agree in channels and rate", None),
        (np.full((30_000, 2), np.nan), 44100, "finite samples. Received: NaN", None),
        (np.zeros((30_000, 3)), 44100, "channels and rate", {}),
    ],
)
def test_tracks_that_do_not_agree_are_refused_or_mended(
    tmp_path, samples, rate_hz, message, mending
):
    folder = write_tracks(tmp_path / "in", 2)
    damage(folder, "drums", samples, rate_hz)
    tracks = find_tracks(folder)
    (failure,) = prepare_tracks(tracks, tmp_path / "out", SETTINGS)
    assert failure.startswith("train/track 0: ")
    assert message in failure
    assert (tmp_path / "out" / "train" / "track 1").exists()
    if mending:
        mended = Settings(22050, SOURCES, mending=Mending(**mending))
        assert prepare_tracks(tracks, tmp_path / "mended", mended) == []
        assert verify(tmp_path / "mended") == []


def test_a_missing_stem_is_silence_only_if_wished(tmp_path):
    folder = write_tracks(tmp_path / "in", 1)
    (folder / "train" / "track 0" / "bass.flac").unlink()
    tracks = find_tracks(folder)
    settings = Settings(22050, ("bass", "drums", "vocals"))
    (failure,) = prepare_tracks(tracks, tmp_path / "out", settings)
    assert "has no source bass" in failure
    mended = dataclasses.replace(settings, mending=Mending(missing_is_silence=True))
    assert prepare_tracks(tracks, tmp_path / "mended", mended) == []
    bass, _ = soundfile.read(tmp_path / "mended" / "train" / "track 0" / "bass.wav")
    assert len(bass) == 15_000
    assert not bass.any()


def test_sources_are_merged_as_wished(tmp_path):
    folder = write_tracks(tmp_path / "in", 1)
    mending = Mending(merges={"rhythm": ("drums", "bass")})
    settings = Settings(44100, ("rhythm", "vocals"), bit_depth=32, mending=mending)
    assert prepare_tracks(find_tracks(folder), tmp_path / "out", settings) == []
    rhythm, _ = soundfile.read(tmp_path / "out" / "train" / "track 0" / "rhythm.wav")
    stems = [
        soundfile.read(folder / "train" / "track 0" / f"{name}.flac")[0]
        for name in ("drums", "bass")
    ]
    np.testing.assert_allclose(rhythm, sum(stems), atol=1e-6)


@pytest.mark.slow
def test_an_hour_needs_no_more_memory_than_a_minute(tmp_path):
    """Six minutes, in fact: what grows would be hundreds of megabytes by then."""
    minute = np.random.default_rng(0).normal(0, 0.1, (60 * 22050, 2))
    peaks = []
    for minutes in (1, 6):
        folder = tmp_path / str(minutes)
        for name in ("vocals", "drums"):
            path = folder / "in" / "train" / "song" / f"{name}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            with soundfile.SoundFile(path, "w", 22050, 2) as file:
                for _ in range(minutes):
                    file.write(minute)
        code = (
            "import re; from waveunet_tf.data import datasets, manifest, preparation;"
            f"preparation.prepare_tracks(datasets.find_tracks({str(folder / 'in')!r}),"
            f" {str(folder / 'out')!r},"
            " manifest.Settings(8000, ('accompaniment', 'vocals')));"
            "print(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])"
        )
        child = run_python("-c", code)
        peaks.append(int(child.stdout))
    assert peaks[1] < 1.1 * peaks[0]


def test_faster_tracks_are_shorter_and_higher(source_dir, tmp_path):
    settings = Settings(22050, ("vocals",), speed=1.1)
    assert prepare_tracks(find_tracks(source_dir), tmp_path / "out", settings) == []
    path = tmp_path / "out" / "train" / "song" / "vocals.wav"
    stem, rate_hz = soundfile.read(path)
    assert rate_hz == 22050
    assert len(stem) == pytest.approx(22050 / 1.1, abs=1)
    levels = np.abs(np.fft.rfft(stem[:, 0] * np.hanning(len(stem))))
    heard_hz = np.argmax(levels) * rate_hz / len(stem)
    assert heard_hz == pytest.approx(1.1 * 440, abs=rate_hz / len(stem))
    # A folder of another speed is another data set; an earlier manifest tells none.
    with pytest.raises(InputError, match="must be of an earlier run with"):
        prepare_tracks(
            find_tracks(source_dir), tmp_path / "out", Settings(22050, ("vocals",))
        )


def test_what_an_outlived_worker_leaves_is_removed_at_the_end(
    source_dir, tmp_path, monkeypatch
):
    """A killed run's worker may write after the next run has cleared the folder."""
    prepare, left = preparation.prepare_track, []

    def prepare_late(*arguments):
        (tmp_path / "out" / "train").mkdir(exist_ok=True)
        left.append(leave_half(tmp_path / "out" / "train" / "song"))
        return prepare(*arguments)

    monkeypatch.setattr(preparation, "prepare_track", prepare_late)
    prepare_tracks(find_tracks(source_dir), tmp_path / "out", SETTINGS)
    assert left and not left[0].exists()
    assert (tmp_path / "out/train/song/mixture.wav").exists()


@pytest.mark.parametrize("sources", [SOURCES, ("drums", "vocals"), ("bass", "drums")])
def test_stems_that_no_source_takes_are_told_in_one_line(tmp_path, caplog, sources):
    for name in ("one", "two"):
        for stem in ("bass", "drums", "vocals"):
            write_stem(tmp_path / "train" / name / f"{stem}.wav")
    (tmp_path / "train" / "two" / "bass.wav").rename(tmp_path / "train/two/basses.wav")
    wished = Settings(8000, sources, mending=Mending(missing_is_silence=True))
    assert not prepare_tracks(find_tracks(tmp_path), tmp_path / "out", wished)
    told = [line for line in caplog.messages if "in none of the sources" in line]
    unused = {
        SOURCES: [],
        ("drums", "vocals"): ["bass, basses: in none of the sources, and left out, "],
        ("bass", "drums"): ["basses, vocals: in none of the sources, and left out, "],
    }[sources]
    assert [line[: len(start)] for line, start in zip(told, unused)] == unused
    assert len(told) == len(unused)
