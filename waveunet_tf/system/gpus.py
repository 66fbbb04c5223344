"""NVIDIA's cards and driver on this machine, as its own tools tell of them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess

from packaging.version import InvalidVersion, Version

# CUDA's major version → the oldest driver for Linux that runs all its releases.
OLDEST_DRIVERS = {"11": "450.80.02", "12": "525.60.13", "13": "580.65.06"}
_DRIVER_FILE = pathlib.Path("/proc/driver/nvidia/version")
_SECONDS = 20
# Less free memory than this does not hold CUDA's own context and a small network.
LEAST_FREE_MIB = 1024


@dataclasses.dataclass(frozen=True)
class Card:
    """A card.

    Attributes:
        number: Its number, as CUDA_VISIBLE_DEVICES names it.
        uuid: What tells it from all other cards.
        name: Its name.
        driver: The version of the driver.
        memory_mib: Its memory in MiB.
        free_mib: What of it is free, in MiB.
    """

    number: int
    uuid: str
    name: str
    driver: str
    memory_mib: int
    free_mib: int


@dataclasses.dataclass(frozen=True)
class CardUser:
    """A process that computes on a card.

    Attributes:
        uuid: The card.
        process: Its number.
        name: Its program.
        memory_mib: The memory that it holds in MiB; None where the driver hides it.
    """

    uuid: str
    process: int
    name: str
    memory_mib: int | None


def _ask(*words: str) -> list[list[str]]:
    """Returns the rows of what nvidia-smi lists; nothing where there is none."""
    try:
        result = subprocess.run(
            ["nvidia-smi", *words, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = result.stdout.splitlines() if result.returncode == 0 else []
    return [[word.strip() for word in line.split(",")] for line in lines if line]


def _mib(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def list_cards() -> list[Card]:
    """Lists the cards that this process may use.

    Those that the variable CUDA_VISIBLE_DEVICES leaves out are left out here.
    """
    asked = "index,uuid,name,driver_version,memory.total,memory.free"
    cards = []
    for row in _ask(f"--query-gpu={asked}"):
        if len(row) == 6 and row[0].isdigit():
            number, uuid, name, driver, memory, free = row
            # Cards that share the machine's memory have none of their own to tell.
            sizes = (_mib(memory) or 0, _mib(free) or 0)
            cards.append(Card(int(number), uuid, name, driver, *sizes))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return cards
    wanted = [word.strip() for word in visible.split(",")]
    return [
        card
        for card in cards
        if any(
            word == str(card.number) or (word and card.uuid.startswith(word))
            for word in wanted
        )
    ]


def list_users(cards: list[Card]) -> list[CardUser]:
    """Lists other processes that compute on some cards."""
    uuids = {card.uuid for card in cards}
    users = []
    for row in _ask("--query-compute-apps=gpu_uuid,pid,process_name,used_memory"):
        if len(row) == 4 and row[0] in uuids and row[1].isdigit():
            uuid, process, name, memory = row
            if int(process) != os.getpid():
                users.append(CardUser(uuid, int(process), name, _mib(memory)))
    return users


def driver_version() -> str | None:
    """Returns the driver's version; None where there is no driver."""
    for row in _ask("--query-gpu=driver_version"):
        return row[0]
    with contextlib.suppress(OSError):
        text = _DRIVER_FILE.read_text(encoding="utf-8")
        found = re.search(r"Module(?: for \S+)?\s+([\d.]+)", text)
        return found[1] if found else None
    return None


def driver_problem(driver: str | None, cuda: str | None) -> str | None:
    """Says why a driver cannot run a release of CUDA, and what mends it.

    Args:
        driver: The driver's version; None where there is none.
        cuda: CUDA's version, such as 12.3; None where TensorFlow has none.

    Returns:
        One line; None where it can, or nothing is known.
    """
    if driver is None:
        return "this machine has no NVIDIA driver, or shows none to this container"
    oldest = OLDEST_DRIVERS.get((cuda or "").partition(".")[0])
    try:
        if oldest is None or Version(driver) >= Version(oldest):
            return None
    except InvalidVersion:
        return None
    return (
        f"the driver {driver} is too old for CUDA {cuda}: install {oldest} or a newer "
        "one"
    )


def memory_problem(card: Card, users: list[CardUser]) -> str | None:
    """Says in one line that a card has no memory left, and who holds it.

    Args:
        card: The card.
        users: The other processes, of all cards.
    """
    if not card.memory_mib or card.free_mib >= LEAST_FREE_MIB:
        return None
    return (
        f"GPU {card.number} ({card.name}) has {card.free_mib} of {card.memory_mib} MiB "
        f"free{_held_by(card, users)}; end that process, or choose another card with "
        "CUDA_VISIBLE_DEVICES"
    )


def _held_by(card: Card, users: list[CardUser]) -> str:
    own = [describe_user(user) for user in users if user.uuid == card.uuid]
    return f", held by {', '.join(own)}" if own else ""


def describe_user(user: CardUser) -> str:
    """Names a process and its memory, for a message."""
    memory = "" if user.memory_mib is None else f", {user.memory_mib} MiB"
    return f"process {user.process} ({user.name}{memory})"
