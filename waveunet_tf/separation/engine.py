"""The part that every engine plays: it computes a network, step by step."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Engine(Protocol):
    """Computes a stream's next chunk, or one window, from arrays by name.

    An engine may be called from several threads: each song has its own state, which
    the caller keeps.

    Attributes:
        name: The engine's name, such as "tensorflow".
        chunk_frames: The most frames of a chunk, or of a window's hop.
        input_shapes: Array → the shape that a step takes: `mixture`,
            `(1, frames, channels)`, and with a stream the arrays of its state,
            `state_…`, `(1, frames, features)`.
        silence: Array of the state → what it holds in silence, `(1, 1, features)`.
    """

    name: str
    chunk_frames: int
    input_shapes: dict[str, tuple[int, ...]]
    silence: dict[str, np.ndarray]

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        """Computes one step.

        Args:
            **inputs: The arrays of `input_shapes`.

        Returns:
            Source → its frames `(1, frames, channels)`, and the arrays of the state
            after the step, by the names that they had.
        """
        ...
