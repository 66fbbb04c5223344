"""Songs on Apache Beam, or on a stand-in that works in this process."""

import errno
import functools
import json
import os
import pickle
from concurrent import futures

import numpy as np
import pytest
import soundfile

import waveunet_tf
from tests.audio import planted_decoders
from tests.audio.signals import tone, write_with_ffmpeg
from waveunet_tf.audio import decoder_child, decoder_process
from waveunet_tf.separation import songs_on_beam
from waveunet_tf.separation.separator_source import CheckpointSource
from waveunet_tf.separation.song_catalogue import Catalogue
from waveunet_tf.separation.songs import SongOptions, separate_songs
from waveunet_tf.separation.songs_on_beam import separate_on_beam
from waveunet_tf.system import beam


def run_like_beam(function, jobs, output, *, pipeline_runner, options):
    """Does what run_on_beam does, on copies and in a thread as a worker has them."""
    function, jobs = pickle.loads(pickle.dumps((function, jobs)))
    with futures.ThreadPoolExecutor(1) as worker:
        return json.loads(json.dumps(list(worker.map(function, reversed(jobs)))))


@pytest.fixture(params=["stand-in", "DirectRunner", "DaskRunner"])
def runner(request, monkeypatch):
    """The pipeline runner, and its options."""
    if request.param == "stand-in":
        monkeypatch.setattr(beam, "run_on_beam", run_like_beam)
        return "DirectRunner", []
    pytest.importorskip("apache_beam", reason="needs requirements-beam.txt")
    if request.param == "DirectRunner":
        return request.param, ["--direct_num_workers=1"]
    client = request.getfixturevalue("dask_client")
    return request.param, [f"--dask_client_address={client.scheduler.address}"]


@pytest.mark.xdist_group("dask")
def test_a_pipeline_runner_writes_the_same_stems_and_a_ledger(
    runner, kept_checkpoint, tmp_path
):
    waveunet_tf.load(kept_checkpoint, engine="litert", threads=1)  # converts it
    source = CheckpointSource.open(
        kept_checkpoint, overrides={}, engine="litert", threads=1
    )
    (tmp_path / "songs").mkdir()
    for number in range(3):
        audio = np.random.default_rng(number).normal(0, 0.1, (8000, 2))
        soundfile.write(tmp_path / "songs" / f"{number}.wav", audio, 8000)
    whole = (tmp_path / "songs" / "0.wav").read_bytes()
    (tmp_path / "songs" / "0.wav").write_bytes(whole[:-8000])
    here = SongOptions(output_dir=tmp_path / "here")
    expected = separate_songs(tmp_path / "songs", here, source.load())
    options = SongOptions(output_dir=tmp_path / "stems")
    engine = functools.partial(separate_on_beam, *runner, source)
    for done_already in (0, 2):  # the second run goes on
        with Catalogue([tmp_path / "songs"], options, source) as catalogue:
            assert catalogue.already_done == done_already
            catalogue.run(engine)
        assert list(map(str, catalogue.failures)) == list(map(str, expected))
        assert len(expected) == 1
    for stem in (tmp_path / "here").rglob("*.wav"):
        other = tmp_path / "stems" / stem.relative_to(tmp_path / "here")
        assert other.read_bytes() == stem.read_bytes()


def test_a_song_that_crashes_its_decoder_fails_alone(
    kept_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(beam, "run_on_beam", run_like_beam)
    monkeypatch.setattr(decoder_child, "_START", planted_decoders.START)
    monkeypatch.setattr(decoder_process, "_kept", [])
    source = CheckpointSource.open(
        kept_checkpoint, overrides={}, engine="litert", threads=1
    )
    songs = [tmp_path / name for name in ("a.m4a", "b-segv.m4a", "c.m4a")]
    for song in songs:
        write_with_ffmpeg(song, "aac", tone(30_000))
    options = SongOptions(output_dir=tmp_path / "stems")
    with Catalogue(songs, options, source) as catalogue:
        catalogue.run(functools.partial(separate_on_beam, "DirectRunner", [], source))
    (failure,) = catalogue.failures
    assert "b-segv.m4a: cannot be decoded: its decoder crashed" in str(failure)
    assert len(list((tmp_path / "stems").rglob("*.wav"))) == 4
    (process,) = decoder_process._kept  # It waits for later songs.
    process.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_no_fault_of_a_songs(tmp_path, monkeypatch, code):
    def fail(*_):
        raise OSError(code, os.strerror(code), "stem.wav")

    monkeypatch.setattr(songs_on_beam, "do_job", fail)
    monkeypatch.setattr(songs_on_beam, "_load_once", lambda source: None)
    if code == errno.ENOSPC:
        with pytest.raises(OSError, match="No space left on device"):
            songs_on_beam._separate(None, SongOptions(), (7, None))
    else:
        number, separated, reason, *_ = songs_on_beam._separate(
            None, SongOptions(), (7, None)
        )
        assert (number, separated) == (7, False)
        assert reason == "stem.wav: Input/output error"
