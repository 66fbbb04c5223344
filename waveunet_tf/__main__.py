"""Runs the project's commands: `waveunet COMMAND [--help | …]`."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
import pathlib
import runpy
import sys

import waveunet_tf
from waveunet_tf.commands import app

# Command → its module in waveunet_tf.commands.
COMMANDS = {
    "separate": "separate",
    "prepare": "prepare",
    "data": "data",
    "train": "train",
    "import": "import_tf1",
    "describe": "describe",
    "pack": "pack",
}


def main() -> None:
    """Runs the command's module as `python -m` does, with its flags."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        del sys.argv[1]
        runpy.run_module(_module(name), run_name="__main__", alter_sys=True)
    else:
        sys.exit(app.exit_code_of(functools.partial(_answer, name)))


def _answer(name: str) -> None:
    """Prints what a first word that is no command asks for.

    Raises:
        UsageError: The word is neither a command nor a flag.
    """
    if name in ("-h", "-help", "--help"):
        _print_commands()
    elif name == "--version":
        print(waveunet_tf.__version__)
    else:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise app.UsageError(
            f"the command must be one of {', '.join(COMMANDS)}. Received: {name}{hint}"
        )


def _module(name: str) -> str:
    return f"waveunet_tf.commands.{COMMANDS[name]}"


def _print_commands() -> None:
    print("waveunet COMMAND [--help | …]\n")
    for name in COMMANDS:
        # Parsed and not imported: a command's flags are defined by its import.
        path = pathlib.Path(importlib.util.find_spec(_module(name)).origin)
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        print(f"  {name:<10}{docstring.splitlines()[0]}")


if __name__ == "__main__":
    main()
