import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from tests.command_line import ROOT, check_refusal, run_here
from tests.data.stems import contents, write_tracks
from waveunet_tf.data import preparation
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import Settings, verify
from waveunet_tf.data.preparation import prepare_tracks

PREPARE = "waveunet_tf prepare"
SETTINGS = Settings(22050, ("accompaniment", "vocals"))


@pytest.fixture(scope="module")
def source_dir(tmp_path_factory):
    """Tracks that take so long that a run can be stopped amid them."""
    return write_tracks(tmp_path_factory.mktemp("source"), 6, frames=400_000)


@pytest.fixture(scope="module")
def whole(source_dir, tmp_path_factory):
    """What a run that is not stopped writes."""
    folder = tmp_path_factory.mktemp("whole")
    assert prepare_tracks(find_tracks(source_dir), folder, SETTINGS) == []
    return contents(folder)


def command(source, output, workers):
    return [
        *(sys.executable, "-m", *PREPARE.split(), "--dataset=folder"),
        *(f"--source={source}", f"--output={output}", f"--workers={workers}"),
    ]


def wait_for(child, folder, pattern):
    """Waits until a run has written a file of this pattern."""
    found = []
    while not found:
        assert child.poll() is None, "the run has ended already"
        time.sleep(0.01)
        with contextlib.suppress(FileNotFoundError):  # a folder gets its final name
            found = list(folder.rglob(pattern))


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_killed_run_goes_on_to_the_same_bytes(source_dir, whole, tmp_path, workers):
    output = tmp_path / "out"
    child = subprocess.Popen(
        command(source_dir, output, workers), start_new_session=True
    )
    wait_for(child, output, "train/track*")
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    assert contents(output) != whole
    tracks = find_tracks(source_dir)
    assert prepare_tracks(tracks, output, SETTINGS, workers=workers) == []
    assert contents(output) == whole


def test_workers_end_with_their_parent_and_a_resume_needs_no_help(
    source_dir, whole, tmp_path
):
    child = subprocess.Popen(command(source_dir, tmp_path / "out", 2))
    wait_for(child, tmp_path / "out", "train/track*")
    child.kill()  # the parent alone
    child.wait()
    subprocess.run(command(source_dir, tmp_path / "out", 2), check=True)
    assert verify(tmp_path / "out") == []
    assert contents(tmp_path / "out") == whole


