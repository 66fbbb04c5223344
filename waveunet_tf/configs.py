"""The frozen configurations of networks and of training, and the paper's presets.

A field's help text is also the help of the flag of the same name (cli.py).
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

from waveunet_tf.errors import InputError


def _setting(default, help_text: str, *, choices=(), minimum=None, above=None):
    return dataclasses.field(
        default=default,
        metadata={
            "help": help_text,
            "choices": choices,
            "minimum": minimum,
            "above": above,
        },
    )


class _Config:
    """Checks every field against its declaration; subclasses add what spans fields."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if isinstance(field.default, tuple):
                value = tuple(value) if isinstance(value, (list, tuple)) else value
                object.__setattr__(self, field.name, value)
            self._check(field, value)

    @staticmethod
    def _check(field: dataclasses.Field, value) -> None:
        kind = int if field.default is None else type(field.default)
        if kind is float and type(value) is int:
            value = float(value)
        rule = None
        if type(value) is not kind:
            rule = f"must be of type {kind.__name__}"
        elif field.metadata["choices"] and value not in field.metadata["choices"]:
            rule = f"must be one of {', '.join(map(str, field.metadata['choices']))}"
        elif (low := field.metadata["minimum"]) is not None and not value >= low:
            rule = f"must be at least {low}"
        elif (low := field.metadata["above"]) is not None and not value > low:
            rule = f"must be greater than {low}"
        if rule:
            raise InputError(f"`{field.name}` {rule}. Received: {value!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]):
        """Builds a config from JSON values.

        Raises:
            InputError: a field is missing, unknown or out of its range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or set(values) != known:
            came = sorted(values) if isinstance(values, dict) else values
            raise InputError(
                f"{cls.__name__} has the fields {sorted(known)}. Received: {came}"
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


@dataclasses.dataclass(frozen=True)
class NetworkConfig(_Config):
    """A Wave-U-Net (paper, section 3; the original's Config.py).

    Raises:
        InputError: a field is out of its range, or fields contradict each other.
    """

    num_levels: int = _setting(
        12, "Levels of decimation, and of upsampling.", minimum=1
    )
    base_filters: int = _setting(
        24, "Filters of the first level; level i has (i + 1) times as many.", minimum=1
    )
    down_kernel_size: int = _setting(
        15, "Width of the convolutions of the downward path, in taps.", minimum=1
    )
    up_kernel_size: int = _setting(
        5, "Width of the convolutions of the upward path, in taps.", minimum=1
    )
    output_kernel_size: int = _setting(
        1, "Width of the output convolutions, in taps.", minimum=1
    )
    upsampling: str = _setting(
        "linear",
        "How the upward path doubles its rate: linear interpolation, or one learned "
        "weight a feature.",
        choices=("linear", "learned"),
    )
    output_type: str = _setting(
        "difference",
        "direct: every source has an output layer; difference: the last source is the "
        "mixture less the others.",
        choices=("direct", "difference"),
    )
    output_activation: str = _setting(
        "tanh",
        "Activation of the output layers; linear is clipped to [-1, 1] at inference.",
        choices=("tanh", "linear"),
    )
    context: bool = _setting(
        True,
        "Whether the input has real audio around the output (convolutions without "
        "padding), instead of zero padding.",
    )
    channels: int = _setting(
        2, "Audio channels: 1 (mono) or 2 (stereo).", choices=(1, 2)
    )
    sources: tuple[str, ...] = _setting(
        ("accompaniment", "vocals"), "Names of the sources, comma separated."
    )
    sample_rate_hz: int = _setting(22050, "Sample rate of the audio, in Hz.", minimum=1)
    output_frames: int = _setting(
        16384,
        "Output frames wished for in training. With context the network gives the "
        "nearest possible number that is not smaller.",
        minimum=1,
    )

    def __post_init__(self):
        super().__post_init__()
        if len(self.sources) < 2 or len(set(self.sources)) < len(self.sources):
            raise InputError(
                "`sources` must be at least two different names. "
                f"Received: {', '.join(map(str, self.sources))}"
            )
        for name in self.sources:
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise InputError(
                    "`sources` must be names of letters, digits, _ and - (they name "
                    f"files and layers). Received: {name!r}"
                )
            if name == "mixture":
                raise InputError("`sources` cannot contain the mixture itself")
        if self.context:
            for name in ("down_kernel_size", "up_kernel_size", "output_kernel_size"):
                if getattr(self, name) % 2 == 0:
                    raise InputError(
                        f"`{name}` must be odd with `context`, so that skips have a "
                        f"centre to crop. Received: {getattr(self, name)}"
                    )
        elif self.output_frames % 2**self.num_levels:
            raise InputError(
                "`output_frames` must be a multiple of 2^num_levels = "
                f"{2**self.num_levels} without `context`. "
                f"Received: {self.output_frames}"
            )


@dataclasses.dataclass(frozen=True)
class TrainingConfig(_Config):
    """How a network is trained (paper, section 4.2)."""

    batch_size: int = _setting(16, "Excerpts a step.", minimum=1)
    learning_rate: float = _setting(1e-4, "Adam's learning rate.", above=0)
    steps_per_epoch: int = _setting(
        2000, "Optimiser steps between two validations.", minimum=1
    )
    max_epochs: int | None = _setting(
        None, "Epochs at most; by default only `patience` ends the training.", minimum=1
    )
    patience: int = _setting(
        20, "Epochs without a better validation loss that end the training.", minimum=1
    )
    min_gain: float = _setting(
        0.7,
        "Each source of an excerpt is multiplied by a random gain between this and 1.",
        minimum=0,
    )
    seed: int = _setting(
        1337, "Seed of the first weights and of the excerpts.", minimum=0
    )

    def __post_init__(self):
        super().__post_init__()
        if self.min_gain > 1:
            raise InputError(f"`min_gain` must be at most 1. Received: {self.min_gain}")


_M4 = NetworkConfig()

VARIANTS: dict[str, NetworkConfig] = {
    "M1": dataclasses.replace(_M4, output_type="direct", context=False, channels=1),
    "M2": dataclasses.replace(_M4, context=False, channels=1),
    "M3": dataclasses.replace(_M4, channels=1),
    "M4": _M4,
    "M5": dataclasses.replace(_M4, upsampling="learned"),
    "M5-HighSR": dataclasses.replace(_M4, upsampling="learned", sample_rate_hz=44100),
    "M6": dataclasses.replace(_M4, sources=("bass", "drums", "other", "vocals")),
}
"""The paper's models (paper, table 1, and the original's Config.py), by name."""
