"""How fast a training runs: rates and means over its last steps."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np


class Meter:
    """Rates and means over the steps of an epoch."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """Begins to measure.

        Args:
            clock: Returns the time in seconds.
        """
        self._clock = clock
        self._began = self._last_point = clock()
        self._steps = 0
        self._audio_seconds = 0.0
        self._points = []

    def add(
        self,
        loss: float,
        gradient_norm: float,
        audio_seconds: float,
        waited_seconds: float,
    ) -> None:
        """Adds a step.

        Args:
            loss: The step's loss.
            gradient_norm: The norm of its gradients.
            audio_seconds: The audio in its batch.
            waited_seconds: The time that it waited for its batch.
        """
        self._steps += 1
        self._audio_seconds += audio_seconds
        self._points.append((loss, gradient_norm, audio_seconds, waited_seconds))

    @property
    def step_rate(self) -> float:
        """Steps a second, since the beginning."""
        return self._steps / (self._clock() - self._began)

    @property
    def audio_rate(self) -> float:
        """Seconds of audio a second, since the beginning."""
        return self._audio_seconds / (self._clock() - self._began)

    def point(self) -> dict[str, float]:
        """Returns the means over the steps since the last call."""
        now = self._clock()
        seconds, self._last_point = now - self._last_point, now
        points, self._points = self._points, []
        loss, norm, audio, waited = np.sum(points, axis=0)
        return {
            "loss": loss / len(points),
            "gradient_norm": norm / len(points),
            "steps_per_second": len(points) / seconds,
            "audio_seconds_per_second": audio / seconds,
            "input_wait_share": waited / seconds,
        }
