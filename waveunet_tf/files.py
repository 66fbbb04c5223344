"""Writing so that a final name never holds half of something."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary name beside `path`, which replaces `path` if all goes well.

    The temporary name keeps the suffix, from which writers take the format.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary folder beside `path`, which becomes `path` if all goes well.

    Raises:
        OSError: `path` exists already and is not empty.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = _part(path)
    part.mkdir()
    try:
        yield part
        os.rename(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _part(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f".part-{os.getpid()}-{path.name}")
