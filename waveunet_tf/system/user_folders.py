"""The folders of a user's own: what is kept for him, outside of the package."""

from __future__ import annotations

import os
import pathlib

from waveunet_tf.system.files import expand_home

CACHE_VARIABLE = "WAVEUNET_TF_CACHE"
"""The environment variable of the folder for what may be deleted at any time."""
_NAME = "waveunet_tf"


def cache_folder() -> pathlib.Path:
    """Returns the folder of what can be made again: CACHE_VARIABLE's, or the user's."""
    own = os.environ.get(CACHE_VARIABLE)
    if own:
        return pathlib.Path(expand_home(own))
    return _base("XDG_CACHE_HOME", "~/.cache") / _NAME


def data_folder() -> pathlib.Path:
    """Returns the folder of what the user made, such as models."""
    return _base("XDG_DATA_HOME", "~/.local/share") / _NAME


def _base(variable: str, default: str) -> pathlib.Path:
    """Returns the XDG base directory of a variable.

    The specification asks that relative paths are ignored.
    """
    path = pathlib.Path(expand_home(os.environ.get(variable) or default))
    return path if path.is_absolute() else pathlib.Path(expand_home(default))
