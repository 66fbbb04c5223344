"""run_musdb and run_summary as a user runs them, and what they say to bad input."""

import csv
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import soundfile

from evaluate import scores

ROOT = pathlib.Path(__file__).parents[2]
RATE_HZ = 4000


def run(command, *arguments):
    return subprocess.run(
        [sys.executable, "-m", f"evaluate.{command}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def errors(result):
    assert "Traceback" not in result.stderr
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def write_system(folder, tracks):
    """Writes tracks of frames of SDR, for two sources, as museval does."""
    (folder / "test").mkdir(parents=True)
    for name, values in tracks.items():
        frames = [
            {"time": float(n), "duration": 1.0, "metrics": dict.fromkeys(
                scores.METRICS, value)}
            for n, value in enumerate(values)
        ]  # fmt: skip
        targets = [{"name": own, "frames": frames} for own in ("vocals", "drums")]
        (folder / "test" / f"{name}.json").write_text(json.dumps({"targets": targets}))
    return folder


@pytest.fixture
def data(tmp_path):
    generator = np.random.default_rng(0)
    for name, seconds in (("a", 2), ("b", 3)):
        folder = tmp_path / "data" / "test" / name
        folder.mkdir(parents=True)
        for source, scale in (("vocals", 0.06), ("drums", 0.006)):
            stem = generator.normal(0, scale, (seconds * RATE_HZ, 1))
            soundfile.write(folder / f"{source}.wav", stem, RATE_HZ)
    return tmp_path / "data"


def test_scores_are_written_gone_on_with_and_summarised(data, tmp_path):
    output = tmp_path / "scores"
    flags = (f"--data_dir={data}", f"--output_dir={output}")
    first = run("run_musdb", *flags, "--estimates=mixture", "--workers=2")
    assert first.returncode == 0, first.stderr
    assert "scoring 2 tracks" in first.stderr
    assert first.stdout.splitlines()[2].split()[:3] == ["scores", "vocals", "SDR"]
    (output / "test" / "a.json").unlink()
    second = run("run_musdb", *flags, "--estimates=mixture")
    assert second.returncode == 0 and "1 tracks are scored already" in second.stderr
    other = run("run_musdb", *flags, "--estimates=oracle_irm")
    assert other.returncode == 1 and len(errors(other)) == 1
    assert "--overwrite" in other.stderr and "Traceback" not in other.stderr

    summary = run("run_summary", f"ours={output}", "--metric=all", "--format=csv")
    assert summary.returncode == 0, summary.stderr
    rows = list(csv.DictReader(io.StringIO(summary.stdout)))
    metrics = [row["metric"] for row in rows if row["source"] == "vocals"]
    assert metrics == ["SDR", "ISR", "SIR", "SAR", "PES", "wSDR", "nSDR"]
    # The accompaniment, 20 dB below the vocals, is what is wrong with the mixture.
    for row in rows:
        if row["metric"] in ("SDR", "wSDR", "nSDR"):
            expected = 20 if row["source"] == "vocals" else -20
            assert float(row["median"]) == pytest.approx(expected, abs=2)

    levels = run("run_summary", f"ours={output}", "--by_energy", "--format=json")
    assert levels.returncode == 0
    ranges = {row["source"]: row for row in json.loads(levels.stdout)}
    assert {
        source: (row["from_dbfs"], row["to_dbfs"], row["frames"])
        for source, row in ranges.items()
    } == {"vocals": (-30, -20, 5), "accompaniment": (-50, -40, 5)}


def test_levels_of_foreign_scores_come_from_the_true_stems(data, tmp_path):
    write_system(tmp_path / "x", {"a": [1, 2], "b": [3, 4, 5]})
    without = run("run_summary", f"x={tmp_path}/x", "--by_energy")
    assert without.returncode == 1
    (error,) = errors(without)
    assert "of 2 tracks there are none, such as a" in error and "--data_dir" in error
    came = run(
        "run_summary", f"x={tmp_path}/x", "--by_energy", "--bin_db=15",
        f"--data_dir={data}", "--format=csv",
    )  # fmt: skip
    assert came.returncode == 0, came.stderr
    rows = list(csv.DictReader(io.StringIO(came.stdout)))
    assert [(row["source"], row["from_dbfs"], row["frames"]) for row in rows] == [
        ("drums", "-45.0", "5"),
        ("vocals", "-30.0", "5"),
    ]
    assert [float(row["median"]) for row in rows] == [3, 3]
    weighted = run(
        "run_summary", f"x={tmp_path}/x", "--metric=wSDR,PES", f"--data_dir={data}",
        "--format=csv",
    )  # fmt: skip
    assert weighted.returncode == 1
    assert "PES is left out: a: has no energies of the estimate" in errors(weighted)[0]
    assert len(weighted.stdout.splitlines()) == 3


def test_systems_of_different_tracks_are_compared_on_the_common_ones(tmp_path):
    ours = write_system(tmp_path / "ours", {"a": [1], "b": [2], "c": [9]})
    theirs = write_system(tmp_path / "theirs", {"b": [1], "a": [0], "d": [0]})
    (theirs / "test" / "c.json").write_text('{"targets": [')
    (theirs / "test" / "e.json").write_text('{"tracks": []}')
    result = run("run_summary", f"ours={ours}", f"theirs={theirs}", "--format=json")
    assert result.returncode == 1
    lines = errors(result)
    assert len(lines) == 4
    assert "c.json: must be museval's JSON" in lines[0]
    assert "e.json: must be museval's JSON" in lines[1]
    assert f"{ours}: tracks must be in all systems; left out: c" in lines[2]
    assert f"{theirs}: tracks must be in all systems; left out: d" in lines[3]
    came = json.loads(result.stdout)
    assert {row["tracks"] for row in came["summaries"]} == {2}
    assert {(row["tracks"], row["difference"]) for row in came["comparisons"]} == {
        (2, 1)
    }


def test_a_system_without_scores_is_told_and_the_rest_summarised(tmp_path):
    ours = write_system(tmp_path / "ours", {"a": [1]})
    (tmp_path / "empty").mkdir()
    result = run(
        "run_summary", f"ours={ours}", f"empty={tmp_path}/empty", f"no={tmp_path}/no"
    )
    assert result.returncode == 1
    assert [line.split(": ")[2] for line in errors(result)] == [
        "must hold museval's JSON files, but has none",
        "must be a folder of museval's JSON files, but is none",
    ]
    assert "ours" in result.stdout
    alone = run("run_summary", f"empty={tmp_path}/empty")
    assert (alone.returncode, alone.stdout, len(errors(alone))) == (1, "", 1)
    other = write_system(tmp_path / "other", {"b": [1]})
    apart = run("run_summary", f"ours={ours}", f"other={other}")
    assert apart.returncode == 1 and "track in common" in errors(apart)[0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "needs systems as NAME=DIR"),
        (["scores"], "must be NAME=DIR"),
        (["a=x", "a=y"], "names must differ"),
        (["a=x", "--metric=SNR"], "--metric must be of SDR"),
        (["a=x", "--by_energy", "--metric=PES"], "--metric must be of SDR"),
        (["a=x", "--format=xml"], "format"),
    ],
)
def test_wrong_flags_of_run_summary_exit_with_2(arguments, text):
    result = run("run_summary", *arguments)
    assert result.returncode == 2
    assert len(errors(result)) == 1 and text in errors(result)[0]


