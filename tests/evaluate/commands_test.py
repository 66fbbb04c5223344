"""The commands but run_report as a user runs them, and their answers to bad input."""

import csv
import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
import soundfile

from tests import command_line
from tests.command_line import ROOT, check_refusal
from tests.evaluate.report.report_songs import write_scores
from waveunet_tf.evaluate import energies, scores

RATE_HZ = 4000


def run(command, *arguments):
    return command_line.run_here(f"evaluate.{command}", *arguments)


def errors(result):
    assert "Traceback" not in result.stderr
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def write_system(folder, tracks):
    """Writes tracks of frames of SDR, the same for two sources."""
    for name, values in tracks.items():
        write_scores(folder, name, {"vocals": values, "drums": values})
    return folder


@pytest.mark.parametrize(
    "command", ["run_statistics", "run_plots", "run_seams", "run_report"]
)
def test_a_command_starts_as_a_program(command, tmp_path):
    result = command_line.run(f"evaluate.{command}", f"--output_dir={tmp_path}/new")
    check_refusal(result, 2)
    assert not list(tmp_path.iterdir())


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
    first = run("run_score", *flags, "--estimates=mixture")
    assert first.returncode == 0, first.stderr
    assert "scoring 2 tracks" in first.stderr
    assert first.stdout.splitlines()[2].split()[:3] == ["scores", "vocals", "SDR"]
    (output / "test" / "a.json").unlink()
    second = run("run_score", *flags, "--estimates=mixture")
    assert second.returncode == 0 and "1 tracks are scored already" in second.stderr
    other = run("run_score", *flags, "--estimates=oracle_irm")
    assert other.returncode == 1 and len(errors(other)) == 1
    assert "--overwrite" in other.stderr and "Traceback" not in other.stderr

    summary = run("run_statistics", f"ours={output}", "--metric=all", "--format=csv")
    assert summary.returncode == 0, summary.stderr
    rows = list(csv.DictReader(io.StringIO(summary.stdout)))
    metrics = [row["metric"] for row in rows if row["source"] == "vocals"]
    assert metrics == ["SDR", "ISR", "SIR", "SAR", "PES", "wSDR", "nSDR"]
    # The accompaniment, 20 dB below the vocals, is what is wrong with the mixture.
    for row in rows:
        if row["metric"] in ("SDR", "wSDR", "nSDR"):
            expected = 20 if row["source"] == "vocals" else -20
            assert float(row["median"]) == pytest.approx(expected, abs=2)

    levels = run("run_statistics", f"ours={output}", "--by_energy", "--format=json")
    assert levels.returncode == 0
    ranges = {row["source"]: row for row in json.loads(levels.stdout)}
    assert {
        source: (row["from_dbfs"], row["to_dbfs"], row["frames"])
        for source, row in ranges.items()
    } == {"vocals": (-30, -20, 5), "accompaniment": (-50, -40, 5)}


def test_a_strangers_file_beside_the_scores_hides_no_track_that_failed(data, tmp_path):
    (data / "test" / "b" / "vocals.wav").write_text("nothing to hear")
    stranger = tmp_path / "scores" / "test" / "notes.json"
    flags = (f"--data_dir={data}", f"--output_dir={tmp_path / 'scores'}")
    run("run_score", *flags, "--estimates=mixture")
    stranger.write_text("{}")
    result = run("run_score", *flags, "--estimates=mixture")
    assert result.returncode == 1
    assert result.stdout.splitlines()[2].split()[:3] == ["scores", "vocals", "SDR"]
    first, second = errors(result)
    assert first.startswith(f"error: {stranger}: ") and "test/b" in second


