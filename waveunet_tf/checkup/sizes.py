"""How much a check computes: tiny on a CPU, the paper's sizes on a GPU."""

from __future__ import annotations

import dataclasses

from waveunet_tf.configs.networks import VARIANTS, WaveUNetConfig
from waveunet_tf.errors import InputError

PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to compute a training.

    Attributes:
        precision: One of PRECISIONS.
        compiled: Whether XLA compiles the step.
        tf32: Whether a GPU may round the factors of float32's products (TF32).
    """

    precision: str = "float32"
    compiled: bool = False
    tf32: bool = False

    @property
    def name(self) -> str:
        """What tables call it, such as "mixed_bfloat16, XLA"."""
        parts = [self.precision, "TF32" * self.tf32, "XLA" * self.compiled]
        return ", ".join(filter(None, parts))

    @property
    def flags(self) -> str:
        """The flags of `waveunet train` that compute so."""
        return f"--precision {self.precision}" + " --jit_compile" * self.compiled


def ways_of(precisions: tuple[str, ...], *, on_gpu: bool) -> list[Way]:
    """Lists the ways to check: each precision with and without XLA.

    Args:
        precisions: Some of PRECISIONS.
        on_gpu: Whether float32 may be TF32, too.
    """
    return [
        Way(precision, compiled, tf32)
        for precision in precisions
        for tf32 in ((False, True) if on_gpu and precision == "float32" else (False,))
        for compiled in (False, True)
    ]


@dataclasses.dataclass(frozen=True)
class Work:
    """A network and a batch whose steps are timed.

    Attributes:
        name: What tables call it.
        config: The network.
        batch_size: The excerpts of a step.
    """

    name: str
    config: WaveUNetConfig
    batch_size: int


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How much a check computes.

    Attributes:
        small: The network that must be right: M5's kind, small.
        batch_size: The excerpts of its steps.
        steps: The steps of gradient descent that are compared.
        works: What is timed.
        product: The rows of the square matrices whose product is timed.
        seconds: The time for each rate that is measured.
    """

    small: WaveUNetConfig
    batch_size: int
    steps: int
    works: tuple[Work, ...]
    product: int
    seconds: float


_M5 = VARIANTS["M5"]


def _small(levels: int, filters: int, frames: int) -> WaveUNetConfig:
    return dataclasses.replace(
        _M5,
        num_levels=levels,
        base_filters=filters,
        output_frames=frames,
        sample_rate_hz=8000,
    )


SIZES = {
    "tiny": Sizes(
        small=_small(2, 4, 256),
        batch_size=4,
        steps=20,
        works=(Work("a small M5", _small(3, 8, 2048), 4),),
        product=1024,
        seconds=1.0,
    ),
    "full": Sizes(
        small=_small(4, 12, 4096),
        batch_size=4,
        steps=20,
        works=(
            Work("M5", _M5, 16),
            Work(
                "M5 of 10 levels and 32 filters",
                dataclasses.replace(
                    _M5, num_levels=10, base_filters=32, output_frames=65536
                ),
                16,
            ),
        ),
        product=8192,
        seconds=3.0,
    ),
}
"""How much is computed, by the name that --sizes has."""


def require_precisions(precisions: list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """Checks names of precisions.

    Raises:
        InputError: One is unknown, or there is none.
    """
    unknown = [name for name in precisions if name not in PRECISIONS]
    if unknown or not precisions:
        raise InputError(
            f"`precisions` must be of {', '.join(PRECISIONS)}. Received: "
            f"{', '.join(unknown) or 'none'}"
        )
    return tuple(dict.fromkeys(precisions))
