"""Frozen configurations whose fields carry their checks and their flags' help."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from waveunet_tf.errors import InputError


def setting(
    default,
    help_text: str,
    *,
    kind=int,
    choices=(),
    minimum=None,
    maximum=None,
    above=None,
    below=None,
) -> Any:
    """Declares a field of a config: its default, its flag's help and its range.

    Args:
        default: The default, whose type the field has, or None.
        help_text: What the flag of the same name says in `--help`.
        kind: The type of a field whose default is None.
        choices: The values that are allowed, if only some are.
        minimum: The least value allowed.
        maximum: The greatest value allowed.
        above: A number that the value must exceed.
        below: A number that the value must not reach.

    Returns:
        The field of a dataclass.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": help_text,
            "kind": kind if default is None else type(default),
            "choices": choices,
            "minimum": minimum,
            "maximum": maximum,
            "above": above,
            "below": below,
        },
    )


class Config:
    """Checks every field against its declaration; subclasses check what spans fields.

    A subclass is a frozen dataclass whose fields are all made by `setting`.

    Raises:
        InputError: A value has another type than its field, or is out of its range.
    """

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
        kind = field.metadata["kind"]
        if kind is float and type(value) is int:
            # From 2^1024 on no float is as large.
            value = float(value) if value.bit_length() <= 1023 else math.inf
        rule = None
        if type(value) is not kind:
            rule = f"must be of type {kind.__name__}"
        elif field.metadata["choices"] and value not in field.metadata["choices"]:
            rule = f"must be one of {', '.join(map(str, field.metadata['choices']))}"
        elif (low := field.metadata["minimum"]) is not None and not value >= low:
            rule = f"must be at least {low}"
        elif (high := field.metadata["maximum"]) is not None and not value <= high:
            rule = f"must be at most {high}"
        elif (low := field.metadata["above"]) is not None and not value > low:
            rule = f"must be greater than {low}"
        elif (high := field.metadata["below"]) is not None and not value < high:
            rule = f"must be less than {high}"
        elif kind is float and not math.isfinite(value):
            rule = "must be finite"
        if rule:
            raise InputError(f"`{field.name}` {rule}. Received: {value!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]):
        """Builds a config from JSON values.

        Args:
            values: The value of every field, as `to_dict` gave them.

        Raises:
            InputError: A field is missing, unknown or out of its range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or set(values) != known:
            received = sorted(values) if isinstance(values, dict) else values
            raise InputError(
                f"{cls.__name__} has the fields {sorted(known)}. Received: {received}"
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
