import os

import numpy as np
import pytest
import soundfile

from tests.separation.numpy_engine import share_separator
from waveunet_tf.errors import InputError
from waveunet_tf.separation.song_job import Job, do_job, oddities_explained
from waveunet_tf.separation.song_search import Song
from waveunet_tf.separation.songs import SongOptions


@pytest.fixture
def job(tmp_path):
    """The job of a song of two seconds, whose stems are not there yet."""
    soundfile.write(tmp_path / "song.wav", np.full((16000, 1), 0.5), 8000)
    targets = {name: tmp_path / f"{name}.wav" for name in ("vocals", "accompaniment")}
    return Job(Song(tmp_path / "song.wav"), targets, 2.0)


def levels(job):
    return {name: soundfile.read(path)[0].mean() for name, path in job.targets.items()}


def test_a_song_becomes_its_stems(job):
    assert do_job(share_separator(), job, SongOptions())
    assert levels(job) == pytest.approx(
        {"vocals": 0.125, "accompaniment": 0.375}, abs=1e-4
    )


def test_stems_that_exist_are_a_users_unless_an_earlier_run_began_them(job):
    job.targets["vocals"].write_text("a user's")
    with pytest.raises(InputError, match="vocals.wav: must be a new file"):
        do_job(share_separator(), job, SongOptions())
    assert job.targets["vocals"].read_text() == "a user's"
    assert do_job(share_separator(), job._replace(begun=True), SongOptions())
    assert levels(job)["vocals"] == pytest.approx(0.125, abs=1e-4)


def test_a_song_whose_stems_are_there_and_whole_is_skipped(job):
    options = SongOptions(skip_existing=True)
    assert do_job(share_separator(), job, options)
    times = {path: path.stat().st_mtime_ns for path in job.targets.values()}
    assert not do_job(share_separator(0.5), job, options)
    assert {path: path.stat().st_mtime_ns for path in times} == times


@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "other"])
@pytest.mark.parametrize("format", ["wav", "flac", "mp3"])
def test_a_song_with_some_of_its_stems_is_separated_anew(job, damage, format):
    for name, path in job.targets.items():
        job.targets[name] = path.with_suffix(f".{format}")
    options = SongOptions(skip_existing=True, format=format)
    do_job(share_separator(), job, options)
    assert not do_job(share_separator(), job, options)
    stem = job.targets["vocals"]
    if damage == "missing":
        stem.unlink()
    elif damage == "other":
        stem.write_text("a note")
    else:
        os.truncate(stem, stem.stat().st_size // 2 if damage == "cut" else 0)
    assert do_job(share_separator(0.5), job, options)
    assert levels(job)["accompaniment"] == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize("error", [IndexError("list index\nout of range"), TypeError()])
def test_whatever_a_song_raises_is_one_line_of_it(error):
    with pytest.raises(InputError, match="^song: cannot be separated: .*Error: "):
        with oddities_explained("song"):
            raise error


def test_a_window_that_the_memory_cannot_hold_is_told_with_its_flag():
    with pytest.raises(InputError, match="^song: .* more memory than.*--output_frames"):
        with oddities_explained("song"):
            raise MemoryError


@pytest.mark.parametrize("error", [OSError(28, "No space"), KeyboardInterrupt()])
def test_what_is_no_fault_of_a_song_passes(error):
    with pytest.raises(type(error)) as raised, oddities_explained("song"):
        raise error
    assert raised.value is error
