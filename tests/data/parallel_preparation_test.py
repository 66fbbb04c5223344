"""Preparing in processes, on Beam and on dask: the same as in this process."""

import json
import pickle
import re
import sys

import numpy as np
import pytest
import soundfile

from tests.data.stems import contents, unreadable, write_tracks
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import Settings, verify, write_manifest
from waveunet_tf.data.preparation import prepare_tracks
from waveunet_tf.errors import InputError
from waveunet_tf.system import beam, files

SETTINGS = Settings(22050, ("accompaniment", "vocals"))


def run_like_beam(function, jobs, output, *, on_results=None, **_):
    """Does what run_on_beam does, in this process, on copies as a worker has them."""
    function, jobs, on_results = pickle.loads(
        pickle.dumps((function, jobs, on_results))
    )
    results = [function(job) for job in reversed(jobs)]  # Beam keeps no order
    on_results(results)
    return json.loads(json.dumps(results))


@pytest.fixture(params=["stand-in", "Beam"])
def beam_runner(request, monkeypatch):
    """The arguments by which tracks are prepared on Beam; twice: the first is none."""
    if request.param == "Beam":
        pytest.importorskip("apache_beam", reason="needs requirements-beam.txt")
        options = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
        return {"pipeline_runner": "DirectRunner", "pipeline_options": options}
    monkeypatch.setattr(beam, "import_beam", lambda: None)
    monkeypatch.setattr(beam, "run_on_beam", run_like_beam)
    return {"pipeline_runner": "stand-in"}


def test_many_workers_write_the_same_bytes_as_one(tmp_path):
    tracks = find_tracks(write_tracks(tmp_path / "in", 5))
    assert prepare_tracks(tracks, tmp_path / "one", SETTINGS) == []
    assert prepare_tracks(tracks, tmp_path / "two", SETTINGS, workers=2) == []
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    assert len(contents(tmp_path / "one")) == 5 * 3 + 1


@pytest.mark.xdist_group("dask")
def test_a_scheduler_prepares_the_same_bytes_and_says_what_fails(
    dask_client, tmp_path, monkeypatch
):
    folder = write_tracks(tmp_path / "in", 3)
    (folder / "train" / "track 1" / "bass.flac").write_bytes(b"no audio")
    tracks = find_tracks(folder)
    expected = prepare_tracks(tracks, tmp_path / "here", SETTINGS)
    monkeypatch.chdir(tmp_path)  # the workers run elsewhere
    scheduler = dask_client.scheduler.address
    assert prepare_tracks(tracks, "out", SETTINGS, scheduler=scheduler) == expected
    assert len(expected) == 1
    assert verify(tmp_path / "out") == []
    assert contents(tmp_path / "out") == contents(tmp_path / "here")


def test_beam_writes_the_same_bytes(tmp_path, beam_runner):
    folder = write_tracks(tmp_path / "in", 4)
    for name in ("y", "z"):
        broken = folder / "train" / name
        broken.mkdir()
        (broken / "vocals.wav").write_bytes(b"nothing to hear")
    tracks = find_tracks(folder)
    failures = prepare_tracks(tracks, tmp_path / "here", SETTINGS)
    came = prepare_tracks(tracks, tmp_path / "beam", SETTINGS, **beam_runner)
    assert came == failures
    assert [line.partition(":")[0] for line in came] == ["train/y", "train/z"]
    assert contents(tmp_path / "beam") == contents(tmp_path / "here")


def test_an_unreadable_stem_costs_its_track_alone_on_beam(tmp_path, beam_runner):
    folder = write_tracks(tmp_path / "in", 3)
    stem = folder / "train" / "track 1" / "drums.flac"
    unreadable(stem)
    (failure,) = prepare_tracks(
        find_tracks(folder), tmp_path / "out", SETTINGS, **beam_runner
    )
    assert failure.startswith(f"train/track 1: {stem}: cannot be read: Input/output")
    assert len(contents(tmp_path / "out")) == 2 * 3 + 1


