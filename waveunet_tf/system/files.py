"""Files and folders: atomic writes, locks, space, and leave to overwrite."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pathlib
import shutil
import zlib
from collections.abc import Iterable, Iterator

from waveunet_tf.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_MAX_NAME_BYTES = 255


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary name beside `path`, which replaces `path` if all goes well.

    The temporary name keeps the suffix, from which writers take the format.
    """
    with atomic_files([path]) as (part,):
        yield part


@contextlib.contextmanager
def atomic_files(paths: Iterable[str | os.PathLike]) -> Iterator[list[pathlib.Path]]:
    """Gives temporary names for several files, which appear together or not at all."""
    paths = [pathlib.Path(path) for path in paths]
    parts = [_part(path) for path in paths]
    made = []
    try:
        for folder in {path.parent: None for path in paths}:
            missing = [part for part in (folder, *folder.parents) if not part.exists()]
            made += reversed(missing)
            folder.mkdir(parents=True, exist_ok=True)
        yield parts
        for part, path in zip(parts, paths):
            os.replace(part, path)
    except OSError as error:  # the user knows the final names only
        for part, path in zip(parts, paths):
            if error.filename == str(part):
                raise OSError(error.errno, error.strerror, str(path)) from error
            if not error.errno and str(part) in str(error):
                raise OSError(str(error).replace(str(part), str(path))) from error
        raise
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # it has a file, or was never made
                folder.rmdir()


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary folder beside `path`, which becomes `path` if all goes well.

    Raises:
        OSError: `path` exists already and is not empty.
    """
    path = pathlib.Path(path)
    part = _part(path)
    missing = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    part.mkdir()
    try:
        yield part
        os.rename(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        for folder in missing:
            with contextlib.suppress(OSError):  # it holds what was made
                folder.rmdir()


def remove_parts(folder: str | os.PathLike) -> None:
    """Removes what killed runs left half-written in a folder and those in it."""
    folder = pathlib.Path(folder)
    for path in [*folder.glob(".part-*"), *folder.glob("*/.part-*")]:
        path.unlink() if path.is_file() else shutil.rmtree(path)


@contextlib.contextmanager
def locked_folder(folder: str | os.PathLike) -> Iterator[None]:
    """Keeps other runs out of a folder; a killed process gives it free.

    Raises:
        InputError: another run is at work in it.
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


def require_space(folder: str | os.PathLike, needed_bytes: int) -> None:
    """For writers, such as HDF5, that crash where the disk is full.

    Raises:
        OSError: the folder's disk has less space.
    """
    if shutil.disk_usage(folder).free < needed_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


def _part(path: pathlib.Path) -> pathlib.Path:
    prefix = f".part-{os.getpid()}-"
    name = path.name
    if len(os.fsencode(prefix + name)) > _MAX_NAME_BYTES:
        name = f"{zlib.crc32(os.fsencode(name)):08x}{path.suffix[-20:]}"
    return path.with_name(prefix + name)


def require_new(*paths: str | os.PathLike, overwrite: bool = False) -> None:
    """Refuses to replace what a user made.

    Args:
        paths: files, or folders, of which an empty one counts as new.
        overwrite: whether they may be replaced.

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
