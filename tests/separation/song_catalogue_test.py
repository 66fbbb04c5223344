"""A catalogue's folder, lock and ledger, with an engine that works in this process."""

import dataclasses
import os
import time

import numpy as np
import pytest
import soundfile

from tests.separation.numpy_engine import share_separator
from tests.system.leftovers import leave_half
from waveunet_tf.errors import InputError
from waveunet_tf.separation.song_catalogue import Catalogue
from waveunet_tf.separation.song_job import Outcome, do_job
from waveunet_tf.separation.songs import SongOptions
from waveunet_tf.system import part_folders


@dataclasses.dataclass(frozen=True)
class Source:
    sources: tuple[str, ...] = ("accompaniment", "vocals")
    sha256: str = "0" * 64


@pytest.fixture
def songs(tmp_path):
    folder = tmp_path / "songs"
    folder.mkdir()
    for name in "abc":
        soundfile.write(folder / f"{name}.wav", np.full((4000, 2), 0.1), 8000)
    return folder


class Engine:
    """Does jobs here, until it has done so many; `died` is raised then."""

    def __init__(self, jobs=100):
        self.left, self.done = jobs, []

    def __call__(self, jobs, options):
        for job in jobs:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            separated = do_job(share_separator(), job, options)
            self.done.append(job.song.path.name)
            yield Outcome(job, None, separated, 0.1, "here")


def test_a_stopped_catalogue_goes_on(songs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second, third = Engine(2), Engine(), Engine()
    with pytest.raises(KeyboardInterrupt):
        with Catalogue(["songs"], SongOptions(), Source()) as catalogue:
            catalogue.run(first)
    monkeypatch.chdir("/")  # paths are absolute
    options = SongOptions(output_dir=tmp_path / "stems")
    for engine in (second, third):
        with Catalogue([songs], options, Source()) as catalogue:
            catalogue.run(engine)
        assert catalogue.failures == []
    assert (first.done, second.done) == (["a.wav", "b.wav"], ["c.wav"])
    assert (third.done, catalogue.already_done) == ([], 3)


def test_parts_of_killed_processes_are_swept_when_their_song_is_begun(songs, tmp_path):
    """One of this machine; of others, one that may live, and one that is a day old."""
    stems = {name: tmp_path / "stems" / name for name in "abc"}
    options = SongOptions(output_dir=tmp_path / "stems")
    with Catalogue([songs / "a.wav"], options, Source()) as catalogue:
        catalogue.run(Engine())
    for folder in stems.values():
        folder.mkdir(exist_ok=True)
    left = leave_half(stems["b"] / "half")
    of_a_copy = leave_half(stems["a"] / "half")  # a is done, and stays so.
    elsewhere = [stems["c"] / f".part-00000000-1-{digit * 16}" for digit in "01"]
    for folder, hours in zip(elsewhere, (23, 25)):
        folder.mkdir()
        then = time.time() - hours * 3600
        os.utime(folder, (then, then))
    with part_folders.part_folder(stems["b"]) as living:
        with Catalogue([songs], options, Source()) as catalogue:
            catalogue.run(Engine())
        assert living.exists()
    assert (catalogue.failures, catalogue.already_done) == ([], 1)
    assert not left.exists() and not of_a_copy.exists()
    assert [folder.exists() for folder in elsewhere] == [True, False]
    assert len(list((tmp_path / "stems").rglob("*.wav"))) == 6


def test_two_runs_do_not_share_a_folder(songs, tmp_path):
    options = SongOptions(output_dir=tmp_path / "stems")
    with Catalogue([songs], options, Source()):
        with pytest.raises(InputError, match="stems: another run is at work in it"):
            Catalogue([songs], options, Source()).__enter__()
    with Catalogue([songs], options, Source()):
        pass


def test_how_stems_that_exist_are_treated_changes_no_stem(songs, tmp_path):
    options = SongOptions(output_dir=tmp_path / "stems", overwrite=True)
    with Catalogue([songs], options, Source()) as catalogue:
        catalogue.run(Engine())
    for change in ({"skip_existing": True}, {}):
        options = SongOptions(output_dir=tmp_path / "stems", **change)
        with Catalogue([songs], options, Source()) as catalogue:
            assert catalogue.already_done == 3
    options = SongOptions(output_dir=tmp_path / "stems", stems=("vocals",))
    with Catalogue([songs], options, Source()) as catalogue:
        assert catalogue.already_done == 0
        assert len(catalogue.failures) == 3


def test_stems_of_a_song_that_is_done_are_not_given_to_another(songs, tmp_path):
    options = SongOptions(output_dir=tmp_path / "stems")
    with Catalogue([songs / "a.wav"], options, Source()) as catalogue:
        catalogue.run(Engine())
    other = tmp_path / "other" / "a.wav"
    other.parent.mkdir()
    other.write_bytes((songs / "b.wav").read_bytes())
    with Catalogue([songs / "a.wav", other], options, Source()) as catalogue:
        assert catalogue.jobs == []
    (failure,) = catalogue.failures
    assert f"is a stem of {songs}/a.wav" in str(failure)


@pytest.mark.parametrize(
    ("names", "options"),
    [(["-"], {}), (["a.wav"], {"output_dir": "-", "stems": ("vocals",)})],
)
def test_pipes_are_refused(names, options):
    with pytest.raises(InputError, match="pipes do not reach other workers"):
        Catalogue(names, SongOptions(**options), Source())


def test_a_home_folder_and_patterns_are_found(songs, monkeypatch):
    monkeypatch.setenv("HOME", str(songs))
    options = SongOptions(output_dir="~/stems")
    with Catalogue(["~/a.wav", f"{songs}/[bc].wav"], options, Source()) as catalogue:
        paths = [os.fspath(job.song.path) for job in catalogue.jobs]
    assert paths == [f"{songs}/{name}.wav" for name in "abc"]


def test_an_empty_name_is_not_the_folder_that_one_is_in(songs, monkeypatch):
    monkeypatch.chdir(songs)
    with Catalogue([""], SongOptions(output_dir="stems"), Source()) as catalogue:
        (failure,) = catalogue.failures
        assert not catalogue.jobs
    assert str(failure) == "a song must have a name. Received: ''"
