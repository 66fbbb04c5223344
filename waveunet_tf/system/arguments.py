"""Checks the arguments of the Python API, each with one rule and one message."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from waveunet_tf.errors import InputError

MAX_RATE_HZ = 10_000_000
"""The highest sample rate of audio: three times that of DSD."""
MAX_SAMPLE = 1e10
"""The largest sample: more than 32-bit integers as floats, and far below what float32
holds, so that sums of them stay finite."""
_MAX_SECONDS = 1e9  # more than any audio has, and a number of frames that floats hold


def whole_number(
    name: str, value: Any, *, minimum: int = 1, maximum: int | None = None
) -> int:
    """Returns a whole number as an int, whatever type of number it comes in.

    Args:
        name: The argument's name.
        value: What was received.
        minimum: The least value allowed.
        maximum: The greatest value allowed.

    Raises:
        InputError: It is no number, not whole, or out of range.
    """
    bounds = f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"
    rule = f"a whole number, {bounds}"
    number = _number(name, value, rule)
    # Fractions and whole numbers are finite, however large.
    finite = isinstance(number, numbers.Rational) or math.isfinite(number)
    whole = finite and number == int(number)
    if not whole or number < minimum or (maximum is not None and number > maximum):
        raise _refusal(name, rule, value)
    return int(number)


def rate_hz(name: str, value: Any) -> int:
    """Returns a sample rate in Hz as an int.

    Args:
        name: The argument's name.
        value: What was received.

    Raises:
        InputError: It is no whole number, or out of range.
    """
    return whole_number(name, value, maximum=MAX_RATE_HZ)


def seconds(name: str, value: Any, *, zero: bool = False) -> float:
    """Returns a time in seconds as a float.

    Args:
        name: The argument's name.
        value: What was received.
        zero: Whether it may be 0.

    Raises:
        InputError: It is no number, or out of range.
    """
    rule = "at least 0" if zero else "positive"
    rule = f"{rule} and finite, at most {_MAX_SECONDS:.0e} seconds"
    number = _number(name, value, rule)
    if not 0 <= number <= _MAX_SECONDS or (not zero and number == 0):  # NaN is not
        raise _refusal(name, rule, value)
    return float(number)


def flag(name: str, value: Any) -> bool:
    """Returns True or False.

    Args:
        name: The argument's name.
        value: What was received.

    Raises:
        InputError: It is neither.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise _refusal(name, "True or False", value)
    return bool(value)


def choice(name: str, value: Any, choices: Iterable) -> Any:
    """Returns a value that is one of several.

    Args:
        name: The argument's name.
        value: What was received.
        choices: The values that are allowed, all of one type.

    Raises:
        InputError: It is none of them.
    """
    choices = tuple(choices)
    if type(value) is not type(choices[0]) or value not in choices:
        rule = f"one of {', '.join(map(str, choices))}"
        raise _refusal(name, rule, value, quotes=not isinstance(choices[0], str))
    return value


