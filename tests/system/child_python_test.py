import os
import signal
import subprocess
import sys

import pytest

from waveunet_tf.system import child_python


@pytest.mark.parametrize("bare", [False, True])
def test_code_finds_what_this_process_finds_and_never_the_working_directory(
    tmp_path, monkeypatch, bare
):
    (tmp_path / "json.py").write_text("raise SystemExit(7)")
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "a_module.py").write_text("A = 3")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    monkeypatch.chdir(tmp_path)
    code = "import a_module, waveunet_tf; print(a_module.A, sys.argv[2:])"
    child = child_python.start_python(
        code, "one", "two", bare=bare, stdout=subprocess.PIPE, text=True
    )
    assert child.communicate()[0] == "3 ['one', 'two']\n"


def test_ctrl_c_in_the_terminal_reaches_this_process_only():
    child = child_python.start_python("print(__import__('os').getpgrp())", stdout=-1)
    assert int(child.communicate()[0]) != os.getpgrp()


def test_a_program_that_contains_python_starts_none(monkeypatch):
    assert child_python.can_start()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not child_python.can_start()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, ""),
        (3, " (exit code 3)"),
        (-signal.SIGSEGV, " (SIGSEGV)"),
        (-signal.SIGKILL, " (SIGKILL, perhaps because memory is full)"),
        (-1000, " (exit code -1000)"),
    ],
)
def test_it_is_said_how_a_process_ended(code, said):
    assert child_python.how_it_ended(code) == said
