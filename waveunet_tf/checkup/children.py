"""Child processes of a check: what they ran, how they ended, and what they said."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple


class Ended(NamedTuple):
    """How a child ended.

    Attributes:
        code: Its exit code; negative after a signal; None where its time was up.
        errors: The lines that it wrote to stderr.
    """

    code: int | None
    errors: list[str]

    @property
    def last_line(self) -> str:
        """Its last line on stderr that says something."""
        return next((line for line in reversed(self.errors) if line.strip()), "")


def environment_of(*, on_gpu: bool, gpus: str | None = None) -> dict[str, str]:
    """Returns the environment of children.

    Args:
        on_gpu: Whether they may see GPUs.
        gpus: The numbers of the GPUs that they see, as CUDA_VISIBLE_DEVICES has them.
    """
    values = {
        **os.environ,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        # One check after the other shares the card with whoever else is on it.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
    if not on_gpu:
        values["CUDA_VISIBLE_DEVICES"] = ""
    elif gpus is not None:
        values["CUDA_VISIBLE_DEVICES"] = gpus
    return values


@contextlib.contextmanager
def started(
    words: Sequence[str],
    environment: dict[str, str],
    limit: Callable | None = None,
    *,
    own_group: bool = True,
) -> Iterator[subprocess.Popen]:
    """Starts `python -m …`, and kills it and its children when the body ends.

    Args:
        words: The module and its arguments.
        environment: Its environment.
        limit: Called in the child before it begins, to limit what it may use.
        own_group: Whether it leads a group of processes. A child's child must not, so
            that it goes with the child; here it is killed without its children.
    """
    child = subprocess.Popen(
        [sys.executable, "-m", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=own_group,
        preexec_fn=limit,
    )
    try:
        yield child
    finally:
        if own_group:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
        child.wait()
        child.stderr.close()


def end_of(child: subprocess.Popen, seconds: float) -> Ended:
    """Waits until a child ends, at most so long."""
    try:
        _, errors = child.communicate(timeout=max(seconds, 0.1))
    except subprocess.TimeoutExpired:
        return Ended(None, [])
    return Ended(child.returncode, errors.splitlines())


def run_child(
    words: Sequence[str],
    environment: dict[str, str],
    seconds: float,
    limit: Callable | None = None,
    *,
    own_group: bool = True,
) -> Ended:
    """Runs `python -m …` for at most so long."""
    with started(words, environment, limit, own_group=own_group) as child:
        return end_of(child, seconds)


def wait_until(
    child: subprocess.Popen, is_so: Callable[[], bool], seconds: float
) -> bool:
    """Waits until something is so; False where the child or the time ends first."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if is_so():
            return True
        if child.poll() is not None:
            return False
        time.sleep(0.02)
    return False
