"""Loads TFLite files that `waveunet export` wrote, with NumPy and LiteRT alone."""

from __future__ import annotations

import contextlib
import os
import pathlib
import struct
from collections.abc import Iterator

from waveunet_tf.configs.networks import NetworkConfig, network_config_from_json
from waveunet_tf.errors import InputError, naming
from waveunet_tf.networks import layer_names, shapes
from waveunet_tf.separation import litert
from waveunet_tf.system import arguments, cpus
from waveunet_tf.system.files import parse_json

# The name of an exported file's metadata: JSON with all that is needed to run it, which
# export/tflite.py writes.
METADATA_NAME = "waveunet_config"
FORMAT_VERSION = 2
# What the schema's classes raise at a broken file: they check nothing.
_BROKEN = (struct.error, ArithmeticError, AttributeError, LookupError)
_BROKEN += (TypeError, ValueError, StopIteration, MemoryError)


@contextlib.contextmanager
def refusing_broken(path: str | os.PathLike) -> Iterator[None]:
    """Turns what a broken file raises into an InputError that names the file."""
    try:
        yield
    except InputError:
        raise
    except _BROKEN as error:
        raise InputError(
            f"{path}: must be a whole TFLite file, but is broken"
        ) from error


def parse(path: str | os.PathLike, content: bytes):
    """Parses a TFLite file.

    Args:
        path: The file's name, for errors.
        content: The file's content.

    Returns:
        A `ModelT` of the format's schema.

    Raises:
        InputError: The content is no TFLite model, or a broken one.
    """
    _, schema = litert.runtime()
    if content[4:8] != b"TFL3":
        raise InputError(f"{path}: must be a TFLite file, but has no TFLite identifier")
    with refusing_broken(path):
        return schema.ModelT.InitFromPackedBuf(bytearray(content), 0)


def read_metadata(path: str | os.PathLike, content: bytes) -> dict:
    """Reads the metadata of a TFLite file of this project.

    Args:
        path: The file's name, for errors.
        content: The file's content.

    Raises:
        InputError: The content is no TFLite model, this project did not write it, or
            its format version is another.
    """
    model = parse(path, content)
    text = None
    with refusing_broken(path):
        for entry in model.metadata or []:
            if entry.name.decode() == METADATA_NAME:
                text = bytes(model.buffers[entry.buffer].data).decode()
    if text is None:
        raise InputError(
            f"{path}: must carry the metadata {METADATA_NAME}, which `waveunet export` "
            "writes"
        )
    values = parse_json(text, f"{path}: its {METADATA_NAME}")
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: `format_version` must be {FORMAT_VERSION}. Received: {version!r}"
        )
    what = f"{path}: must be a TFLite file that `waveunet export` wrote, but"
    is_window = values.get("mode") == "window"
    for name, holds in {**_FIELDS, **(_WINDOW_FIELDS if is_window else {})}.items():
        if name not in values:
            raise InputError(f"{what} lacks {name!r}")
        if not holds(values[name]):
            raise InputError(f"{what} its `{name}` is {str(values[name])[:60]!r}")
    for name in _TOLD_TWICE:
        if values["network"].get(name) != values[name]:
            shown = str(values[name])[:60]
            raise InputError(
                f"{path}: its `{name}` must be that of its network. Received: {shown!r}"
            )
    return values


def _is_count(value) -> bool:
    return type(value) is int and 0 < value <= _MOST


def _is_state(value) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and isinstance(value.get("shape"), list)
        and all(map(_is_count, value["shape"]))
    )


# More frames of audio, or numbers of a state, would not fit into a file's arrays.
_MOST = 2**28
# Field of the metadata → whether a value is one that an export may have written.
_FIELDS = {
    "network": lambda value: isinstance(value, dict),
    "mode": lambda value: value in ("streaming", "window"),
    "sample_rate_hz": _is_count,
    "channels": _is_count,
    "sources": lambda value: isinstance(value, list),
    "chunk_frames": _is_count,
    "states": lambda value: isinstance(value, list) and all(map(_is_state, value)),
}
# What the metadata tells once more, for readers that know nothing of networks: the app
# and the browser take it from there, this module from the network. They refuse a file
# whose two do not agree, too.
_TOLD_TWICE = ("sample_rate_hz", "channels", "sources")
_WINDOW_FIELDS = {"input_frames": _is_count, "output_frames": _is_count}


def load_tflite_file(
    path: str | os.PathLike, *, threads: int | None = None
) -> tuple[NetworkConfig, litert.LiteRTEngine, shapes.SongWindows | None]:
    """Loads an exported file, a stream's step or a window.

    Args:
        path: The file.
        threads: Threads of the CPU; by default one for each core that this process may
            use.

    Returns:
        The arguments of `runners.start` and `separator.Separator`: the network's
        config, an engine, and the windows that it was made for, or None with a stream.

    Raises:
        InputError: The file is broken, or this project did not write it.
        OSError: The file cannot be read.
    """
    content = pathlib.Path(arguments.path("path", path)).read_bytes()
    if threads is not None:
        threads = min(arguments.whole_number("threads", threads), cpus.cores())
    metadata = read_metadata(path, content)
    with naming(path):
        config = network_config_from_json(metadata["network"])
        windows, frames = _windows_and_frames(config, metadata)
    chunk_frames = metadata["chunk_frames"]
    try:
        engine = litert.LiteRTEngine(
            content, chunk_frames=chunk_frames, threads=threads or cpus.cores()
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be run by LiteRT: {reason}") from error
    if {name: shape[1] for name, shape in engine.input_shapes.items()} != frames:
        raise InputError(f"{path}: its inputs must be those that its metadata names")
    return config, engine, windows


def _windows_and_frames(
    config: NetworkConfig, metadata: dict
) -> tuple[shapes.SongWindows | None, dict[str, int]]:
    """Says what the model must have been made for.

    Returns:
        The windows, or None with a stream; and input array → its frames.
    """
    if metadata["mode"] == "window":
        window = shapes.WindowFrames(
            metadata["input_frames"], metadata["output_frames"]
        )
        return shapes.windows_of(config, window), {
            layer_names.MIXTURE: window.input_frames
        }
    states = shapes.stream_state_frames(config)
    frames = {layer_names.state(name): states[name] for name in states}
    return None, {layer_names.MIXTURE: metadata["chunk_frames"], **frames}
