"""In processes of their own, with a package that stands for TensorFlow."""

import os
import subprocess
import sys

import pytest

from tests.command_line import run_python

NOTES = """WARNING: All log messages before absl::InitializeLog() is called are written
I0000 00:00:1795739127.969845   13609 port.cc:153] oneDNN custom operations are on.
W0000 00:00:1795739127.969845   13609 port.cc:153] Another note.
To enable the following instructions: AVX2, rebuild TensorFlow.
"""


def import_stand_in(folder, ending, **environment):
    """The process that imports it; `ending` is what it does after its notes."""
    (folder / "tensorflow").mkdir(exist_ok=True)
    (folder / "tensorflow" / "__init__.py").write_text(
        f"import os, warnings\nos.write(2, {NOTES.encode()!r})\n{ending}\n"
    )
    code = (
        "import sys\nfrom waveunet_tf.system import quiet_import\n"
        "before = sys.meta_path[:]\nquiet_import.import_quietly()\n"
        "quiet_import.import_quietly()  # of a second command in one process\n"
        "import importlib.util\nassert importlib.util.find_spec('tensorflow')\n"
        "import tensorflow.lite\nassert sys.meta_path == before\n"
        "print(tensorflow.lite.__file__)\nprint('after', file=sys.stderr)\n"
    )
    (folder / "tensorflow" / "lite.py").touch()
    variables = {**os.environ, "PYTHONPATH": f"{folder}:.", **environment}
    if "TF_CPP_MIN_LOG_LEVEL" not in environment:
        variables.pop("TF_CPP_MIN_LOG_LEVEL", None)
    return subprocess.run(
        [sys.executable, "-c", code],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_notes_are_hidden_and_all_else_is_told(tmp_path):
    result = import_stand_in(tmp_path, "warnings.warn('something to know')")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(tmp_path / "tensorflow" / "lite.py")
    first, *_, last = result.stderr.splitlines()
    assert first.endswith("UserWarning: something to know")
    assert last == "after"
    assert "oneDNN" not in result.stderr


def test_a_failed_import_tells_all(tmp_path):
    result = import_stand_in(tmp_path, "raise ImportError('undefined symbol')")
    assert result.returncode == 1
    assert result.stderr.startswith(NOTES)
    assert result.stderr.endswith("ImportError: undefined symbol\n")


def test_versions_that_do_not_fit_need_no_notes(tmp_path):
    """`versions.explain` then says all in one line."""
    folder = tmp_path / "tensorflow-2.99.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tensorflow\nVersion: 2.99\n"
        "Requires-Dist: numpy>=99\n\n"
    )
    (folder / "top_level.txt").write_text("tensorflow")
    ending = "import numpy\nraise ImportError('undefined symbol')"
    result = import_stand_in(tmp_path, ending)
    assert result.returncode == 1
    assert "oneDNN" not in result.stderr
    assert result.stderr.endswith("ImportError: undefined symbol\n")


@pytest.mark.skipif(os.name != "posix", reason="another system ends otherwise")
def test_a_crash_tells_where(tmp_path):
    result = import_stand_in(tmp_path, "os.abort()")
    assert result.returncode < 0
    assert f'File "{tmp_path}/tensorflow/__init__.py"' in result.stderr


def test_who_wants_the_notes_gets_them(tmp_path):
    result = import_stand_in(tmp_path, "", TF_CPP_MIN_LOG_LEVEL="0")
    assert (result.returncode, result.stderr) == (0, NOTES + "after\n")


@pytest.mark.slow
def test_the_installed_tensorflow_is_imported_quietly():
    code = (
        "from waveunet_tf.system import quiet_import\n"
        "quiet_import.import_quietly()\n"
        "import keras, tensorflow\nprint(tensorflow.constant([1, 2])[1].numpy())"
    )
    result = run_python("-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "2\n", "")
