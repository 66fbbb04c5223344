"""Tells errors of too little memory from others, whichever library raised them."""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import re
from collections.abc import Iterator

from waveunet_tf.errors import InputError

# Classes that we must not import for this: TensorFlow's.
_CLASSES = {"ResourceExhaustedError"}
# What libraries say in errors of other classes: JAX's, tf.data's of Python code, C++'s.
_WORDS = re.compile(
    r"RESOURCE_EXHAUSTED|OOM when allocating|MemoryError|bad_alloc|out of memory|"
    r"(failed|unable) to allocate",
    re.IGNORECASE,
)

# Where cgroups of versions 2 and 1 tell a container's memory, in bytes.
_CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def is_exhausted(error: BaseException) -> bool:
    """Returns whether an error says that memory is missing."""
    names = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, MemoryError) or names & _CLASSES:
        return True
    return isinstance(error, Exception) and bool(_WORDS.search(str(error)))


def explain_shortage(error: BaseException, less: str = "") -> str | None:
    """Says in one line that memory is missing, if that is what an error says.

    Args:
        error: The error.
        less: What takes less memory, such as "a lower --batch_size".
    """
    if isinstance(error, InputError) or not is_exhausted(error):
        return None
    hint = f"; {less} takes less" if less else ""
    return f"needs more memory than there is{hint}"


def require_bytes(needed_bytes: int) -> None:
    """Requires that this machine, or container, has so much memory at all.

    Linux ends a process that fills memory which it has promised: no error then says so.

    Raises:
        MemoryError: It has less.
    """
    if needed_bytes > _whole_bytes():
        raise MemoryError


def _whole_bytes() -> float:
    """Returns the memory of the machine or container; infinity where it is unknown."""
    whole = math.inf
    with contextlib.suppress(AttributeError, ValueError, OSError):  # Windows
        whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # ValueError: "max"
            whole = min(whole, int(pathlib.Path(path).read_text()))
    return whole


@contextlib.contextmanager
def advising(what: str, less: str) -> Iterator[None]:
    """Turns errors of too little memory into one line.

    Args:
        what: What needs the memory, for the message.
        less: What takes less of it, such as "a lower --batch_size".

    Raises:
        InputError: The body raised an error of too little memory.
    """
    try:
        yield
    except Exception as error:
        if reason := explain_shortage(error, less):
            raise InputError(f"{what} {reason}") from error
        raise