def text(name: str, value: Any) -> str:
    """Returns a text.

    Args:
        name: The argument's name.
        value: What was received.

    Raises:
        InputError: It is no `str`.
    """
    if not isinstance(value, str):
        raise _refusal(name, "a text", value)
    return value


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Returns several texts, such as names.

    Args:
        name: The argument's name.
        value: What was received.

    Raises:
        InputError: It is no list or tuple of `str`.
    """
    if (
        isinstance(value, str)
        or not isinstance(value, Sequence)
        or not all(isinstance(part, str) for part in value)
    ):
        raise _refusal(name, "a list of texts", value)
    return tuple(value)


def mapping(name: str, value: Any) -> Mapping:
    """Returns a dict or the like.

    Args:
        name: The argument's name.
        value: What was received.

    Raises:
        InputError: It is none.
    """
    if not isinstance(value, Mapping):
        raise _refusal(name, "a dict", value)
    return value


def path(name: str, value: Any) -> str:
    """Returns a path as it was written, from a text or a path.

    Args:
        name: The argument's name.
        value: What was received.

    Raises:
        InputError: It is neither, or holds a NUL.
    """
    rule = "a path: a str or a pathlib.Path, without NUL"
    if not isinstance(value, (str, os.PathLike)):
        raise _refusal(name, rule, value)
    place = os.fspath(value)
    if not isinstance(place, str) or "\0" in place:
        raise _refusal(name, rule, value)
    return place


def function(name: str, value: Any) -> Callable:
    """Returns what can be called.

    Args:
        name: The argument's name.
        value: What was received.

    Raises:
        InputError: It cannot be called.
    """
    if not callable(value):
        raise _refusal(name, "a function", value)
    return value


def channels(name: str, value: Any) -> int:
    """Returns a number of audio channels, 1 or 2, as an int.

    Args:
        name: The argument's name.
        value: What was received.

    Raises:
        InputError: It is neither.
    """
    number = whole_number(name, value)
    if number > 2:
        raise InputError(
            f"`{name}` must be 1 or 2; of files --downmix folds more down. "
            f"Received: {number}"
        )
    return number


def floats(name: str, value: Any, *, channels: int | None = None) -> np.ndarray:
    """Returns an array of audio, whose samples are not looked at.

    Args:
        name: The argument's name.
        value: What was received.
        channels: The wished channels; by default 1 or 2.

    Returns:
        `(frames, channels)`, of any type of float.

    Raises:
        InputError: It is no such array.
    """
    rule = f"an array of floats (frames, {channels or '1 or 2 channels'})"
    if not hasattr(value, "__array__"):
        raise _refusal(name, rule, value)
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on a GPU
        raise _refusal(name, rule, value) from error
    if not np.issubdtype(array.dtype, np.floating):
        raise InputError(
            f"`{name}` must be {rule}, full scale ±1. Received: {array.dtype}"
        )
    if array.ndim != 2 or array.shape[1] not in ([channels] if channels else (1, 2)):
        raise InputError(f"`{name}` must be {rule}. Received: shape {array.shape}")
    return array


def samples(
    name: str, value: Any, *, channels: int | None = None, first_frame: int = 0
) -> np.ndarray:
    """Returns audio as a new array of float32.

    Args:
        name: The argument's name.
        value: What was received.
        channels: The wished channels; by default 1 or 2.
        first_frame: The number of the first frame in messages.

    Returns:
        float32 `(frames, channels)`.

    Raises:
        InputError: It is no array of floats of this shape, or holds samples that are
            not finite, or greater than MAX_SAMPLE.
    """
    array = floats(name, value, channels=channels)
    most = min(MAX_SAMPLE, float(np.finfo(array.dtype).max))  # float16 holds less
    good = (np.abs(array) <= most).all(axis=1)  # NaN is not
    if not good.all():
        place = int(np.argmin(good))
        frame = array[place]
        received = "NaN or infinity"
        if np.isfinite(frame).all():
            received = f"{np.abs(frame).max():.3g}"
        raise InputError(
            f"`{name}` must hold finite samples, full scale ±1, of at most "
            f"{MAX_SAMPLE:.0e}. Received: {received} in frame {first_frame + place}"
        )
    return array.astype(np.float32)  # a copy: the caller may use his array again


def _number(name: str, value: Any, rule: str) -> Any:
    """Returns a real number that is no truth value."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise _refusal(name, rule, value)
    return value


def _refusal(name: str, rule: str, value: Any, *, quotes: bool = True) -> InputError:
    """Makes an error of what was received: a plain value, or else its type."""
    plain = (bool, numbers.Number, str, bytes, os.PathLike, type(None))
    received = repr(value) if isinstance(value, plain) else type(value).__name__
    if isinstance(value, str) and not quotes:
        received = received[1:-1]
    received = received if len(received) <= 80 else received[:79] + "…"
    return InputError(f"`{name}` must be {rule}. Received: {received}")
