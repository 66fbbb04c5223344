"""Which songs an argument of a command names: files, folders, patterns, pipes."""

from __future__ import annotations

import glob
import pathlib
import shutil
import sys
from typing import NamedTuple

from waveunet_tf.audio.formats import SUFFIXES
from waveunet_tf.errors import InputError


class Song(NamedTuple):
    """A song to separate, and the folder it lies in below the one that was named."""

    path: pathlib.Path
    folder: pathlib.PurePath = pathlib.PurePath()


def find_songs(text: str, *, recursive: bool, leave_out: pathlib.Path) -> list[Song]:
    """The file, or those of a folder or a pattern, in order.

    Args:
        text: the argument.
        recursive: whether the files of a folder's folders are taken, too.
        leave_out: a folder whose files are not taken out of others: stems of an
            earlier run.

    Raises:
        InputError: a folder holds no audio files, or a pattern finds nothing.
    """
    path = pathlib.Path(text).expanduser()
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
    """The songs, or copies in a folder of those that are pipes (-: standard input).

    Most formats cannot be read from a pipe.
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


def _copied(pipe, place: pathlib.Path) -> Song:
    with place.open("wb") as file:
        shutil.copyfileobj(pipe, file)
    return Song(place)
