"""Finds the songs that an argument names: files, folders, patterns and pipes."""

from __future__ import annotations

import glob
import os
import pathlib
import shutil
import sys
from typing import BinaryIO, NamedTuple

from waveunet_tf.audio.formats import SUFFIXES
from waveunet_tf.errors import InputError
from waveunet_tf.system.files import expand_home


class Song(NamedTuple):
    """A song to separate.

    Attributes:
        path: The song's file, or "-", standard input.
        folder: The song's folder, below the one that was named.
    """

    path: pathlib.Path
    folder: pathlib.PurePath = pathlib.PurePath()


def find_songs(
    name: str | os.PathLike, *, recursive: bool, leave_out: pathlib.Path
) -> list[Song]:
    """Finds a file, or the files of a folder or a pattern, in order.

    Args:
        name: The file, folder or pattern. A file need not exist.
        recursive: Whether to search a folder's folders, too.
        leave_out: A folder that is not searched: it holds the stems of earlier runs.

    Raises:
        InputError: A folder holds no audio files, or a pattern finds nothing.
    """
    text = os.fspath(name)
    path = pathlib.Path(expand_home(text))
    if path.is_dir():
        inside = path.rglob("*") if recursive else path.iterdir()
        leave_out = leave_out.resolve()
        found = [
            file
            for file in sorted(inside)
            if file.suffix.lower() in SUFFIXES
            and file.is_file()
            and not file.name.startswith(".")
            and leave_out not in file.resolve().parents
        ]
        if not found:
            raise InputError(f"{path}: must hold audio files, but has none")
        return [Song(file, file.parent.relative_to(path)) for file in found]
    if not path.exists() and glob.has_magic(text):
        found = sorted(glob.glob(str(path), recursive=True))
        if not found:
            raise InputError(f"{text}: must find files, but finds none")
        return [
            song
            for file in found
            for song in find_songs(file, recursive=recursive, leave_out=leave_out)
        ]
    return [Song(path)]


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
                song = _copied(pipe, folder / f"{number} {song.path.name}")
        files.append(song)
    return files


def _copied(pipe: BinaryIO, place: pathlib.Path) -> Song:
    with place.open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return Song(place)
