"""The arguments NAME=DIR of the commands that compare systems."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

from waveunet_tf.commands import app
from waveunet_tf.errors import printable


def named_folders(arguments: Iterable[str]) -> dict[str, pathlib.Path]:
    """Returns folders by name, from arguments NAME=DIR.

    Raises:
        UsageError: An argument has no name or no folder, or two have the same name.
    """
    folders: dict[str, pathlib.Path] = {}
    for argument in arguments:
        name, _, folder = argument.partition("=")
        name = printable(name)  # it goes into tables, figures and pages
        if not name or not folder:
            raise app.UsageError(f"must be NAME=DIR. Received: {argument}")
        if name in folders:
            raise app.UsageError(f"names must differ. Received twice: {name}")
        folders[name] = pathlib.Path(folder)
    return folders
