"""The command from end to end, and what it refuses."""

import json

import numpy as np
import pytest
import soundfile

from tests.command_line import check_refusal, run, run_here

PEERS = "benchmarks.peers"


@pytest.fixture
def music(tmp_path):
    """A test track of three seconds."""
    folder = tmp_path / "music" / "test" / "song"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for source in ("accompaniment", "vocals"):
        audio = generator.uniform(-0.3, 0.3, (24000, 2))
        soundfile.write(folder / f"{source}.wav", audio, 8000, subtype="FLOAT")
    return tmp_path / "music"


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        (["--subsets=tests"], 2, "--subsets must be of train, valid, test"),
        (["--models=no-such-model"], 1, "no-such-model: must be a checkpoint's folder"),
        (["--estimates=mixture=x"], 2, "--estimates must have another name than mix"),
        (["--estimates=theirs=no-folder"], 1, "no-folder: must be a folder of stems"),
        (["--estimates=theirs={empty}"], 1, "empty/test/song: must be a folder of est"),
        (["--packages=no-folder"], 1, "no-folder: must be a folder of packages"),
        (["--seconds=0"], 2, "seconds"),
    ],
)
def test_bad_input_is_one_line_before_any_work(music, tmp_path, flags, code, text):
    (tmp_path / "empty").mkdir()
    flags = [flag.format(empty=tmp_path / "empty") for flag in flags]
    given = [f"--data_dir={music}", f"--output_dir={tmp_path / 'out'}", *flags]
    check_refusal(run_here(PEERS, *given), code, text)
    assert not (tmp_path / "out").exists()


def test_stems_that_a_teacher_estimated_are_no_truth(music, tmp_path):
    teacher = {"kind": "checkpoint", "name": "wise", "sha256": "ab" * 32}
    entry = {"estimates": {"stems": ["vocals"], "teacher": teacher}}
    (music / "manifest.json").write_text(json.dumps({"tracks": {"test/song": entry}}))
    result = run_here(PEERS, f"--data_dir={music}", f"--output_dir={tmp_path / 'out'}")
    text = "its stems must be true ones. Received: estimates of the teacher wise (hash"
    check_refusal(result, 1, text)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_files_is_no_place_to_write(music):
    result = run_here(PEERS, f"--data_dir={music}", f"--output_dir={music}")
    check_refusal(result, 1, "must be a new or empty folder")


@pytest.mark.slow
def test_a_tiny_run_has_table_plot_and_page(music, tmp_path, tiny_checkpoint):
    output = tmp_path / "out"
    theirs = tmp_path / "theirs" / "song"  # the true stems, with a little noise
    theirs.mkdir(parents=True)
    for path in (music / "test" / "song").iterdir():
        audio, rate_hz = soundfile.read(path)
        noise = np.random.default_rng(1).normal(0, 1e-3, audio.shape)
        soundfile.write(theirs / path.name, audio + noise, rate_hz, subtype="FLOAT")
    result = run(
        *(PEERS, f"--data_dir={music}", f"--models={tiny_checkpoint}", "--rounds=1"),
        *(
            f"--output_dir={output}",
            "--seconds=2",
            f"--estimates=theirs={theirs.parent}",
        ),
    )
    assert result.returncode == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in lines[-6:]] == [
        *("system", "checkpoint", "theirs", "mixture", "oracle_irm", "checkpoint")
    ]
    assert float(lines[-4][1]) > 30 > float(lines[-2][1])
    assert (output / "report" / "index.html").exists()
    assert (output / "peers.svg").exists()
    summary = json.loads((output / "report" / "summary.json").read_text("utf-8"))
    assert {row["system"] for row in summary["summaries"]} >= {"checkpoint", "theirs"}
