"""How tests run the commands as a user does."""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1]
TRAIN = "waveunet_tf train"


def run(command, *arguments):
    """Runs `python -m command arguments` from the root, and gives the result."""
    return subprocess.run(
        [sys.executable, "-m", *command.split(), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def check_refusal(result, exit_code, *texts):
    """One clear line, the right exit code, no traceback."""
    assert result.returncode == exit_code, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    for text in texts:
        assert text in lines[0]