@pytest.mark.parametrize("done", [0, 1, 2])
def test_what_a_run_on_beam_did_before_it_was_killed_is_kept(
    tmp_path, monkeypatch, done
):
    """Its manifest is written at the end, which it did not reach."""
    tracks = find_tracks(write_tracks(tmp_path / "in", 3))
    prepare_tracks(tracks, tmp_path / "here", SETTINGS)
    monkeypatch.setattr(beam, "import_beam", lambda: None)

    def killed(function, jobs, *_, **__):
        for job in jobs[:done]:
            function(job)
        raise KeyboardInterrupt

    on_beam = {"pipeline_runner": "DirectRunner"}
    monkeypatch.setattr(beam, "run_on_beam", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare_tracks(tracks, tmp_path / "out", SETTINGS, **on_beam)
    labels = []

    def rest(function, jobs, *arguments, **keywords):
        labels.extend(track.label for track, *_ in jobs)
        return run_like_beam(function, jobs, *arguments, **keywords)

    monkeypatch.setattr(beam, "run_on_beam", rest)
    assert prepare_tracks(tracks, tmp_path / "out", SETTINGS, **on_beam) == []
    assert labels == [track.label for track in tracks[done:]]
    assert contents(tmp_path / "out") == contents(tmp_path / "here")


def test_a_note_that_cannot_be_read_counts_for_nothing(tmp_path):
    (track,) = find_tracks(write_tracks(tmp_path / "in", 1))
    prepare_tracks([track], tmp_path / "whole", SETTINGS)
    notes = tmp_path / "out" / ".prepared"
    notes.mkdir(parents=True)
    write_manifest(tmp_path / "out", SETTINGS, {})
    for number, text in enumerate(["", "[", "[]", "{}", '{"label": [], "entry": 1}']):
        (notes / f"{number}.json").write_text(text)
    assert prepare_tracks([track], tmp_path / "out", SETTINGS) == []
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_stopped_run_goes_on_on_beam(tmp_path, beam_runner):
    tracks = find_tracks(write_tracks(tmp_path / "in", 3))
    prepare_tracks(tracks, tmp_path / "whole", SETTINGS)
    prepare_tracks(tracks[:1], tmp_path / "out", SETTINGS)
    done = tmp_path / "out" / "train" / "track 0" / "vocals.wav"
    before = done.stat().st_mtime_ns
    assert prepare_tracks(tracks, tmp_path / "out", SETTINGS, **beam_runner) == []
    assert done.stat().st_mtime_ns == before
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def check_warnings(tmp_path, caplog, **arguments):
    folder = write_tracks(tmp_path / "in", 1)
    song = folder / "train" / "track 0"
    soundfile.write(song / "drums.flac", np.full((30_000, 2), 0.9), 44100)
    soundfile.write(song / "mixture.flac", np.full((30_000, 2), 0.1), 44100)
    with caplog.at_level("WARNING", logger="absl"):
        prepare_tracks(find_tracks(folder), tmp_path / "out", SETTINGS, **arguments)
    texts = [record.getMessage() for record in caplog.records]
    assert any(re.match(r"train/track 0: \d+ samples clipped", text) for text in texts)
    assert any("the mixture is not the sum of its sources" in text for text in texts)


def test_clipped_samples_and_residuals_are_warned_of(tmp_path, caplog):
    check_warnings(tmp_path, caplog)


def test_clipped_samples_and_residuals_are_warned_of_on_beam(
    tmp_path, beam_runner, caplog
):
    check_warnings(tmp_path, caplog, **beam_runner)


def test_two_runs_at_once_do_not_mix(tmp_path):
    tracks = find_tracks(write_tracks(tmp_path / "in", 1))
    with files.locked_folder(tmp_path / "out"):
        with pytest.raises(InputError, match="another run is at work"):
            prepare_tracks(tracks, tmp_path / "out", SETTINGS)
    assert prepare_tracks(tracks, tmp_path / "out", SETTINGS) == []


def test_two_runs_at_once_do_not_mix_on_beam_either(tmp_path, beam_runner):
    tracks = find_tracks(write_tracks(tmp_path / "in", 1))
    with files.locked_folder(tmp_path / "out"):
        with pytest.raises(InputError, match="another run is at work"):
            prepare_tracks(tracks, tmp_path / "out", SETTINGS, **beam_runner)
        assert contents(tmp_path / "out") == {}
    assert prepare_tracks(tracks, tmp_path / "out", SETTINGS, **beam_runner) == []


def test_the_folder_is_locked_as_long_as_beam_is_at_work(tmp_path, monkeypatch):
    tracks = find_tracks(write_tracks(tmp_path / "in", 1))
    refusals = []

    def run(function, jobs, output, *, on_results=None, **_):
        with pytest.raises(InputError, match="another run is at work") as refused:
            prepare_tracks(tracks, output, SETTINGS)
        refusals.append(refused)
        return run_like_beam(function, jobs, output, on_results=on_results)

    monkeypatch.setattr(beam, "import_beam", lambda: None)
    monkeypatch.setattr(beam, "run_on_beam", run)
    prepare_tracks(tracks, tmp_path / "out", SETTINGS, pipeline_runner="stand-in")
    assert len(refusals) == 1


def test_without_beam_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    tracks = find_tracks(write_tracks(tmp_path / "in", 1))
    with pytest.raises(InputError, match="needs Apache Beam: pip install"):
        prepare_tracks(
            tracks, tmp_path / "out", SETTINGS, pipeline_runner="DirectRunner"
        )
    assert not (tmp_path / "out").exists()
