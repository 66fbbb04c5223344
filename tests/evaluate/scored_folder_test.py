"""Folders of scores: what a later run adds, replaces and leaves alone."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import soundfile
import yaml

from tests.data.stems import contents
from tests.evaluate.short_tracks import HALVES, MIXTURE, RATE_HZ, write_stems
from tests.system.leftovers import leave_half
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import scored_folder, scoring
from waveunet_tf.evaluate.estimators import OracleEstimator


def warnings_of(caplog):
    return [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]


def test_what_is_scored_is_not_scored_again(data, tmp_path):
    tracks = find_tracks(data)[:2]
    scoring.score_tracks(tracks, MIXTURE, tmp_path)
    kept, gone = (tmp_path / "test" / f"{name}.json" for name in "ab")
    before = contents(tmp_path)
    kept.write_text(kept.read_text() + "\n")
    gone.unlink()
    leave_half(tmp_path / "test" / "x.json")
    scoring.score_tracks(tracks, MIXTURE, tmp_path)
    assert contents(tmp_path) == {**before, "test/a.json": kept.read_bytes()}
    scoring.score_tracks(tracks, MIXTURE, tmp_path, overwrite=True)
    assert contents(tmp_path) == before


def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path):
    """SIGKILL after the first track; no half of a file has a final name."""
    for number in range(4):
        write_stems(tmp_path / "data" / "test" / f"t{number}", 10 * number, 5 * RATE_HZ)
    tracks = find_tracks(tmp_path / "data")
    scoring.score_tracks(tracks, MIXTURE, tmp_path / "whole")
    code = (
        "import sys; from waveunet_tf.evaluate import scoring; "
        "from waveunet_tf.evaluate.estimators import MixtureEstimator; "
        "from waveunet_tf.data.datasets import find_tracks;"
        "scoring.score_tracks(find_tracks(sys.argv[1]), MixtureEstimator("
        "('accompaniment', 'vocals')), sys.argv[2])"
    )
    output = tmp_path / "killed"
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "data"), str(output)],
        cwd=pathlib.Path(__file__).parents[2],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(output.glob("test/[!.]*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done = len(list(output.glob("test/[!.]*.json")))
    assert 1 <= done < 4
    for path in output.glob("test/[!.]*.json"):
        json.loads(path.read_text())
    scoring.score_tracks(tracks, MIXTURE, output)
    assert contents(output) == contents(tmp_path / "whole")


def test_tracks_whose_estimates_are_replaced_are_scored_again(
    data, estimates, tmp_path, caplog
):
    tracks, output = find_tracks(data), tmp_path / "scores"
    scoring.score_tracks(tracks, estimates, output)
    before = contents(output)
    folder = tmp_path / "estimates" / "test"
    stem = folder / "b" / "vocals.wav"
    time_ns = stem.stat().st_mtime_ns
    audio, _ = soundfile.read(stem)
    soundfile.write(stem, audio[::-1], RATE_HZ, subtype="FLOAT")
    os.utime(stem, ns=(time_ns, time_ns + 1000))
    (folder / "c" / "vocals.wav").unlink()  # to save disk: its scores are kept
    assert not scoring.score_tracks(tracks, estimates, output)
    again = contents(output)
    assert {name for name in again if again[name] != before[name]} == {
        *("test/b.json", "test/b.energies.csv", scored_folder.NOTE)
    }
    assert warnings_of(caplog) == ["test/b: has other stems now: scored again"]
    caplog.clear()
    assert not scoring.score_tracks(tracks, estimates, output)
    assert contents(output) == again and "again" not in caplog.text
    scoring.score_tracks(tracks[1:2], estimates, tmp_path / "fresh")
    assert contents(tmp_path / "fresh")["test/b.json"] == again["test/b.json"]


def test_tracks_whose_true_stems_are_replaced_are_scored_again(
    data, estimates, tmp_path, caplog
):
    """As far as their estimates are still there; a stem that is not read is none."""
    tracks, output = find_tracks(data), tmp_path / "scores"
    scoring.score_tracks(tracks, estimates, output)
    before = contents(output)
    for name in "bc":
        write_stems(data / "test" / name, 100, names=HALVES[:1])
    write_stems(data / "test" / "a", names=("drums",))
    (tmp_path / "estimates" / "test" / "c" / "vocals.wav").unlink()
    tracks = find_tracks(data)
    assert not scoring.score_tracks(tracks, estimates, output)
    again = contents(output)
    assert {name for name in again if again[name] != before[name]} == {
        *("test/b.json", "test/b.energies.csv", scored_folder.NOTE)
    }
    assert warnings_of(caplog) == ["test/b: has other stems now: scored again"]
    scoring.score_tracks(tracks[1:2], estimates, tmp_path / "fresh")
    assert contents(tmp_path / "fresh")["test/b.json"] == again["test/b.json"]


def test_scores_of_a_version_that_noted_estimates_alone_are_kept(data, tmp_path):
    tracks = find_tracks(data)[:2]
    scoring.score_tracks(tracks, MIXTURE, tmp_path)
    before = contents(tmp_path)
    path = tmp_path / scored_folder.NOTE
    note = yaml.safe_load(path.read_text())
    note["estimates"] = note.pop("files")
    path.write_text(yaml.safe_dump(note))
    scoring.score_tracks(tracks, MIXTURE, tmp_path)
    assert contents(tmp_path) == before


def test_scores_of_another_estimator_are_kept_apart(data, tmp_path):
    tracks = find_tracks(data)[:2]
    scoring.score_tracks(tracks, MIXTURE, tmp_path, about={"data_dir": "here"})
    before = contents(tmp_path)
    oracle = OracleEstimator(HALVES)
    for estimator, about, named in (
        (oracle, {"data_dir": "here"}, "estimator"),
        (MIXTURE, {"data_dir": "there"}, "data_dir"),
        (dataclasses.replace(MIXTURE, sources=HALVES[::-1]), {"data_dir": "here"}, ""),
    ):
        with pytest.raises(InputError, match=rf"scores of another \(.*{named}"):
            scoring.score_tracks(tracks, estimator, tmp_path, about=about)
    assert contents(tmp_path) == before
    scoring.score_tracks(tracks[:1], oracle, tmp_path, overwrite=True)
    assert sorted(path.name for path in (tmp_path / "test").iterdir()) == [
        "a.energies.csv",
        "a.json",
    ]


def test_scores_without_a_note_are_not_touched(data, tmp_path):
    foreign = tmp_path / "test" / "other.json"
    foreign.parent.mkdir()
    foreign.write_text("{}")
    with pytest.raises(InputError, match="without a note of their estimator"):
        scoring.score_tracks(find_tracks(data), MIXTURE, tmp_path)
    (tmp_path / scored_folder.NOTE).write_text(": no yaml [")
    with pytest.raises(InputError, match="scores of another"):
        scoring.score_tracks(find_tracks(data), MIXTURE, tmp_path)
    for note in (": no yaml [", "a: 1", None):
        (tmp_path / scored_folder.NOTE).unlink()
        if note is not None:
            (tmp_path / scored_folder.NOTE).write_text(note)
        with pytest.raises(InputError, match="replaces scores of `waveunet score` onl"):
            scoring.score_tracks(find_tracks(data), MIXTURE, tmp_path, overwrite=True)
        (tmp_path / scored_folder.NOTE).write_text("")
    assert foreign.read_text() == "{}"


def test_only_scores_are_overwritten(data, tmp_path):
    tracks = find_tracks(data)[:1]
    scoring.score_tracks(tracks, MIXTURE, tmp_path)
    (tmp_path / "test" / "notes.json").write_text("mine")
    (tmp_path / "test" / "table.energies.csv").write_text("mine")
    before = contents(tmp_path)
    (tmp_path / "test" / "a.json").write_text("another")
    scoring.score_tracks(tracks, MIXTURE, tmp_path, overwrite=True)
    assert contents(tmp_path) == before
