"""What all commands share: how they end, and the flags that mirror a config."""

from __future__ import annotations

import dataclasses
import logging as python_logging
import os
import signal
import sys
from collections.abc import Callable, Container
from typing import Any

import tqdm
from absl import app, flags, logging

from waveunet_tf.checkpoint import REFINEMENTS
from waveunet_tf.configs import (
    ARCHITECTURES,
    VARIANTS,
    NetworkConfig,
    SpectrogramUNetConfig,
)
from waveunet_tf.errors import InputError
from waveunet_tf.training_config import VARIANT_TRAINING, TrainingConfig


class UsageError(Exception):
    """Wrong flags or arguments; the command leaves with exit code 2."""


def run(
    main: Callable[[list[str]], int | None],
    *,
    arguments: str = "",
    may_be_none: bool = False,
) -> None:
    """Runs a command's main function and exits.

    Exit codes: 0; 1 for bad input, in one line; 2 for bad usage; 130 for Ctrl-C, and
    as it 129 and 143 for SIGHUP and SIGTERM.

    Args:
        main: takes the positional arguments; may return an exit code.
        arguments: what the positional arguments are, if the command takes any.
        may_be_none: whether it may be called without.
    """
    # TensorFlow's notes on what this machine could do better are no news to a user.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.INFO)
    sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be UTF-8

    def guarded(argv: list[str]) -> int:
        _log_plain_lines()
        # As Ctrl-C, so that what is half-written is cleared away.
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number and signal.getsignal(number) != signal.SIG_IGN:  # nohup's
                signal.signal(number, lambda came, _: sys.exit(128 + came))
        try:
            if len(argv) > 1 and not arguments:
                raise UsageError(f"takes no arguments. Received: {' '.join(argv[1:])}")
            if len(argv) == 1 and arguments and not may_be_none:
                raise UsageError(f"needs {arguments}")
            code = main(argv[1:]) or 0
            sys.stdout.flush()  # while its reader's absence can be told
            return code
        except UsageError as error:
            print(f"error: {error} (see --help)", file=sys.stderr)
            return 2
        except BrokenPipeError:
            return _without_reader()
        except (InputError, OSError) as error:
            print_error(error)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    app.run(guarded, flags_parser=_parse_flags)


def print_error(error: InputError | OSError, *, of: str = "") -> None:
    """Prints bad input as one line on stderr, beside a progress bar if there is one.

    Args:
        error: what went wrong.
        of: the file or argument in work, named first where the error does not.
    """
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: " if error.filename else ""
        text += error.strerror
    if not text.startswith(of):
        text = f"{of}: {text}"
    tqdm.tqdm.write(f"error: {' '.join(text.splitlines())}", file=sys.stderr)


class _LineFormatter(python_logging.Formatter):
    """Bare messages; of warnings and worse also what they are."""

    def format(self, record: python_logging.LogRecord) -> str:
        text = record.getMessage()
        if record.levelno >= python_logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        return text


class _BesideProgressBars:
    """stderr for whole lines, which leave progress bars in place."""

    def write(self, text: str) -> None:
        tqdm.tqdm.write(text, file=sys.stderr, end="")

    def flush(self) -> None:
        sys.stderr.flush()

    def close(self) -> None:
        """Leaves stderr open."""


def _log_plain_lines() -> None:
    handler = logging.get_absl_handler()
    handler.setFormatter(_LineFormatter())
    handler.python_handler.stream = _BesideProgressBars()


def _without_reader() -> int:
    """The exit code where who reads our output has read enough."""
    # Nor does what is left in the buffer find one.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, but with the usual exit codes: 0 for help, 2 for errors."""
    try:
        try:
            return flags.FLAGS(argv)
        except SystemExit:  # absl's --help exits with 1, and leaves some in the buffer
            sys.stdout.flush()
            sys.exit(0)
    except BrokenPipeError:
        sys.exit(_without_reader())
    except flags.Error as error:
        message = "; ".join(str(error).splitlines())
        print(f"error: {message} (see --help)", file=sys.stderr)
        sys.exit(2)


