"""Folders that a command makes, and may replace: never a folder of the user's.

A list in each folder says what made it, and which files are its own. A folder without
that list, or with other files, is not replaced; only listed files are removed, and that
after the new folder has got its name.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import secrets
from collections.abc import Callable, Iterable, Iterator

from absl import logging

from waveunet_tf.errors import InputError
from waveunet_tf.system import files

LIST = ".waveunet.json"
_MADE_BY = "waveunet"


def require_own(
    path: str | os.PathLike,
    what: str,
    *,
    overwrite: bool,
    own_files: Callable[[pathlib.Path], Iterable[str]] | None = None,
) -> None:
    """Checks that a folder may be made, or replaced.

    Args:
        path: The folder.
        what: What the command makes, in the singular.
        overwrite: Whether such a folder may be replaced.
        own_files: Lists the files of such a folder; see `made_folder`.

    Raises:
        InputError: The folder is not empty and `overwrite` is False, or it holds
            anything but such a folder's own files.
    """
    path = pathlib.Path(path)
    files.require_new(path, overwrite=overwrite)
    if not os.path.lexists(path):
        return
    if not path.is_dir():
        raise InputError(f"{path}: --overwrite replaces a {what} only, but is a file")
    there = _files_in(path)
    if not there:
        return
    others = sorted(there - {LIST, *(own_files or listed_files(what))(path)})
    if others:
        raise InputError(
            f"{path}: --overwrite replaces a {what} only, but this holds other files, "
            f"such as {others[0]}"
        )


@contextlib.contextmanager
def made_folder(
    path: str | os.PathLike,
    what: str,
    *,
    own_files: Callable[[pathlib.Path], Iterable[str]] | None = None,
) -> Iterator[pathlib.Path]:
    """Yields a temporary folder, which replaces such a folder if all goes well.

    Args:
        path: The folder, which is new, empty, or made earlier by the same command.
        what: What the command makes, in the singular.
        own_files: Lists the files of such a folder, relative to it, from a list that
            the body writes; by default `listed_files` does.

    Raises:
        InputError: The folder holds anything else; see `require_own`.
        OSError: The folder cannot be written.
    """
    path = files.real_path(path)
    require_own(path, what, overwrite=True, own_files=own_files)
    with (
        files.hidden_folder(path.parent) as hidden,
        files.final_names({hidden / path.name: path}),
    ):
        part = hidden / path.name
        part.mkdir()
        yield part
        if own_files is None:
            told = {"made_by": _MADE_BY, "what": what, "files": sorted(_files_in(part))}
            (part / LIST).write_text(json.dumps(told, indent=1) + "\n", "utf-8")
        # Once more: the body may have taken long.
        require_own(path, what, overwrite=True, own_files=own_files)
        ours = {LIST}
        old = path.with_name(f"{path.name}.old-{secrets.token_hex(4)}")
        if _files_in(path):
            ours.update((own_files or listed_files(what))(path))
        try:  # From here on: Ctrl-C may end any of these lines.
            if path.exists():
                os.rename(path, old)
            os.rename(part, path)
        finally:
            if old.exists() and not path.exists():
                os.rename(old, path)
            _remove(old, ours)


def remove_files(folder: pathlib.Path, names: Iterable[str]) -> None:
    """Removes a folder that holds no other files than these.

    Args:
        folder: The folder.
        names: The names of files that this project writes into it.

    Raises:
        InputError: There are other files in it.
    """
    if others := sorted(_files_in(folder) - set(names)):
        raise InputError(
            f"{folder}: must hold {', '.join(names)} only, to be written anew, but "
            f"holds other files, such as {others[0]}"
        )
    _remove(folder, set(names))


def listed_files(what: str) -> Callable[[pathlib.Path], set[str]]:
    """Returns what reads the list of a folder's own files.

    Args:
        what: What the folder must be.
    """

    def read(path: pathlib.Path) -> set[str]:
        try:
            told = json.loads((path / LIST).read_text("utf-8"))
            if (told["made_by"], told["what"]) == (_MADE_BY, what):
                return {name for name in told["files"] if isinstance(name, str)}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return set()

    return read


def _files_in(folder: pathlib.Path) -> set[str]:
    """Lists what is no folder, and links, relative to a folder."""
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


def _remove(folder: pathlib.Path, ours: set[str]) -> None:
    """Removes a folder's own files, and the folders that are empty then."""
    if not folder.exists():
        return
    for name in _files_in(folder) & ours:
        (folder / name).unlink()
    for inside, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            os.rmdir(inside)
    if folder.exists():
        logging.warning("%s: files that came meanwhile are kept here", folder)
