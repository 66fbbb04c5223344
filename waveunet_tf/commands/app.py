"""Starts and ends every command: exit codes, messages, signals."""

from __future__ import annotations

import functools
import logging as python_logging
import math
import os
import re
import signal
import sys
from collections.abc import Callable

import tqdm
from absl import app, flags, logging

from waveunet_tf.errors import InputError, one_line, printable
from waveunet_tf.system import interrupts, memory, quiet_import, versions
from waveunet_tf.system.files import expand_home

# Package that not every install has → the extras of pyproject.toml that bring it.
_EXTRAS = {
    "apache_beam": ("beam",),
    "distributed": ("dask",),
    "google": ("serving", "stand-in"),  # protobuf
    "grpc": ("serving", "stand-in"),
    "h5py": ("train", "export"),
    "keras": ("train", "export"),
    "matplotlib": ("evaluate", "train"),
    "musdb": ("train", "evaluate"),
    "museval": ("evaluate",),
    "scipy": ("evaluate",),
    "stempeg": ("train", "evaluate"),
    "tensorboard": ("train",),
    "tensorflow": ("train", "export", "stand-in"),
    "tensorflow_serving": ("stand-in",),
    "threadpoolctl": ("evaluate",),
    "yaml": ("train", "evaluate"),
}
# What absl says of flags → what is said instead.
_WORDING = {
    r"flag --\w+=None: Flag --(\w+) must have a value other than None\.": r"needs --\1",
    r"flags .*: Exactly one of \((.*)\) must have a value other than None\.": (
        r"needs exactly one of --\1"
    ),
    r"flags .*: At most one of \((.*)\) must have a value other than None\.": (
        r"takes at most one of --\1"
    ),
    r"could not convert string to float: .*": "must be a number",
    r"invalid literal for int\(\) with base \d+: .*": "must be an integer",
}
# How the name of a command's module begins → the extra that its user will want.
_EXTRA_OF_COMMAND = {
    "waveunet_tf.export.serving.run_stand_in": "stand-in",
    "waveunet_tf.export.serving": "serving",
    "waveunet_tf.export": "export",
    "waveunet_tf.evaluate": "evaluate",
    "waveunet_tf.commands": "train",
}


class UsageError(Exception):
    """Wrong flags or arguments; the command prints one line and exits with code 2."""


def run(
    main: Callable[[list[str]], int | None],
    *,
    arguments: str = "",
    may_be_none: bool = False,
) -> None:
    """Runs a command's main function and exits.

    Exit codes: 0; 1 for bad input, in one line; 2 for bad usage; 130 for Ctrl-C, and
    likewise 129 and 143 for SIGHUP and SIGTERM.

    Args:
        main: Takes the positional arguments; may return an exit code.
        arguments: What the positional arguments are; empty if the command takes none.
        may_be_none: Whether the command may be called without arguments.
    """
    open_standard_streams()
    quiet_import.import_quietly()
    logging.set_verbosity(logging.INFO)
    sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8

    def checked(argv: list[str]) -> int | None:
        if len(argv) > 1 and not arguments:
            raise UsageError(f"takes no arguments. Received: {' '.join(argv[1:])}")
        if len(argv) == 1 and arguments and not may_be_none:
            raise UsageError(f"needs {arguments}")
        return main(argv[1:])

    def guarded(argv: list[str]) -> int:
        _log_plain_lines()
        _end_like_ctrl_c()
        spec = sys.modules["__main__"].__spec__
        module = spec.name if spec else ""
        return exit_code_of(functools.partial(checked, argv), module=module)

    sys.meta_path.insert(0, versions.RefuseMisfits())
    app.run(guarded, flags_parser=_parse_flags)


