"""Files and folders: atomic writes, locks, hashes, free space, leave to overwrite."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import re
import shutil
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from waveunet_tf.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_MAX_NAME_BYTES = 255


def expand_home(path: str | os.PathLike) -> str:
    """Replaces a leading `~/` by the home folder; a name such as `~a.wav` stays."""
    text = os.fspath(path)
    is_home = text == "~" or text.startswith(("~/", f"~{os.sep}"))
    return os.path.expanduser(text) if is_home else text


def real_path(path: str | os.PathLike) -> pathlib.Path:
    """Follows links; a circle of links leads nowhere, but is no error yet."""
    return pathlib.Path(os.path.realpath(path))


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary name beside `path`; the file replaces `path` if all goes well.

    The temporary name keeps the suffix, from which writers take the format.
    """
    with atomic_files([path]) as (part,):
        yield part


@contextlib.contextmanager
def atomic_files(paths: Iterable[str | os.PathLike]) -> Iterator[list[pathlib.Path]]:
    """Yields temporary names for several files, which appear together or not at all."""
    paths = [pathlib.Path(path) for path in paths]
    parts = [_part(path) for path in paths]
    made = []
    try:
        for folder in {path.parent: None for path in paths}:
            missing = [part for part in (folder, *folder.parents) if not part.exists()]
            made += reversed(missing)
            folder.mkdir(parents=True, exist_ok=True)
        for part in parts:
            _remove_of_dead(part)
        yield parts
        for part, path in zip(parts, paths):
            os.replace(part, path)
    except OSError as error:  # The user knows the final names only.
        for part, path in zip(parts, paths):
            if error.filename == str(part):
                raise OSError(error.errno, error.strerror, str(path)) from error
            if not error.errno and str(part) in str(error):
                raise OSError(str(error).replace(str(part), str(path))) from error
        raise
    finally:
        for part in parts:
            # The path's folder may be a file of the user's.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                part.unlink()
        _remove_empty(made)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary folder beside `path`, which becomes `path` if all goes well.

    Raises:
        OSError: `path` exists and is not empty.
    """
    path = pathlib.Path(path)
    part = _part(path)
    made = [folder for folder in path.parents if not folder.exists()][::-1]
    try:  # From the first folder on: Ctrl-C may end any of these lines.
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_of_dead(part)
        part.mkdir()
        yield part
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()  # Windows renames onto no folder, not even an empty one
        os.rename(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        _remove_empty(made)


def _part(path: pathlib.Path) -> pathlib.Path:
    """Returns the temporary name of a file or folder, short enough for any system."""
    prefix = f".part-{os.getpid()}-"
    name = path.name
    if len(os.fsencode(prefix + name)) > _MAX_NAME_BYTES:
        name = f"{zlib.crc32(os.fsencode(name)):08x}{path.suffix[-20:]}"
    return path.with_name(prefix + name)


def _remove_of_dead(part: pathlib.Path) -> None:
    """Removes what processes that were killed have left of the same file or folder."""
    name = part.name.removeprefix(f".part-{os.getpid()}-")
    with contextlib.suppress(OSError), os.scandir(part.parent) as entries:
        for entry in entries:
            left = re.fullmatch(r"\.part-(\d+)-(.*)", entry.name, re.DOTALL)
            if left and left[2] == name and not _is_alive(int(left[1])):
                _remove(pathlib.Path(entry.path))


def _is_alive(process: int) -> bool:
    """Whether a process of this machine runs; where that is not told, it may."""
    if os.name == "nt":  # where `os.kill` would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def _remove(path: pathlib.Path) -> None:
    path.unlink() if path.is_file() else shutil.rmtree(path)


def _remove_empty(folders: list[pathlib.Path]) -> None:
    """Removes the folders that are still empty, the innermost (last) first."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()


def remove_parts(folder: str | os.PathLike) -> None:
    """Removes the half-written files and folders of killed runs, two levels deep."""
    folder = pathlib.Path(folder)
    for path in [*folder.glob(".part-*"), *folder.glob("*/.part-*")]:
        _remove(path)


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Keeps other runs out of a folder, until the body or the process ends.

    Raises:
        InputError: Another run is at work in the folder.
    """
    os.makedirs(folder, exist_ok=True)
    if fcntl is None:
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{folder}: another run is at work in it") from error
        yield
    finally:
        os.close(lock)


def parse_json(text: str | bytes, place: str | os.PathLike) -> Any:
    """Parses JSON that others may have written.

    Args:
        text: The JSON.
        place: Where it stands, for errors.

    Raises:
        InputError: It is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: must be JSON, but is not: {error}") from error


def read_json(path: str | os.PathLike) -> Any:
    """Reads a JSON file in UTF-8.

    Raises:
        InputError: The file is no JSON.
        OSError: The file cannot be read.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: must be JSON, but is not UTF-8") from error
    return parse_json(text, path)


def require_space(folder: str | os.PathLike, needed_bytes: int) -> None:
    """Checks the free space, for writers such as HDF5 that crash on a full disk.

    Raises:
        OSError: The folder's disk has less space than is needed.
    """
    if shutil.disk_usage(folder).free < needed_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def require_new(*paths: str | os.PathLike, overwrite: bool = False) -> None:
    """Refuses to replace a user's files.

    Args:
        paths: Files, or folders, of which an empty one counts as new.
        overwrite: Whether they may be replaced.

    Raises:
        InputError: A path exists and `overwrite` is False.
    """
    for path in map(pathlib.Path, paths):
        if overwrite or not os.path.lexists(path):
            continue
        if not path.is_dir():
            raise InputError(f"{path}: must be a new file, or --overwrite be given")
        if any(path.iterdir()):
            raise InputError(
                f"{path}: must be a new or empty folder, or --overwrite be given"
            )


def file_sha256(path: str | os.PathLike) -> str:
    """Computes the SHA-256 of a file's content, in hexadecimal."""
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            hashed.update(block)
    return hashed.hexdigest()