def test_a_song_without_vocals_goes_through_all_tables_and_figures(tmp_path):
    """One of a whole song, and one song whose vocals' estimate is silent."""
    generator = np.random.default_rng(1)
    silence = {"a": "data/test/a/vocals.wav", "b": "estimates/test/b/vocals.wav"}
    for name in "ab":
        for source in ("vocals", "accompaniment"):
            for root, level in (("data", 0.1), ("estimates", 0.09)):
                path = tmp_path / root / "test" / name / f"{source}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                stem = generator.normal(0, level, (2 * RATE_HZ, 1))
                stem *= str(path.relative_to(tmp_path)) not in silence.values()
                soundfile.write(path, stem, RATE_HZ)
    flags = (f"--data_dir={tmp_path}/data", f"--estimates_dir={tmp_path}/estimates")
    result = run("run_score", *flags, f"--output_dir={tmp_path}/scores")
    assert result.returncode == 0, result.stderr
    assert "test/a: vocals is silent throughout" in result.stderr
    assert "the estimate of vocals is silent in 2 of the 2 frames" in result.stderr
    accompaniment, vocals = result.stdout.splitlines()[1:]
    assert accompaniment.split()[-3:] == ["4", "0", "2"]
    assert vocals.split()[-3:] == ["4", "4", "2"]
    assert vocals.split()[3:8] == ["nan"] * 5

    system = f"x={tmp_path}/scores"
    table = run("run_statistics", system, f"y={tmp_path}/scores", "--metric=all",
                "--format=json")  # fmt: skip
    assert table.returncode == 0, table.stderr
    rows = {
        (row["source"], row["metric"]): row
        for row in json.loads(table.stdout)["summaries"]
    }
    assert rows["vocals", "SDR"]["median"] is None
    assert rows["accompaniment", "SDR"]["nan_frames"] == 0
    assert rows["accompaniment", "SIR"]["nan_frames"] == 2
    assert rows["vocals", "PES"]["frames"] == 2  # the estimate in the song without
    assert rows["vocals", "wSDR"]["median"] is None
    levels = run("run_statistics", system, "--by_energy", "--format=json")
    assert levels.returncode == 0, levels.stderr
    assert {row["source"] for row in json.loads(levels.stdout)} == {"accompaniment"}
    drawn = run("run_plots", system, f"--output_dir={tmp_path}/plots", "--tracks=a")
    assert drawn.returncode == 0, drawn.stderr
    pictures = list((tmp_path / "plots").rglob("*.png"))
    assert len(pictures) == 4
    assert {*map(str, pictures)} < {*drawn.stderr.splitlines()}


def test_levels_of_foreign_scores_come_from_the_true_stems(data, tmp_path):
    write_system(tmp_path / "x", {"a": [1, 2], "b": [3, 4, 5]})
    without = run("run_statistics", f"x={tmp_path}/x", "--by_energy")
    assert without.returncode == 1
    (error,) = errors(without)
    assert "of 2 tracks there are none, such as a" in error and "--data_dir" in error
    table = run(
        "run_statistics", f"x={tmp_path}/x", "--by_energy", "--bin_db=15",
        f"--data_dir={data}", "--format=csv",
    )  # fmt: skip
    assert table.returncode == 0, table.stderr
    rows = list(csv.DictReader(io.StringIO(table.stdout)))
    assert [(row["source"], row["from_dbfs"], row["frames"]) for row in rows] == [
        ("drums", "-45.0", "5"),
        ("vocals", "-30.0", "5"),
    ]
    assert [float(row["median"]) for row in rows] == [3, 3]
    weighted = run(
        "run_statistics", f"x={tmp_path}/x", "--metric=wSDR,PES", f"--data_dir={data}",
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
    result = run("run_statistics", f"ours={ours}", f"theirs={theirs}", "--format=json")
    assert result.returncode == 1
    lines = errors(result)
    assert len(lines) == 4
    assert "c.json: must be museval's JSON" in lines[0]
    assert "e.json: must be museval's JSON" in lines[1]
    assert f"{ours}: tracks must be in all systems; left out: c" in lines[2]
    assert f"{theirs}: tracks must be in all systems; left out: d" in lines[3]
    table = json.loads(result.stdout)
    assert {row["tracks"] for row in table["summaries"]} == {2}
    assert {(row["tracks"], row["difference"]) for row in table["comparisons"]} == {
        (2, 1)
    }


def test_a_system_without_scores_is_named_and_the_rest_summarised(tmp_path):
    ours = write_system(tmp_path / "ours", {"a": [1]})
    (tmp_path / "empty").mkdir()
    result = run(
        "run_statistics", f"ours={ours}", f"empty={tmp_path}/empty", f"no={tmp_path}/no"
    )
    assert result.returncode == 1
    assert [line.split(": ")[2] for line in errors(result)] == [
        "must hold museval's JSON files, but has none",
        "must be a folder of museval's JSON files, but is none",
    ]
    assert "ours" in result.stdout
    alone = run("run_statistics", f"empty={tmp_path}/empty")
    assert (alone.returncode, alone.stdout, len(errors(alone))) == (1, "", 1)
    other = write_system(tmp_path / "other", {"b": [1]})
    apart = run("run_statistics", f"ours={ours}", f"other={other}")
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
        (
            ["a=x", "--by_energy", "--bin_db=inf"],
            "--bin_db=inf: inf is not a number in",
        ),
    ],
)
def test_wrong_flags_of_run_summary_exit_with_2(arguments, text):
    result = run("run_statistics", *arguments)
    assert result.returncode == 2
    assert len(errors(result)) == 1 and text in errors(result)[0]


