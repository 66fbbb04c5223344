"""The error for bad input, which commands print as one line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

_CONTROLS = {
    code: f"\\x{code:02x}"
    for code in (*range(32), *range(127, 160))
    if chr(code) not in "\t\n"
}


class InputError(ValueError):
    """Bad input, in one line: the file or argument, the rule and what was received.

    Commands print the line without a traceback and exit with code 1.
    """


def list_changes(then: dict, now: dict, *, of: str = "") -> list[str]:
    """Lists what differs between the settings of an earlier run and those of this one.

    Args:
        then: The earlier settings; a setting may be such a dictionary, too.
        now: The settings of this run.
        of: What stands before the settings' names.

    Returns:
        For each setting that differs, in the names' order, its name and both values.
    """
    changes = []
    for name in sorted(set(then) | set(now)):
        old, new = then.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            changes += list_changes(old, new, of=f"{of}{name}.")
        elif old != new:
            changes.append(f"{of}{name} ({old}, now {new})")
    return changes


@contextlib.contextmanager
def naming(what: str | os.PathLike) -> Iterator[None]:
    """Puts a file or argument before the text of an InputError that lacks it.

    Args:
        what: The file or argument that the body works on.

    Raises:
        InputError: The body raised one.
    """
    try:
        yield
    except InputError as error:
        if str(error).startswith(str(what)):
            raise
        raise InputError(f"{what}: {error}") from error


def printable(text: str) -> str:
    r"""Writes what is no text in a name as escapes, and keeps lines and tabs.

    That is what is not UTF-8, `caf\xe9` as `caf\udce9`; and control characters, with
    which a name could colour a terminal or move its cursor, ESC as `\x1b`.
    """
    return text.encode(errors="backslashreplace").decode().translate(_CONTROLS)


def one_line(error: InputError | OSError, *, of: str = "") -> str:
    """Writes bad input as one line.

    Args:
        error: What went wrong.
        of: The file or argument that failed. The line begins with it, unless the error
            names it first.
    """
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: " if error.filename else ""
        text += error.strerror
    if not text.startswith(of):
        text = f"{of}: {text}"
    return printable(" ".join(text.splitlines()))
