"""Hidden folders for what is half-written, and the removal of those that are left over.

A folder is made by `mkdir`, which takes no name that exists and follows no link, and
only its maker may write into it. So nobody can put a link in the place of a file.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pathlib
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator

_PREFIX = ".part-"
_NAME = re.compile(r"\.part-([0-9a-f]{8})-(\d+)-[0-9a-f]{16}")
# A folder of another machine or container, of whose process we know nothing, is left
# over if nothing in it has changed for so long.
_LEFT_AFTER_SECONDS = 24 * 3600.0
# Looking for what is left over takes at most this share of the time.
_SHARE_OF_TIME = 0.01
# Folder → when this process may look in it again.
_next_sweeps: dict[str, float] = {}


@contextlib.contextmanager
def part_folder(parent: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Makes a hidden folder, and removes it after the body with all that is in it.

    What earlier processes have left over in the same parent is removed, too.

    Args:
        parent: Where the folder is made. It exists.

    Raises:
        OSError: The folder cannot be made, or filled: it then names the parent.
    """
    parent = pathlib.Path(parent)
    sweep_if_quick(parent)
    path = parent / new_name()
    try:  # From here on: Ctrl-C may end any of these lines.
        path.mkdir(mode=0o700)
        yield path
    except OSError as error:  # The user knows no such name.
        if not error.errno or not str(error.filename).startswith(str(path)):
            raise
        raise OSError(error.errno, error.strerror, str(parent)) from error
    finally:
        shutil.rmtree(path, ignore_errors=True)


def new_name() -> str:
    """Returns the name of a new folder: whose it is, and 64 random bits."""
    return f"{_PREFIX}{_machine()}-{os.getpid()}-{secrets.token_hex(8)}"


def sweep_if_quick(parent: pathlib.Path) -> None:
    """Does what `sweep` does, in a folder of very many files only now and then.

    So a process may call it for each of its files.
    """
    place, begun = os.path.abspath(parent), time.monotonic()
    if begun < _next_sweeps.get(place, begun):
        return
    for other, due in list(_next_sweeps.items()):
        if due <= begun:  # It need not be remembered.
            _next_sweeps.pop(other, None)
    sweep(parent)
    ended = time.monotonic()
    _next_sweeps[place] = ended + (ended - begun) / _SHARE_OF_TIME


def sweep(parent: pathlib.Path) -> None:
    """Removes the folders that are left over in a folder.

    They are of processes of this machine or container that have ended, or a day old.
    """
    for path in parent.glob(f"{_PREFIX}*"):
        if _is_left_over(path):
            shutil.rmtree(path, ignore_errors=True)


def _is_left_over(path: pathlib.Path) -> bool:
    """Whether a path is a folder of ours on which nobody is at work any more."""
    whose = _NAME.fullmatch(path.name)
    if whose is None or path.is_symlink():
        return False
    try:
        about = path.stat()
        if hasattr(os, "getuid") and about.st_uid != os.getuid():
            return False
        if whose[1] == _machine() and not _is_at_work(int(whose[2])):
            return True
        changed = [about.st_mtime]
        for inside, _, names in os.walk(path):
            changed += [os.lstat(os.path.join(inside, name)).st_mtime for name in names]
    except OSError:  # It is being written, or gone.
        return False
    return max(changed) < time.time() - _LEFT_AFTER_SECONDS


@functools.cache
def _machine() -> str:
    """Names what process numbers belong to: a boot of a machine, or a container."""
    known = [platform.node()]
    with contextlib.suppress(OSError):
        boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
        known += [boot.read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256("\0".join(known).encode()).hexdigest()[:8]


def _is_at_work(process: int) -> bool:
    """Whether a process of this machine is there, or may be."""
    if os.name == "nt":  # Here `os.kill` would end it.
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # It is another user's.
        return True
    with contextlib.suppress(
        OSError, IndexError
    ):  # It has ended, but nobody asked how.
        stat = pathlib.Path(f"/proc/{process}/stat").read_text(errors="replace")
        return stat.rpartition(")")[2].split()[0] not in "ZX"
    return True