def exit_code_of(function: Callable[[], int | None], *, module: str = "") -> int:
    """Calls a function, and turns its errors into one line and an exit code.

    An error that is none of ours is told in one line, too, where the versions of
    installed packages do not fit together: that is then its likely cause.

    Args:
        function: Does the work; may return an exit code.
        module: The command's module.

    Returns:
        The exit code; `run` lists them.
    """
    try:
        code = function() or 0
        sys.stdout.flush()  # here, where a missing reader can still be handled
        return code
    except UsageError as error:
        print(f"error: {printable(str(error))} (see --help)", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return _without_reader()
    except (InputError, OSError) as error:
        print_error(error)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        reason = memory.explain_shortage(error) or versions.explain(error)
        if not reason and isinstance(error, ImportError):
            reason = explain_import(error, module)
        if not reason:
            raise
        print(f"error: {reason}", file=sys.stderr)
        return 1


def explain_import(error: ImportError, module: str = "") -> str:
    """Says in one line what to install where a package is missing or does not fit.

    Args:
        error: What the import of a package raised.
        module: The command's module.

    Raises:
        ImportError: The package is none of those that the extras bring.
    """
    name = (error.name or "").partition(".")[0]
    missing = isinstance(error, ModuleNotFoundError)
    if missing and name in _EXTRAS:
        begins = (start for start in _EXTRA_OF_COMMAND if module.startswith(start))
        wished = _EXTRA_OF_COMMAND.get(next(begins, ""))
        extra = wished if wished in _EXTRAS[name] else _EXTRAS[name][0]
        return f"needs {name}: pip install 'waveunet-tf[{extra}]'"
    if missing or name == "waveunet_tf":
        raise error
    reason = " ".join(str(error).split())
    return f"{reason}: the installed packages do not fit together (see `pip check`)"


def print_error(error: InputError | OSError, *, of: str = "") -> None:
    """Prints bad input as one line on stderr, beside a progress bar if there is one.

    Args:
        error: What went wrong.
        of: The file or argument that failed. The line begins with it, unless the error
            names it first.
    """
    tqdm.tqdm.write(f"error: {one_line(error, of=of)}", file=sys.stderr)


class _LineFormatter(python_logging.Formatter):
    """Formats bare messages, with their level from warnings on."""

    def format(self, record: python_logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:  # with --verbosity=1
            text = f"{text}\n{self.formatException(record.exc_info)}"
        if record.levelno >= python_logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        return printable(text)


class _BesideProgressBars:
    """Writes whole lines to stderr and leaves progress bars in place."""

    def write(self, text: str) -> None:
        tqdm.tqdm.write(text, file=sys.stderr, end="")

    def flush(self) -> None:
        sys.stderr.flush()

    def close(self) -> None:
        """Does nothing: stderr stays open."""


def open_standard_streams() -> None:
    """Opens streams that the caller closed (`>&-`), on nothing.

    Else Python has no sys.stdout, and a file that is opened takes its place: what C
    prints would end in it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # until the process ends


def _log_plain_lines() -> None:
    handler = logging.get_absl_handler()
    handler.setFormatter(_LineFormatter())
    handler.python_handler.stream = _BesideProgressBars()
    # Its notes, such as "generated new fontManager", are no news to a user.
    python_logging.getLogger("matplotlib").setLevel(python_logging.WARNING)


def _end_like_ctrl_c() -> None:
    """Makes SIGTERM and SIGHUP raise, so that half-written files are removed."""
    interrupts.forget()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number and signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores it
            signal.signal(number, interrupts.end)
    interrupts.raise_swallowed_exits()


def _without_reader() -> int:
    """Returns the exit code for a reader of our output that has read enough."""
    # What is left in the buffer finds no reader either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _with_home(word: str) -> str:
    """Expands `~/` at the beginning and after `=`, where shells leave it to us."""
    name, equals, value = word.partition("=")
    return f"{expand_home(name)}{equals}{expand_home(value)}"


def _hint_at_files(argv: list[str]) -> str:
    """Says how to name a file that was taken for a flag; empty if there is none."""
    files = [word for word in argv[1:] if word.startswith("-") and os.path.exists(word)]
    return f"; the file is named ./{files[0]}" if files else ""


def _as_absl_spells(argv: list[str]) -> list[str]:
    """Respells flags that people know from other commands: -h, --two-stems, --no-clip.

    Args:
        argv: The command and its arguments. The flags end before `--`.
    """
    argv = [argv[0], *map(_with_home, argv[1:])]
    end = argv.index("--") if "--" in argv else len(argv)
    words = []
    for word in argv[:end]:
        name, equals, value = word.partition("=")
        if word == "-h":
            word = "--help"
        elif name.startswith("--") and "-" in name[2:]:
            name = name[2:].replace("-", "_")
            positive = name.removeprefix("no_")
            if name not in flags.FLAGS and positive in flags.FLAGS:
                name = f"no{positive}"
            word = f"--{name}{equals}{value}"
        words.append(word)
    return words + argv[end:]


def _in_plain_words(line: str) -> str:
    """Says what absl says of flags, without its inner words such as None."""
    for pattern, words in _WORDING.items():
        if match := re.search(pattern, line):
            listed = match.expand(words).replace(", ", ", --")
            return line[: match.start()] + listed + line[match.end() :]
    return line


def _refuse_nan() -> None:
    """Refuses NaN, which absl takes for a number within any bounds.

    Raises:
        flags.IllegalFlagValueError: A flag has it.
    """
    for name in flags.FLAGS:
        value = flags.FLAGS[name].value
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, float) and math.isnan(number):
                raise flags.IllegalFlagValueError(
                    f"--{name} must be a number. Received: nan"
                )


def _parse_flags(argv: list[str]) -> list[str]:
    """Parses flags as absl does, but with the usual exit codes: 0 for help, else 2."""
    try:
        try:
            words = flags.FLAGS(_as_absl_spells(argv))
            _refuse_nan()
            return words
        except SystemExit:  # absl's --help exits with 1, and leaves some in the buffer
            sys.stdout.flush()
            sys.exit(0)
    except BrokenPipeError:
        sys.exit(_without_reader())
    except flags.Error as error:
        lines = map(_in_plain_words, str(error).splitlines())
        message = "; ".join(lines) + _hint_at_files(argv)
        print(f"error: {printable(message)} (see --help)", file=sys.stderr)
        sys.exit(2)
