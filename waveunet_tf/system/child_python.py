"""Starts Python in a process of its own, and says how such a process has ended."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys

# Before json is imported, which may lie in the working directory, too.
_SET_PATHS = (
    "import sys; sys.path[:] = filter(None, sys.path); "
    "import json; sys.path[:] = json.loads(sys.argv[1]); "
)
_ROOT = str(pathlib.Path(__file__).parents[2])


def start_python(
    code: str, *arguments: str, bare: bool = False, **options
) -> subprocess.Popen:
    """Starts Python code in a process that Ctrl-C does not reach.

    The other process finds the modules that this one finds, and never what lies in the
    working directory. It is no child of `multiprocessing`, which would run the caller's
    script again.

    Args:
        code: The code. Its own arguments are `sys.argv[2:]`.
        *arguments: The code's arguments.
        bare: Whether Python starts faster, without what .pth files do. TensorFlow may
            need one of them: setuptools' puts a `distutils` in place.
        **options: Options of subprocess.Popen.

    Raises:
        OSError: The process cannot be started.
    """
    detached = {"start_new_session": True}
    if os.name == "nt":
        detached = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    paths = [path for path in sys.path if isinstance(path, str)]
    command = [sys.executable, *(["-I", "-S"] if bare else []), "-c"]
    command += [_SET_PATHS + code, json.dumps([*paths, _ROOT]), *arguments]
    return subprocess.Popen(command, **detached, **options)


def can_start() -> bool:
    """Returns whether this process is Python, and not a program that contains it."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


def how_it_ended(code: int) -> str:
    """Says in brackets how a process has ended; nothing where all went well.

    Args:
        code: What Popen.wait returned.
    """
    if code == -getattr(signal, "SIGKILL", 0):
        return " (SIGKILL, perhaps because memory is full)"
    with contextlib.suppress(ValueError):
        if code < 0:
            return f" ({signal.Signals(-code).name})"
    return f" (exit code {code})" if code else ""
