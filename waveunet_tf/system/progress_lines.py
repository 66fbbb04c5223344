"""Progress through many tracks: a bar on a terminal, lines in a log."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

import tqdm
from absl import logging

# The least time between two lines of a log, in seconds.
LINE_SECONDS = 60.0

_Item = TypeVar("_Item")


def with_progress(
    items: Iterable[_Item], what: str, total: int, unit: str = "track"
) -> Iterator[_Item]:
    """Yields the items, and shows how many are done.

    Where stderr is no terminal, a line a minute says so, with the time that is left if
    the rest takes as long as what is done.

    Args:
        items: What is worked on.
        what: What is done, in one word.
        total: The number of items.
        unit: What an item is called.
    """
    if sys.stderr.isatty():
        yield from tqdm.tqdm(items, what, total, unit=unit)
        return
    begin = told = time.monotonic()
    for done, item in enumerate(items):
        now = time.monotonic()
        if done and now - told >= LINE_SECONDS:
            told = now
            left_seconds = round((now - begin) / done * (total - done))
            left = datetime.timedelta(seconds=left_seconds)
            logging.info("%s: %d of %d %ss, %s left", what, done, total, unit, left)
        yield item
