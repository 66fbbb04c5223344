"""How tests run the commands as a user does: in a child process, or in this one."""

import contextlib
import importlib
import io
import os
import pathlib
import runpy
import signal
import subprocess
import sys
import traceback

from absl import flags

ROOT = pathlib.Path(__file__).parents[1]
TRAIN = "waveunet_tf train"
PACKAGES = ("waveunet_tf", "evaluate", "export", "benchmarks", "examples")


def run(command, *arguments):
    """Runs `python -m command arguments` from the root, and gives the result."""
    return run_python("-m", *command.split(), *arguments)


def run_python(*words, folder=ROOT, timeout=None, **environment):
    """Runs `python words` from the root, or `folder`, and gives the result.

    The variables of `environment` are added to those of this process.
    """
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=folder,
        env={**os.environ, **environment},
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )


def run_here(command, *arguments, folder=ROOT):
    """Does what `run` does, but in this process, where TensorFlow is imported already.

    The working directory is the root, or `folder`.

    For what a command prints and refuses. A test of start, signals, pipes or several
    processes needs a child.
    """
    words = [*command.split(), *map(str, arguments)]
    stdout, stderr = _stream(), _stream("backslashreplace")  # as Python has it
    handlers = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    argv, before, hook = sys.argv, os.getcwd(), sys.unraisablehook
    _forget_flags()
    os.chdir(folder)
    try:
        with (
            contextlib.redirect_stdout(stdout),
            contextlib.redirect_stderr(stderr),
        ):
            sys.argv = words
            returncode = _exit_code_of(words[0])
    finally:
        os.chdir(before)
        sys.argv = argv
        sys.unraisablehook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)
        _forget_flags()
    return subprocess.CompletedProcess(words, returncode, _text(stdout), _text(stderr))


def _exit_code_of(module: str) -> int:
    """Runs a module as `python -m` does; the exit code is 1 after a traceback."""
    sys.modules.pop(f"{module}.__main__", None)  # imported by a test: runpy would warn
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as exit_:
        if exit_.code is None or isinstance(exit_.code, int):
            return exit_.code or 0
        print(exit_.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _forget_flags() -> None:
    """Removes the flags of all commands: two may define a flag of the same name."""
    for name, defined in flags.FLAGS.flags_by_module_dict().items():
        if name.startswith("absl."):
            continue
        for flag in list(defined):
            for spelling in filter(None, (flag.name, flag.short_name)):
                with contextlib.suppress(AttributeError):
                    delattr(flags.FLAGS, spelling)
        # Its import defines them again. absl may ascribe flags to pytest's modules.
        if name.partition(".")[0] in PACKAGES and sys.modules.pop(name, None):
            package, _, last = name.rpartition(".")
            if package and hasattr(importlib.import_module(package), last):
                delattr(importlib.import_module(package), last)


def _stream(errors: str = "strict") -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BytesIO(), encoding="utf-8", errors=errors, write_through=True
    )


def _text(stream: io.TextIOWrapper) -> str:
    return stream.buffer.getvalue().decode("utf-8")


def check_refusal(result, exit_code, *texts):
    """One clear line, the right exit code, no traceback."""
    assert result.returncode == exit_code, result.stderr
    assert "Traceback" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    for text in texts:
        assert text in lines[0]
