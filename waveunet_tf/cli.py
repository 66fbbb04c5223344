"""What all commands share: how they end, and the flags that mirror a config."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable

from absl import app, flags, logging

from waveunet_tf.configs import VARIANTS, NetworkConfig
from waveunet_tf.errors import InputError


class UsageError(Exception):
    """Wrong flags or arguments; the command leaves with exit code 2."""


def run(main: Callable[[list[str]], int | None], *, arguments: str = "") -> None:
    """Runs a command's main function and exits.

    Exit codes: 0; 1 for bad input, in one line; 2 for bad usage; 130 for Ctrl-C.

    Args:
        main: takes the positional arguments; may return an exit code.
        arguments: what the positional arguments are, if the command takes any.
    """
    # TensorFlow's notes on what this machine could do better are no news to a user.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.set_verbosity(logging.INFO)

    def guarded(argv: list[str]) -> int:
        try:
            if len(argv) > 1 and not arguments:
                raise UsageError(f"takes no arguments. Received: {' '.join(argv[1:])}")
            if len(argv) == 1 and arguments:
                raise UsageError(f"needs {arguments}")
            return main(argv[1:]) or 0
        except UsageError as error:
            print(f"error: {error} (see --help)", file=sys.stderr)
            return 2
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            print(f"error: {where}{error.strerror or error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    app.run(guarded, flags_parser=_parse_flags)


def _parse_flags(argv: list[str]) -> list[str]:
    """absl's parser, but with the usual exit codes: 0 for help, 2 for errors."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        message = "; ".join(str(error).splitlines())
        print(f"error: {message} (see --help)", file=sys.stderr)
        sys.exit(2)
    except SystemExit:  # absl's --help exits with 1
        sys.exit(0)


def define_config_flags(config_class: type, *, default_note: str | None = None) -> None:
    """Defines a flag for every field of a config, of its name and with its help.

    Args:
        config_class: a config of configs.py.
        default_note: where the default comes from, if not from the class.
    """
    for field in dataclasses.fields(config_class):
        note = default_note or ("none" if field.default is None else field.default)
        text = f"{field.metadata['help']} Default: {note}."
        choices = field.metadata["choices"]
        if isinstance(field.default, bool):
            flags.DEFINE_boolean(field.name, None, text)
        elif isinstance(field.default, tuple):
            flags.DEFINE_list(field.name, None, text)
        elif isinstance(field.default, str) and choices:
            flags.DEFINE_enum(field.name, None, choices, text)
        elif isinstance(field.default, float):
            flags.DEFINE_float(field.name, None, text)
        else:
            flags.DEFINE_integer(field.name, None, text)


def config_from_flags(base):
    """The config `base` with what flags override.

    Raises:
        UsageError: the flags' values are out of range or contradict each other.
    """
    overrides = {
        field.name: value
        for field in dataclasses.fields(base)
        if (value := flags.FLAGS[field.name].value) is not None
    }
    try:
        return dataclasses.replace(base, **overrides)
    except InputError as error:
        raise UsageError(str(error)) from error


def define_network_flags() -> None:
    """Defines --variant and the flags that override a field of it."""
    flags.DEFINE_enum(
        "variant", "M4", sorted(VARIANTS), "The paper's model to start from."
    )
    define_config_flags(NetworkConfig, default_note="the variant's")


def network_config_from_flags() -> NetworkConfig:
    """The network that --variant and its overrides describe."""
    return config_from_flags(VARIANTS[flags.FLAGS.variant])