def test_ctrl_c_leaves_nothing_half_written(source_dir, tmp_path):
    child = subprocess.Popen(
        command(source_dir, tmp_path / "out", 2),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(child, tmp_path / "out", ".part-*/*/*.wav")
    os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all processes
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    assert "Traceback" not in errors
    assert errors.endswith("interrupted\n")
    assert not list((tmp_path / "out").rglob(".part-*"))


def run_prepare(folder, *arguments, source=None):
    return run_here(
        PREPARE,
        *("--dataset=folder", f"--source={source or folder / 'in'}"),
        *(f"--output={folder / 'out'}", "--workers=1", *arguments),
    )


def test_flags_are_the_settings(tmp_path):
    write_tracks(tmp_path / "in", 2)
    result = run_prepare(
        tmp_path,
        *("--sample_rate_hz=8000", "--bit_depth=24", "--sources=rhythm,vocals"),
        *("--merge=rhythm=drums+bass", "--validation=fraction:0.1", "--speed=1.1"),
        *("--pad_short_stems", "--mono_to_stereo", "--missing_is_silence"),
        "--rest=vocals",
    )
    assert result.returncode == 0, result.stderr
    assert f"1 of 1 tracks in {tmp_path}/out" in result.stdout  # the other is valid
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    (entry,) = manifest.pop("tracks").values()
    assert entry["frames"] == pytest.approx(30_000 * 8000 / 44100 / 1.1, abs=1)
    assert manifest == {
        "format_version": 2,
        "sample_rate_hz": 8000,
        "sources": ["rhythm", "vocals"],
        "bit_depth": 24,
        "validation": "fraction:0.1",
        "speed": 1.1,
        "mending": {
            "merges": {"rhythm": ["drums", "bass"]},
            "missing_is_silence": True,
            "pad_short_stems": True,
            "mono_to_stereo": True,
            "rest": "vocals",
        },
    }


def test_a_dry_run_tells_what_is_to_do_and_writes_nothing(tmp_path):
    folder = write_tracks(tmp_path / "in", 3)
    (folder / "train" / "track 2" / "vocals.flac").unlink()
    tracks = find_tracks(folder)
    result = run_prepare(tmp_path, "--dry_run")
    check_refusal(result, 1, "train/track 2: has neither accompaniment nor vocals")
    assert "train/track 0: 0.7 s at 44100 Hz" in result.stdout
    assert "\n1.4 seconds to prepare at 22050 Hz" in result.stdout
    assert not (tmp_path / "out").exists()
    prepare_tracks(tracks[:1], tmp_path / "out", SETTINGS)
    before = contents(tmp_path / "out")
    result = run_prepare(tmp_path, "--dry_run")
    assert "train/track 0: is prepared already" in result.stdout
    assert "train/track 1: 0.7 s" in result.stdout
    assert contents(tmp_path / "out") == before


def test_a_broken_track_is_an_error_after_all_others_are_done(tmp_path):
    folder = write_tracks(tmp_path / "in", 2)
    song = folder / "train" / "track 0" / "drums.flac"
    soundfile.write(song, np.zeros((10, 2)), 44100)
    result = run_prepare(tmp_path)
    check_refusal(result, 1, "train/track 0: its stems must agree in length")
    assert "1 of 2 tracks in" in result.stdout
    assert (tmp_path / "out" / "train" / "track 1" / "vocals.wav").exists()


def test_verification_counts_its_problems(tmp_path):
    prepare_tracks(
        find_tracks(write_tracks(tmp_path / "in", 1)), tmp_path / "out", SETTINGS
    )
    verifying = ["--verify", f"--output={tmp_path}/out"]
    result = run_here(PREPARE, *verifying)
    assert (result.returncode, result.stdout) == (0, f"{tmp_path}/out: 0 problems\n")
    (tmp_path / "out" / "train" / "track 0" / "mixture.wav").unlink()
    result = run_here(PREPARE, *verifying)
    check_refusal(result, 1, "mixture.wav: is missing")
    assert "1 problems" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--merge=rhythm"], "--merge must be as name=stem+stem. Received: rhythm"),
        (["--merge=rhythm=drums+"], "Received: rhythm=drums+"),
        (["--merge=r=drums", "--merge= r =bass"], "Received:  r =bass"),
        (["--merge=rhythm=bass+bass"], "different stems. Received: rhythm=bass+bass"),
        (["--merge=rhythm=drums"], "`merges` must be of the sources accompaniment"),
        (["--sources=vocals,mixture"], "`sources` must be different names, and not"),
        (["--speed=3"], "speed"),
        (["--workers=0"], "workers"),
        (["--", "--direct_num_workers=2"], "takes no arguments but a --runner's"),
    ],
)
def test_wrong_flags_are_refused_before_anything_is_written(
    tmp_path, arguments, message
):
    write_tracks(tmp_path / "in", 1)
    check_refusal(run_prepare(tmp_path, *arguments), 2, message)
    assert not (tmp_path / "out").exists()


def test_another_speed_needs_training_tracks(tmp_path):
    (write_tracks(tmp_path / "in", 1) / "train").rename(tmp_path / "in" / "test")
    result = run_prepare(tmp_path, "--speed=1.1")
    check_refusal(result, 1, "in: must hold tracks of train")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["--runner=FlinkRunner", "--scheduler=local"])
def test_workers_elsewhere_find_a_source_that_is_given_from_here(
    tmp_path, monkeypatch, where
):
    write_tracks(tmp_path / "in", 1)
    prepared = []
    monkeypatch.setattr(
        preparation,
        "prepare_tracks",
        lambda tracks, *_, **options: prepared.extend(tracks) or [],
    )
    here = os.path.relpath(tmp_path / "in", ROOT)
    result = run_prepare(tmp_path, where, source=here)
    assert result.returncode == 0, result.stderr
    (track,) = prepared
    assert all(stem.path.is_absolute() for stem in track.sources.values())


def test_a_source_or_verification_is_needed(tmp_path):
    result = run_here(PREPARE, f"--output={tmp_path}")
    check_refusal(result, 2, "needs --dataset and --source, or --verify")


def test_a_runner_needs_beam(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    write_tracks(tmp_path / "in", 1)
    result = run_prepare(tmp_path, "--runner=DirectRunner", "--", "--a_beam_option=1")
    check_refusal(result, 1, "pip install -r requirements-beam.txt")
    assert not (tmp_path / "out").exists()
