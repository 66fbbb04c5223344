"""The CPU that this process runs on."""

from __future__ import annotations

import contextlib
import os
import pathlib
import platform


def processor() -> str:
    """Returns the CPU's name, or its architecture where the name is unknown."""
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
