"""A catalogue's folder, lock and ledger, with an engine that works in this process."""

import dataclasses
import os

import numpy as np
import pytest
import soundfile

from tests.separation.numpy_engine import share_separator
from waveunet_tf.errors import InputError
from waveunet_tf.separation.song_catalogue import Catalogue
from waveunet_tf.separation.song_job import Outcome, do_job
from waveunet_tf.separation.songs import SongOptions


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
