"""Finds the songs that an argument names: files, folders, patterns and pipes."""

from __future__ import annotations

import glob
import itertools
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from absl import logging

from waveunet_tf.audio.formats import SUFFIXES
from waveunet_tf.errors import InputError
from waveunet_tf.system.files import expand_home, real_path

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


# Files that are left out and named.
_SHOWN = 5


class Song(NamedTuple):
    """A song to separate.

    Attributes:
        path: The song's file, or "-", standard input.
        folder: The song's folder, below the one that was named.
    """

    path: pathlib.Path
    folder: pathlib.PurePath = pathlib.PurePath()


def find_songs(
    name: str | os.PathLike,
    *,
    recursive: bool,
    leave_out: pathlib.Path,
    on_error: Callable[[str, InputError | OSError], None],
) -> list[Song]:
    """Finds a file, or the files of a folder or a pattern, in order.

    Args:
        name: The file, folder or pattern. A file need not exist.
        recursive: Whether to search a folder's folders, too.
        leave_out: A folder that is not searched: it holds the stems of earlier runs.
        on_error: Called with each folder in a folder that cannot be read, and each
            folder without songs among others that a pattern finds, and the error.

    Raises:
        InputError: The name is empty or an address, a folder holds no audio files or
            lies in `leave_out`, or a pattern finds nothing.
        OSError: The folder cannot be read.
    """
    text = os.fspath(name)
    if not text:  # which pathlib takes for the folder that one is in
        raise InputError("a song must have a name. Received: ''")
    if _ADDRESS.match(text):
        raise InputError(
            f"{text}: must be a file, but is an address: download it first"
        )
    path = pathlib.Path(expand_home(text))
    if path.is_dir():
        if _is_within(path, leave_out):
            raise InputError(
                f"{path}: must not lie in the output folder, {leave_out}, whose files "
                "are taken for stems of earlier runs; name its songs, or another folder"
            )
        outside = real_path(leave_out)
        inside = [
            file
            for file in _files(path, recursive, on_error)
            if file.is_file()
            and not file.name.startswith(".")
            and outside not in real_path(file).parents
        ]
        found, others = [], []
        for file in inside:
            (found if file.suffix.lower() in SUFFIXES else others).append(file)
        _tell_left_out(path, [file.name for file in others])
        if not found:
            raise InputError(f"{path}: must hold audio files, but has none")
        return [Song(file, file.parent.relative_to(path)) for file in found]
    if not path.exists() and glob.has_magic(text):
        return _of_pattern(text, path, recursive, leave_out, on_error)
    return [Song(path)]


def _of_pattern(
    text: str,
    path: pathlib.Path,
    recursive: bool,
    leave_out: pathlib.Path,
    on_error: Callable[[str, InputError | OSError], None],
) -> list[Song]:
    """Finds what a pattern names, but for the stems of earlier runs."""
    found = sorted(glob.glob(str(path), recursive=True))
    if not found:
        raise InputError(f"{text}: must find files, but finds none")
    root = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts)
    has_songs = _is_within(pathlib.Path(*root), leave_out)  # beside the stems
    songs, errors = [], []
    for file in found:
        if _is_within(file, leave_out) and not has_songs:
            continue
        try:
            songs += find_songs(
                file, recursive=recursive, leave_out=leave_out, on_error=on_error
            )
        except (InputError, OSError) as error:
            errors.append((file, error))
    if not songs:
        reason = f"{text}: must find files, but finds none outside of the output folder"
        raise errors[0][1] if errors else InputError(f"{reason}, {leave_out}")
    for file, error in errors:
        on_error(file, error)
    return songs


def _is_within(path: str | os.PathLike, folder: pathlib.Path) -> bool:
    """Whether a path is a folder, or lies in it, links followed."""
    real = real_path(path)
    return real_path(folder) in (real, *real.parents)


def _tell_left_out(folder: pathlib.Path, names: list[str]) -> None:
    """Logs which files of a folder are no songs by their names."""
    if names:
        shown = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        what = "file is" if len(names) == 1 else "files are"
        logging.info(
            "%s: %d %s left out, as no audio by name: %s",
            *(folder, len(names), what, shown),
        )


def _files(
    folder: pathlib.Path,
    recursive: bool,
    on_error: Callable[[str, InputError | OSError], None],
) -> list[pathlib.Path]:
    """Lists the files of a folder, or of its folders too, in order."""
    if not recursive:
        return sorted(folder.iterdir())
    return sorted(
        pathlib.Path(inside, name)
        for inside, _, names in os.walk(
            folder, onerror=lambda error: on_error(error.filename, error)
        )
        for name in names
    )


def seekable(songs: list[Song], folder: pathlib.Path) -> list[Song]:
    """Copies pipes into files, because most formats cannot be read from a pipe.

    Args:
        songs: The songs; "-" is standard input.
        folder: Where the copies go.

    Returns:
        The songs, in their order, with copies in the place of pipes.

    Raises:
        OSError: A pipe cannot be read, or its copy not be written.
    """
    files = []
    for number, song in enumerate(songs):
        if str(song.path) == "-":
            song = _copied(sys.stdin.buffer, folder / "standard input")
        elif song.path.is_fifo():
            with song.path.open("rb") as pipe:
                song = _copied(pipe, folder / str(number) / song.path.name)
        files.append(song)
    return files


def _copied(pipe: BinaryIO, place: pathlib.Path) -> Song:
    place.parent.mkdir(exist_ok=True)
    with place.open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return Song(place)
