"""Files and folders: atomic writes, locks, hashes, free space, leave to overwrite."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from waveunet_tf.errors import InputError
from waveunet_tf.system import part_folders

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Errors of a disk, for which no song or track that is written to it is to blame."""
# The disk is full, as its owner's quota may be.
_FULL = {errno.ENOSPC, errno.EDQUOT}
_MAX_NAME_BYTES = 255


def expand_home(path: str | os.PathLike) -> str:
    """Replaces a leading `~/` by the home folder; a name such as `~a.wav` stays."""
    text = os.fspath(path)
    is_home = text == "~" or text.startswith(("~/", f"~{os.sep}"))
    return os.path.expanduser(text) if is_home else text


def real_path(path: str | os.PathLike) -> pathlib.Path:
    """Follows links; a circle of links leads nowhere, but is no error yet."""
    try:
        return pathlib.Path(os.path.realpath(path))
    except FileNotFoundError:  # The working directory was removed.
        return pathlib.Path(path)


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary name beside `path`; the file replaces `path` if all goes well.

    The temporary name keeps the suffix, from which writers take the format.
    """
    with atomic_files([path]) as (part,):
        yield part


@contextlib.contextmanager
def atomic_files(paths: Iterable[str | os.PathLike]) -> Iterator[list[pathlib.Path]]:
    """Yields temporary names for several files, which appear together or not at all.

    Where one cannot get its name, the files that were there before are back.
    """
    paths = [pathlib.Path(path) for path in paths]
    parts: dict[pathlib.Path, pathlib.Path] = {}
    with contextlib.ExitStack() as stack, final_names(parts):
        folders = {
            folder: stack.enter_context(hidden_folder(folder))
            for folder in {path.parent: None for path in paths}
        }
        for path in paths:
            parts[_short_name(folders[path.parent] / f".{path.name}")] = path
        yield list(parts)
        for path in paths:  # Before the first of them is replaced.
            if path.is_dir() and not path.is_symlink():
                raise IsADirectoryError(
                    errno.EISDIR, os.strerror(errno.EISDIR), str(path)
                )
        _replace_all(parts)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Yields a temporary folder beside `path`, which becomes `path` if all goes well.

    Raises:
        OSError: `path` exists and is not empty.
    """
    path = pathlib.Path(path)
    with hidden_folder(path.parent) as folder:
        part = folder / path.name
        with final_names({part: path}):
            part.mkdir()
            yield part
            with contextlib.suppress(FileNotFoundError):
                path.rmdir()  # Windows renames onto no folder, not even an empty one
            os.rename(part, path)


@contextlib.contextmanager
def hidden_folder(parent: pathlib.Path) -> Iterator[pathlib.Path]:
    """Makes a hidden folder, which goes with all that is in it after the body.

    The folders that lead to it are made, too; they go again if they are empty then.
    """
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()][::-1]
    try:  # From the first folder on: Ctrl-C may end any of these lines.
        parent.mkdir(parents=True, exist_ok=True)
        with part_folders.part_folder(parent) as part:
            yield part
    finally:
        _remove_empty(made)


def _short_name(path: pathlib.Path) -> pathlib.Path:
    """Returns a path whose name is short enough for any system, of the same suffix."""
    if len(os.fsencode(path.name)) <= _MAX_NAME_BYTES:
        return path
    name = f".{zlib.crc32(os.fsencode(path.name)):08x}{path.suffix[-20:]}"
    return path.with_name(name)


@contextlib.contextmanager
def final_names(parts: Mapping[pathlib.Path, pathlib.Path]) -> Iterator[None]:
    """Lets errors tell the final names: the user knows no others.

    Args:
        parts: Temporary name → final name, which the body may still fill.
    """
    try:
        yield
    except OSError as error:
        failed = error.filename
        if error.errno in _FULL:  # A write names no file, a copy its source first.
            failed = error.filename2 or failed or next(iter(parts), None)
        for part, path in parts.items():
            if str(failed).startswith(str(part)):
                name = str(failed).replace(str(part), str(path), 1)
                raise OSError(error.errno, error.strerror, name) from error
            if not error.errno and str(part) in str(error):
                raise OSError(str(error).replace(str(part), str(path))) from error
        raise


