"""`waveunet`: the list of commands, and their start."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

import waveunet_tf
from tests.architecture import House
from tests.command_line import ROOT, check_refusal, run, run_here, run_python
from waveunet_tf.__main__ import COMMANDS


@pytest.mark.parametrize("words", ["", "--help", "-h"])
def test_help_lists_every_command_with_what_it_does(words):
    result = run_here("waveunet_tf", *words.split())
    assert (result.returncode, result.stderr) == (0, "")
    usage, _, *lines = result.stdout.splitlines()
    assert usage == "waveunet COMMAND [--help | …]"
    assert [line.split()[0] for line in lines] == list(COMMANDS)
    for line in lines:
        words = line.split()[1:]
        assert words[0].endswith("s") and line.endswith("."), line  # "Separates …"


def test_every_module_that_runs_is_a_command():
    modules = {
        name.removeprefix("waveunet_tf.")
        for name, path in House(ROOT).modules.items()
        if name.startswith("waveunet_tf.commands.")
        and '__name__ == "__main__"' in path.read_text()
        or name.rpartition(".")[2].startswith("run_")
    }
    assert modules == set(COMMANDS.values())


def test_the_version_is_that_of_the_package():
    result = run_here("waveunet_tf", "--version")
    assert (result.returncode, result.stdout) == (0, f"{waveunet_tf.__version__}\n")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("seperate", "did you mean separate?"),
        ("trian", "did you mean train?"),
        ("descibe", "did you mean describe?"),
        ("xyz", "(see --help)"),
        ("--checkpoint=a", "(see --help)"),
        ("", "(see --help)"),
    ],
)
def test_an_unknown_command_is_refused_with_the_nearest(name, hint):
    result = run_here("waveunet_tf", name, "song.wav")
    check_refusal(result, 2, "the command must be one of separate, models", hint)
    assert f"Received: {name}" in result.stderr


def test_a_command_takes_its_flags_before_and_after_its_arguments(tmp_path):
    for words in (["a.wav", "--stems=bass"], ["--stems=bass", "a.wav"]):
        result = run_here("waveunet_tf", "separate", *words)
        check_refusal(result, 2, "Received: bass")
    result = run_here("waveunet_tf", "separate", "--", "--stems=bass")
    check_refusal(result, 1, "--stems=bass: No such file")  # a song of that name


def test_a_commands_help_is_its_own():
    result = run_here("waveunet_tf", "describe", "--help")
    assert result.returncode == 0
    assert "waveunet describe" in result.stdout
    assert "COMMAND" not in result.stdout


def test_processes_that_a_command_spawns_find_their_way(tmp_path):
    """They import the command's module anew, under another name."""
    for track in ("one", "two"):
        for source in ("bass", "drums"):
            path = tmp_path / "in" / "train" / track / f"{source}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.full((800, 1), 0.1), 8000)
    result = run(
        "waveunet_tf", "prepare", "--dataset=folder", "--workers=2",
        f"--source={tmp_path}/in", f"--output={tmp_path}/out",
        "--sources=bass,drums", "--sample_rate_hz=8000",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert len(manifest["tracks"]) == 2


@pytest.mark.parametrize("version", ["3.8", "3.9"])
def test_an_older_python_is_refused_in_one_line(version):
    homes = pathlib.Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    # First these: pyenv's own python3.9 is a script that may refuse.
    python = next(homes, None) or shutil.which(f"python{version}")
    if not python:
        pytest.skip(f"needs a Python {version}")
    result = subprocess.run(
        [python, "-m", "waveunet_tf", "separate", "song.wav"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    check_refusal(result, 1, f"needs Python 3.10 or later. Received: {version}.")
    assert result.stderr.count("\n") == 1


def test_importing_the_package_imports_no_tensorflow():
    code = (
        "import sys, waveunet_tf; waveunet_tf.VARIANTS['M4']; "
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert run_python("-c", code).returncode == 0


def test_the_package_offers_what_it_says():
    for name in waveunet_tf.__all__:
        assert getattr(waveunet_tf, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'separate'"):
        _ = waveunet_tf.separate
