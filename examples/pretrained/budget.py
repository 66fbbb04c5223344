"""A wall-clock budget of a training, and the learning rate that fits into it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class Budget:
    """The time that a training may take, from the making of this object on.

    Attributes:
        steps: The number of steps taken so far.
    """

    def __init__(
        self,
        seconds: float,
        *,
        reserve_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Begins.

        Args:
            seconds: The time for all: building, compiling, training, validating.
            reserve_seconds: The part of it that is left for the end, after the last
                step: a validation, and the files.
            clock: Tells the time, in seconds.
        """
        self.steps = 0
        self._clock = clock
        self._end = clock() + seconds - reserve_seconds
        self._falls_from: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether no time is left for another step."""
        return self._clock() >= self._end

    def rate_factor(self) -> float:
        """Returns what multiplies the learning rate: a cosine over the time left.

        It falls from 1, at the first call, to 0 at the end. So call it after the
        warm-up only.
        """
        now = self._clock()
        if self._falls_from is None:
            self._falls_from = now
        left = max(self._end - now, 0.0)
        whole = max(self._end - self._falls_from, 1e-9)
        return 0.5 * (1 - math.cos(math.pi * min(left / whole, 1.0)))