def _replace_all(parts: Mapping[pathlib.Path, pathlib.Path]) -> None:
    """Gives files their final names; after an error, all is as it was before."""
    done: list[tuple[pathlib.Path, pathlib.Path, pathlib.Path | None]] = []
    try:
        for part, path in parts.items():
            earlier = None
            if len(parts) > 1 and os.path.lexists(path):
                earlier = part.with_name(part_folders.new_name())
                _keep(path, earlier)
            done.append((part, path, earlier))
            os.replace(part, path)
    except BaseException:
        for part, path, earlier in reversed(done):
            with contextlib.suppress(OSError):
                if earlier is not None:
                    os.replace(earlier, path)
                elif not os.path.lexists(part):  # It has got its final name.
                    path.unlink()
        raise


def _keep(path: pathlib.Path, other: pathlib.Path) -> None:
    """Gives a file another name too, or where that is not possible, instead."""
    try:
        os.link(path, other, follow_symlinks=False)
    except (OSError, NotImplementedError):
        os.rename(path, other)


def _remove_empty(folders: list[pathlib.Path]) -> None:
    """Removes the folders that are still empty, the innermost (last) first."""
    for folder in reversed(folders):
        with contextlib.suppress(OSError):
            folder.rmdir()


def remove_parts(folder: str | os.PathLike) -> None:
    """Removes the half-written files and folders of killed runs, two levels deep."""
    folder = pathlib.Path(folder)
    for parent in [folder, *filter(pathlib.Path.is_dir, folder.glob("*"))]:
        part_folders.sweep(parent)


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike, *, wait: bool = False) -> Iterator[None]:
    """Keeps other runs out of a folder, until the body or the process ends.

    Args:
        folder: The folder, which is made if it is not there.
        wait: Whether to wait for another run's end.

    Raises:
        InputError: Another run is at work in the folder, and `wait` is False.
        OSError: The folder cannot be made or locked.
    """
    os.makedirs(folder, exist_ok=True)
    if fcntl is None:
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
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


def require_new(*paths: str | os.PathLike, overwrite: bool | None = False) -> None:
    """Refuses to replace a user's files.

    Args:
        paths: Files, or folders, of which an empty one counts as new.
        overwrite: Whether they may be replaced; None: never, by no flag.

    Raises:
        InputError: A path exists and may not be replaced.
    """
    way_out = "" if overwrite is None else ", or --overwrite be given"
    for path in map(pathlib.Path, paths):
        if overwrite or not os.path.lexists(path):
            continue
        if not path.is_dir():
            raise InputError(f"{path}: must be a new file{way_out}")
        if any(path.iterdir()):
            raise InputError(f"{path}: must be a new or empty folder{way_out}")


def file_sha256(path: str | os.PathLike) -> str:
    """Computes the SHA-256 of a file's content, in hexadecimal."""
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            hashed.update(block)
    return hashed.hexdigest()


def find_name(name: str, names: Iterable[str]) -> str | None:
    """Finds a name among others, however systems write its letters.

    macOS writes a letter such as é as two code points, most keyboards as one.
    """
    form = unicodedata.normalize("NFC", name)
    same = [each for each in names if unicodedata.normalize("NFC", each) == form]
    return name if name in same else next(iter(same), None)


def state_of_files(paths: Iterable[str | os.PathLike]) -> str:
    """Hashes the names, sizes and times of files, which change with their content.

    Raises:
        OSError: A file is missing.
    """
    stats = [(pathlib.Path(path).name, os.stat(path)) for path in paths]
    state = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
    return hashlib.sha256(os.fsencode(state)).hexdigest()
