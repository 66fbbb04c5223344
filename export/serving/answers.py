"""Checks what a model server answers, before the client computes with it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping

import numpy as np

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.export.serving.contract import DESCRIPTION_VERSION
from waveunet_tf.networks import layer_names, shapes

# More would be no part of a song, but a broken answer that fills the memory.
_MOST_FRAMES = 2**22
# The values of a stream's state, twenty times those of the paper's largest network.
_MOST_STATE = 2**27
# What parsers and NumPy raise at an answer of another kind.
_ODD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
_ODD += (RecursionError, MemoryError)


@contextlib.contextmanager
def refusing_odd(address: str) -> Iterator[None]:
    """Turns what an odd answer raises into an error that names the server.

    Raises:
        ConnectionError: The body raised something at the answer.
    """
    try:
        yield
    except InputError:
        raise
    except _ODD as error:
        text = f"{address}: the answer is not that of a model server"
        raise ConnectionError(text) from error


def parse_description(text: str) -> dict:
    """Parses a model's description; see docs/serve.md.

    Args:
        text: The description as JSON.

    Raises:
        InputError: It is no description, or of another version of this project.
    """
    try:
        description = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"The server's model must describe itself in JSON, but does not: {error}"
        ) from error
    if not isinstance(description, dict):
        raise InputError("The server's model must describe itself by an object")
    if description.get("format_version") != DESCRIPTION_VERSION:
        raise InputError(
            f"The server's model must have the format version {DESCRIPTION_VERSION}. "
            f"Received: {description.get('format_version')}"
        )
    for name, least in {
        "stride_frames": 1,
        "context_frames": 0,
        "chunk_frames": 1,
    }.items():
        value = description.get(name)
        if name == "chunk_frames" and value is None and name in description:
            continue  # of a model that cannot stream
        if type(value) is not int or not least <= value <= _MOST_FRAMES:
            raise InputError(
                f"The server's model must have `{name}` from {least} to "
                f"{_MOST_FRAMES}. Received: {value!r}"
            )
    return description


def check_description(description: Mapping, config: NetworkConfig) -> None:
    """Requires that a description and the network's config in it do not differ.

    Args:
        description: The description.
        config: The network's config.

    Raises:
        InputError: A field is missing, or differs from the network's.
    """
    expected = {
        "sample_rate_hz": config.sample_rate_hz,
        "channels": config.channels,
        "sources": list(config.sources),
    }
    if config.can_stream:
        expected["stride_frames"] = 2**config.num_levels
        expected["context_frames"] = shapes.stream_plan(config).context_frames
    for name, value in expected.items():
        if description.get(name) != value:
            raise InputError(
                f"The server's model must have its network's `{name}`, {value}. "
                f"Received: {str(description.get(name))[:80]}"
            )


def check_arrays(
    arrays: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]
) -> None:
    """Requires arrays of a server's answer.

    Args:
        arrays: Name → array; more than the wanted ones are let pass.
        wanted: Name → shape.

    Raises:
        InputError: An array is missing, of another shape or type, or not finite.
    """
    for name, shape in wanted.items():
        if name not in arrays:
            raise InputError(f"The server's answer must have {name}, but has not")
        array = arrays[name]
        if array.dtype != np.float32 or array.shape != shape:
            raise InputError(
                f"The server's answer must have {name} as float32 of the shape "
                f"{shape}. Received: {array.dtype} of the shape {array.shape}"
            )
        if not np.isfinite(array).all():
            raise InputError(f"The server's answer has numbers in {name} that are none")


def check_state(
    state: Mapping[str, np.ndarray],
    fingerprint: np.ndarray | None,
    config: NetworkConfig,
    chunk_frames: int,
) -> None:
    """Requires that a stream's first state is one of the model that described itself.

    Args:
        state: Name → array `(1, frames, features)`.
        fingerprint: What identifies the model.
        config: The network's config.
        chunk_frames: The frames of a chunk.

    Raises:
        InputError: The network cannot stream in such chunks, or the state is another's.
    """
    due = shapes.stream_state_frames(config, chunk_frames)
    whole = shapes.stream_state_frames(config)
    fits = (
        fingerprint is not None
        and shapes.chunk_frames(config, chunk_frames) == chunk_frames
        and max(whole.values(), default=0) <= _MOST_FRAMES
        and set(state) == {layer_names.state(name) for name in due}
        and all(
            state[layer_names.state(name)].ndim == 3
            and state[layer_names.state(name)].shape[1] == frames
            for name, frames in due.items()
        )
        and sum(
            frames * state[layer_names.state(name)].shape[2]
            for name, frames in whole.items()
        )
        <= _MOST_STATE
    )
    if not fits:
        raise InputError(
            "The server's answer must have the state of the model that describes "
            "itself, but has another"
        )
    check_arrays(state, {name: (1, *array.shape[1:]) for name, array in state.items()})
