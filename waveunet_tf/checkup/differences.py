"""How far what was computed is from what is expected; NaN is never near."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


def greatest_difference(values: Iterable[Any], expected: Iterable[Any]) -> float:
    """Returns the greatest difference of any two samples; NaN where one is NaN.

    Args:
        values: Arrays, or tensors.
        expected: As many, of the same shapes.
    """
    differences = [
        np.max(np.abs(np.asarray(one) - np.asarray(other)))
        for one, other in zip(values, expected, strict=True)
    ]
    return float(np.max(differences))  # Python's max would forget NaN


def farthest_loss(values: list[float], expected: list[float]) -> float:
    """Returns the largest relative difference; infinite where one is no number."""
    values, expected = np.array(values), np.array(expected)
    differences = np.abs(values - expected) / np.abs(expected)
    return float(np.max(np.nan_to_num(differences, nan=np.inf)))


def relative_distance(value: np.ndarray, expected: np.ndarray) -> float:
    """Returns the norm of the difference over the norm of what is expected."""
    norm = float(np.linalg.norm(expected))
    distance = float(np.linalg.norm(value - expected))
    if not np.isfinite(distance):
        return float("inf")
    return distance / norm if norm else float(distance > 0) * float("inf")