def define_config_flags(variants: dict[str, Any], *config_classes: type) -> None:
    """Defines a flag for every field of the configs, of its name and with its help.

    Args:
        variants: configs by the name of a variant, whose values the help tells.
        config_classes: subclasses of config_fields.Config; a field that two have is
            one flag.
    """
    fields = {}
    for config_class in config_classes:
        for field in dataclasses.fields(config_class):
            fields.setdefault(field.name, field)
    for field in fields.values():
        _define_flag(field, _defaults(field, variants))


def _defaults(field: dataclasses.Field, variants: dict[str, Any]) -> str:
    """A field's values in the variants, such as `16; M7, U7, U7a: 4`."""
    names: dict[str, list[str]] = {}
    for variant, config in variants.items():
        value = getattr(config, field.name, field.default)
        shown = ",".join(value) if isinstance(value, tuple) else str(value)
        names.setdefault(shown, []).append(variant)
    common = max(names, key=lambda value: len(names[value]))
    rest = [f"{', '.join(names[value])}: {value}" for value in names if value != common]
    return "; ".join([common, *rest])


def _define_flag(field: dataclasses.Field, default: str) -> None:
    text = f"{field.metadata['help']} Default: {default}."
    if isinstance(field.default, bool):
        flags.DEFINE_boolean(field.name, None, text)
    elif isinstance(field.default, tuple):
        flags.DEFINE_list(field.name, None, text)
    elif isinstance(field.default, str):
        flags.DEFINE_enum(field.name, None, field.metadata["choices"], text)
    elif isinstance(field.default, float):
        flags.DEFINE_float(field.name, None, text)
    else:
        flags.DEFINE_integer(field.name, None, text)


def flag_overrides(*config_classes: type) -> dict[str, Any]:
    """The fields of the configs that flags were given for."""
    names = {
        field.name
        for config_class in config_classes
        for field in dataclasses.fields(config_class)
    }
    given = {name: flags.FLAGS[name].value for name in sorted(names & set(flags.FLAGS))}
    return {name: value for name, value in given.items() if value is not None}


def override(base, overrides: dict[str, Any]):
    """The config `base` with other fields.

    Raises:
        UsageError: it has no such field, or the values are out of range or contradict
            each other.
    """
    known = {field.name for field in dataclasses.fields(base)}
    if unknown := sorted(set(overrides) - known):
        raise UsageError(
            f"`{unknown[0]}` is no field of this network, which has {sorted(known)}"
        )
    try:
        return dataclasses.replace(base, **overrides)
    except InputError as error:
        raise UsageError(str(error)) from error


def define_network_flags(default_variant: str | None = "M4") -> None:
    """Defines --variant and the flags that override a field of it."""
    flags.DEFINE_enum(
        "variant",
        default_variant,
        list(VARIANTS),
        "The paper's model to start from"
        + ("." if default_variant else "; by default the one that fits best."),
    )
    define_config_flags(VARIANTS, *ARCHITECTURES.values())


def define_training_flags(names: Container[str] | None = None) -> None:
    """Defines the flags that override a field of a variant's TrainingConfig.

    Args:
        names: of the fields; by default all.
    """
    for field in dataclasses.fields(TrainingConfig):
        if names is None or field.name in names:
            _define_flag(field, _defaults(field, VARIANT_TRAINING))


def training_config_from_flags(variant: str) -> TrainingConfig:
    """How a variant is trained, with the overrides of the flags."""
    return override(VARIANT_TRAINING[variant], flag_overrides(TrainingConfig))


def define_refinement_flags() -> None:
    """Defines the flags of fields that may differ from a checkpoint's config."""
    for name in REFINEMENTS:
        field = next(
            field
            for field in dataclasses.fields(SpectrogramUNetConfig)
            if field.name == name
        )
        _define_flag(field, "the checkpoint's")


def refinement_from_flags() -> dict[str, Any]:
    """The overrides for `load` that flags were given for."""
    given = {name: flags.FLAGS[name].value for name in REFINEMENTS}
    return {name: value for name, value in given.items() if value is not None}


def network_config_from_flags() -> NetworkConfig:
    """The network that --variant and its overrides describe."""
    overrides = flag_overrides(*ARCHITECTURES.values())
    return override(VARIANTS[flags.FLAGS.variant], overrides)