def test_wrong_flags_and_folders_of_run_musdb_are_told(data, tmp_path):
    flags = (f"--data_dir={data}", f"--output_dir={tmp_path}/scores")
    for more, code, text in (
        ([], 2, "estimates_dir"),
        (["--estimates=mixture", "--tflite=x"], 2, "Exactly one of"),
        (["--tflite=x", "--sources=vocals"], 2, "no --sources"),
        (["--estimates=mixture", "--", "--fast"], 2, "--fast"),
        ([f"--tflite={tmp_path}/no.tflite"], 1, "no.tflite: No such file"),
        ([f"--estimates_dir={tmp_path}/no"], 1, "no: must be a folder"),
        ([f"--checkpoint={tmp_path}"], 1, "must be a checkpoint"),
        (["--estimates=mixture", "--subset=train"], 1, "must hold tracks of train"),
    ):
        result = run("run_musdb", *flags, *more)
        assert result.returncode == code, (more, result.stderr)
        assert len(errors(result)) == 1 and text in errors(result)[0], more
    assert not (tmp_path / "scores").exists()


def test_the_published_statistics_come_out_of_the_command(shared_data, tmp_path):
    archive = shared_data / "sisec2018-stl1" / "stl1-test-json.tar.gz"
    with tarfile.open(archive) as file:
        file.extractall(tmp_path)
    result = run("run_summary", f"STL1={tmp_path}", "--format=csv")
    assert result.returncode == 0
    heading, accompaniment, vocals = csv.reader(io.StringIO(result.stdout))
    assert ",".join(heading) == (
        "system,source,metric,median,mad,mean,sd,track_median,frames,nan_frames,tracks"
    )
    for row, published in (
        (vocals, (4.46, 3.21, 0.65, 13.67, 4.97)),
        (accompaniment, (10.69, 3.15, 11.85, 7.03, 11.11)),
    ):
        assert [float(value) for value in row[3:8]] == pytest.approx(
            published, abs=0.0051
        )
        assert row[8:] == ["12439", "2799", "50"]


def test_ctrl_c_leaves_nothing_half_written(data, tmp_path):
    for number in range(4):
        shutil.copytree(data / "test" / "b", data / "test" / f"b{number}")
    output = tmp_path / "scores"
    child = subprocess.Popen(
        [sys.executable, "-m", "evaluate.run_musdb", f"--data_dir={data}",
         f"--output_dir={output}", "--estimates=mixture", "--workers=2"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 90
    while not list(output.glob("test/[!.]*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130 and "Traceback" not in stderr, stderr
    assert stderr.splitlines()[-1] == "interrupted"
    assert not list(output.rglob(".part-*"))
    assert 1 <= len(scores.read_system(output)) <= 6
