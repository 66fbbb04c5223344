"""Runs the project's commands: `waveunet COMMAND [--help | …]`."""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
import pathlib
import runpy
import sys

if sys.version_info < (3, 10):  # before imports that an older one may not manage
    sys.exit(f"error: needs Python 3.10 or later. Received: {sys.version.split()[0]}")

import waveunet_tf
from waveunet_tf.commands import app

# Command → its module in waveunet_tf.
COMMANDS = {
    "separate": "commands.separate",
    "models": "commands.models",
    "teach": "export.run_teach",
    "prepare": "commands.prepare",
    "data": "commands.data",
    "train": "commands.train",
    "check-gpu": "commands.check_gpu",
    "import": "commands.import_tf1",
    "describe": "commands.describe",
    "pack": "commands.pack",
    "score": "evaluate.run_score",
    "statistics": "evaluate.run_statistics",
    "plots": "evaluate.run_plots",
    "report": "evaluate.run_report",
    "seams": "evaluate.run_seams",
    "export": "export.run_export",
    "describe-file": "export.run_describe_file",
    "parity": "export.run_parity",
    "arm64": "export.run_arm64",
    "export-web": "export.web.run_export_web",
    "serve-web": "export.web.run_serve_web",
    "client": "export.serving.run_client",
    "stand-in": "export.serving.run_stand_in",
}


def main() -> None:
    """Runs the command's module as `python -m` does, with its flags."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    app.open_standard_streams()
    answer = _run if name in COMMANDS else _answer
    module = _module(name) if name in COMMANDS else ""
    sys.exit(app.exit_code_of(functools.partial(answer, name), module=module))


def _run(name: str) -> None:
    del sys.argv[1]
    runpy.run_module(_module(name), run_name="__main__", alter_sys=True)


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
    return f"waveunet_tf.{COMMANDS[name]}"


def _print_commands() -> None:
    print("waveunet COMMAND [--help | …]\n")
    for name in COMMANDS:
        # Parsed and not imported: a command's flags are defined by its import.
        path = pathlib.Path(importlib.util.find_spec(_module(name)).origin)
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        print(f"  {name:<15}{docstring.splitlines()[0]}")


if __name__ == "__main__":
    main()
