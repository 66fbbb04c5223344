"""The script that makes the model in the box: its commands, not its training."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.command_line import ROOT, check_refusal, run_here

SCRIPT = "examples/pretrained/prepare_and_train.sh"
# In place of the project's Python: notes its arguments, and trains 99 epochs at once.
PYTHON = f"""#!{sys.executable}
import json, pathlib, sys, time
arguments = sys.argv[1:]
with open("calls.jsonl", "a") as file:
    file.write(json.dumps(arguments) + "\\n")
for flag in ("--output", "--workdir"):
    if flag in arguments:
        folder = pathlib.Path(arguments[arguments.index(flag) + 1])
        folder.mkdir(parents=True, exist_ok=True)
if "train" in arguments:
    (folder / "history.jsonl").write_text("{{}}\\n" * 99)
    if folder.name in ("stage-2", "stage-4", "stage-5"):  # those that are stopped
        time.sleep(60)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the script, and data."""
    root = tmp_path_factory.mktemp("project")
    (root / SCRIPT).parent.mkdir(parents=True)
    shutil.copy(ROOT / SCRIPT, root / SCRIPT)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").write_text(PYTHON)
    (root / ".venv" / "bin" / "python").chmod(0o755)
    for name in ("musdb18-7s", "eir-cc0"):
        (root / "data" / name).mkdir(parents=True)
    return root


def run_script(project):
    """Runs the script; returns the arguments of each call of Python."""
    result = subprocess.run(
        ["sh", SCRIPT, "data", "work"],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = (project / "calls.jsonl").read_text().splitlines()
    (project / "calls.jsonl").unlink()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def calls(project):
    """The arguments of each call of Python."""
    return run_script(project)


def test_every_command_of_the_script_has_the_flags_that_it_is_given(calls):
    """Each kind of call once, as `-m module arguments`."""
    kinds = {}
    for module_flag, *words in calls:
        assert module_flag == "-m"
        flags = tuple(word for word in words if word.startswith("--"))
        kinds[words[0], words[1], tuple(sorted(set(flags)))] = words
    modules = {words[0] for words in kinds.values()}
    assert "waveunet_tf" in modules
    assert "examples.pretrained.average" in modules
    for words in kinds.values():
        # Values are checked first, and then the first unknown flag is named.
        result = run_here(*words, "--the_only_unknown_flag")
        check_refusal(result, 2, "the_only_unknown_flag")


def test_stages_follow_each_other_and_the_last_two_good_ones_are_averaged(calls):
    words = [call[1:] for call in calls]
    trained = [
        call[call.index("--workdir") + 1].rpartition("/")[2]
        for call in words
        if call[:2] == ["waveunet_tf", "train"]
    ]
    assert trained == [f"stage-{number}" for number in range(1, 6)]
    starts = [
        call[call.index("--init_from") + 1].rsplit("/", 2)[1:]
        for call in words
        if "--init_from" in call
    ]
    assert starts == [[f"stage-{number}", "best"] for number in range(1, 5)]
    (average,) = (call for call in words if call[0] == "examples.pretrained.average")
    averaged = [path.rsplit("/", 2)[1:] for path in average if path.endswith("/best")]
    assert averaged == [["stage-3", "best"], ["stage-5", "best"]]
    order = [call[1] if call[0] == "waveunet_tf" else call[0] for call in words]
    assert order.index("pack") > order.index("examples.pretrained.average")
    assert order.index("pack") > max(
        place for place, name in enumerate(order) if name == "train"
    )


def test_stopped_stages_are_not_trained_again(project, calls):
    """Called again, the script goes on: ended stages are the trainings' own matter."""
    again = run_script(project)
    trained = [
        call[call.index("--workdir") + 1].rpartition("/")[2]
        for call in again
        if "train" in call
    ]
    assert trained == ["stage-1", "stage-3"]
    assert not any("examples.pretrained.average" in call for call in again)


def test_without_two_folders_the_script_says_how_it_is_used(project):
    result = subprocess.run(
        ["sh", SCRIPT, "data"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr == f"usage: {SCRIPT} DATA WORK\n"