def test_wrong_flags_and_folders_of_run_musdb_are_named(data, tmp_path):
    flags = (f"--data_dir={data}", f"--output_dir={tmp_path}/scores")
    for more, code, text in (
        ([], 2, "estimates_dir"),
        (["--estimates=mixture", "--tflite=x"], 2, "exactly one of --checkpoint"),
        (["--tflite=x", "--sources=vocals"], 2, "no --sources"),
        (["--estimates=mixture", "--", "--fast"], 2, "--fast"),
        ([f"--tflite={tmp_path}/no.tflite"], 1, "no.tflite: No such file"),
        ([f"--estimates_dir={tmp_path}/no"], 1, "no: must be a folder"),
        ([f"--checkpoint={tmp_path}"], 1, "must be a checkpoint"),
        (["--estimates=mixture", "--subset=train"], 1, "must hold tracks of train"),
    ):
        result = run("run_score", *flags, *more)
        assert result.returncode == code, (more, result.stderr)
        assert len(errors(result)) == 1 and text in errors(result)[0], more
    assert not (tmp_path / "scores").exists()


def test_the_published_statistics_come_out_of_the_command(shared_data, tmp_path):
    archive = shared_data / "sisec2018-stl1" / "stl1-test-json.tar.gz"
    with tarfile.open(archive) as file:
        file.extractall(tmp_path)
    result = run("run_statistics", f"STL1={tmp_path}", "--format=csv")
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


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_half_written(data, tmp_path):
    for number in range(4):
        shutil.copytree(data / "test" / "b", data / "test" / f"b{number}")
    output = tmp_path / "scores"
    child = subprocess.Popen(
        [sys.executable, "-m", "waveunet_tf", "score", f"--data_dir={data}",
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


def test_plots_are_of_the_common_tracks_and_others_are_named(tmp_path):
    x, y, out = tmp_path / "x", tmp_path / "y", tmp_path / "out"
    name = "a\u0308, b"  # as macOS writes it
    write_scores(x, name, {"vocals": [1, 2, math.nan, 6]})
    write_scores(y, name, {"vocals": [1, 2, 3, 4]})
    write_scores(y, "c", {"vocals": [9]})
    stem = {"vocals": np.repeat([[10**-1.5], [0.1], [10**-0.5], [10**-0.25]], 100, 0)}
    measured = energies.measure_energies(name, stem, stem, 100)
    energies.write_track_energies(y / f"{name}{energies.SUFFIX}", measured)
    command = ["run_plots", f"x={x}", f"y={y}", f"--output_dir={out}"]
    result = run(*command, "--metric=SIR", '--tracks="\u00e4, b"')
    check_refusal(result, 1, "left out: c")
    names = {str(path.relative_to(out)) for path in out.rglob("*.*")}
    stems = ("distributions", "by_energy", "quietest_left_out", f"over_time/{name}")
    assert names == {f"sir_{stem}.{end}" for stem in stems for end in ("png", "svg")}
    table = [line.split() for line in result.stdout.splitlines()]
    # SIR is SDR + 2 dB in these files.
    assert ["x", "vocals", "4", "1", "4.00", "3.50", "6.00", "5.00"] in table
    assert ["y", "vocals", "4", "0", "4.50", "3.75", "5.25", "4.50"] in table
    assert ["y", "vocals", "50", "-10.00", "5.50", "5.50"] in table
    check_refusal(run(*command, "--metric=SIR"), 1, "must be a new file")


def test_bad_input_of_run_plots_is_one_line(tmp_path):
    scores_dir, empty = tmp_path / "x", tmp_path / "empty"
    empty.mkdir()
    write_scores(scores_dir, "song", {"vocals": [1, 2]})
    write_scores(tmp_path / "z", "another", {"vocals": [1, 2]})
    for code, text, *arguments in [
        (1, "must hold museval's JSON files", f"x={empty}"),
        (1, "such as song. Received: sing", f"x={scores_dir}", "--tracks=sing"),
        (1, "a track in common", f"x={scores_dir}", f"z={tmp_path / 'z'}"),
        (2, "metric", f"x={scores_dir}", "--metric=PESQ"),
        (2, "NAME=DIR. Received: x", "x"),
    ]:
        result = run("run_plots", *arguments, f"--output_dir={tmp_path / 'out'}")
        check_refusal(result, code, text)
    assert not (tmp_path / "out").exists()


def test_without_energies_there_are_no_figures_by_level(tmp_path):
    write_scores(tmp_path / "x", "song", {"vocals": [1, 2]})
    flags = [f"x={tmp_path / 'x'}", f"--output_dir={tmp_path / 'out'}"]
    result = run("run_plots", *flags)
    assert result.returncode == 0
    assert "warning: no energies beside the scores" in result.stderr
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["sdr_distributions.png", "sdr_distributions.svg"]
    check_refusal(run("run_plots", *flags), 1, "must be a new file")
    assert run("run_plots", *flags, "--overwrite").returncode == 0


@pytest.mark.slow
def test_seams_are_measured_and_drawn_for_networks_side_by_side(
    kept_checkpoint, without_context, tmp_path
):
    song = np.random.default_rng(6).uniform(-0.3, 0.3, (11025, 2))
    soundfile.write(tmp_path / "song.wav", song, 11025)
    out = tmp_path / "out"
    command = [
        "run_seams",
        f"--checkpoint=with={kept_checkpoint}",
        f"--checkpoint=no={without_context}",
        f"--output_dir={out}",
        tmp_path / "song.wav",
    ]
    result = run(*command)
    assert result.returncode == 0, result.stderr
    rows = [line.split()[:4] for line in result.stdout.splitlines()[1:]]
    assert rows == [
        [name, source, own, "7"]
        for source in ("accompaniment", "vocals")
        for name, own in (("with", "False"), ("no", "True"))
    ]
    assert sorted(path.name for path in out.iterdir()) == ["seams.png", "seams.svg"]
    check_refusal(run(*command), 1, "seams.png: must be a new file")


def test_bad_input_of_run_seams_is_one_line(without_context, tmp_path):
    song, short = tmp_path / "song.wav", tmp_path / "short.wav"
    soundfile.write(song, np.zeros((5000, 1)), 8000)
    soundfile.write(short, np.zeros((1000, 1)), 8000)
    good = f"--checkpoint=x={without_context}"
    for code, text, *arguments in [
        (1, "longer than a window", good, short),
        (1, "--source must be of", good, "--source=flute", song),
        (2, "takes one song", good, song, short),
        (2, "names must differ", good, good, song),
        (1, "must be a checkpoint", f"--checkpoint=x={tmp_path}", song),
    ]:
        result = run("run_seams", *arguments, f"--output_dir={tmp_path / 'out'}")
        check_refusal(result, code, text)
    assert not (tmp_path / "out").exists()
