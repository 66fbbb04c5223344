"""Flags of the commands that run exported files on songs."""

from __future__ import annotations

import pathlib

from absl import flags

from waveunet_tf.errors import InputError


def define_artefact_flags(*, max_seconds: float, least_seconds: float) -> None:
    """Defines --artifacts, --data_dir and --max_seconds.

    Args:
        max_seconds: The default of --max_seconds, in seconds.
        least_seconds: The least that --max_seconds may be, in seconds.
    """
    flags.DEFINE_string("artifacts", None, "The folder of *.tflite.", required=True)
    flags.DEFINE_string(
        "data_dir",
        None,
        "Songs with stems, as `waveunet score` takes them. Default: six seconds that a "
        "package carries.",
    )
    flags.DEFINE_float(
        "max_seconds",
        max_seconds,
        "The longest part of a song, from its middle, in seconds.",
        lower_bound=least_seconds,
    )


def find_artefacts(folder: pathlib.Path, *, recursive: bool) -> list[pathlib.Path]:
    """Returns the TFLite files of a folder, sorted by name.

    Args:
        folder: The folder.
        recursive: Whether files in its folders count, too.

    Raises:
        InputError: The folder has no such file.
    """
    found = folder.glob("**/*.tflite" if recursive else "*.tflite")
    artefacts = sorted(path for path in found if not path.name.startswith("."))
    if not artefacts:
        raise InputError(f"{folder}: must be a folder of *.tflite, but has none")
    return artefacts
