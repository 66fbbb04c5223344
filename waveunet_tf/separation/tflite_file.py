"""TFLite files that run_export wrote, ready to run with NumPy and LiteRT alone."""

from __future__ import annotations

import json
import os
import pathlib
import struct

from waveunet_tf.configs.networks import NetworkConfig, network_config_from_json
from waveunet_tf.errors import InputError, naming
from waveunet_tf.networks import layer_names, shapes
from waveunet_tf.separation import litert
from waveunet_tf.system import cpus

# Of an exported file: JSON, all that one needs to run it; see export/tflite.py.
METADATA_NAME = "waveunet_config"


FORMAT_VERSION = 2


def parse(path: str | os.PathLike, content: bytes):
    """The objects of a TFLite file, a `ModelT`.

    Args:
        path: the file's name, for errors.
        content: of the file.

    Raises:
        InputError: it is no TFLite model, or a broken one.
    """
    _, schema = litert.runtime()
    if content[4:8] != b"TFL3":
        raise InputError(f"{path}: must be a TFLite file, but has no TFLite identifier")
    try:
        return schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: must be a whole TFLite file, but is broken"
        ) from error


def read_metadata(path: str | os.PathLike, content: bytes) -> dict:
    """What a TFLite file of this project carries about itself.

    Args:
        path: the file's name, for errors.
        content: of the file.

    Raises:
        InputError: it is no TFLite model, or not one of this project's, or of another
            format version.
    """
    model = parse(path, content)
    for entry in model.metadata or []:
        if entry.name.decode() == METADATA_NAME:
            text = bytes(model.buffers[entry.buffer].data)
            break
    else:
        raise InputError(
            f"{path}: must carry the metadata {METADATA_NAME}, which run_export writes"
        )
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: its {METADATA_NAME} must be JSON") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: `format_version` must be {FORMAT_VERSION}. Received: {version!r}"
        )
    return values


def load_tflite_file(
    path: str | os.PathLike, *, threads: int | None = None
) -> tuple[NetworkConfig, litert.LiteRTEngine, shapes.SongWindows | None]:
    """Loads an exported file, a stream's step or a window.

    Args:
        path: the file.
        threads: of the CPU; by default as many as this process has cores.

    Returns:
        The network's config; an engine (see engines.py); the windows that it was made
        for, or None of a stream. `runners.start` takes them.

    Raises:
        InputError: the file is broken, or not one of this project's.
        OSError: it cannot be read.
    """
    content = pathlib.Path(path).read_bytes()
    metadata = read_metadata(path, content)
    try:
        with naming(path):
            config = network_config_from_json(metadata["network"])
        chunk = metadata["chunk_frames"]
        if metadata["mode"] == "window":
            window = shapes.WindowFrames(
                metadata["input_frames"], metadata["output_frames"]
            )
            windows = shapes.windows_of(config, window)
            frames = {layer_names.MIXTURE: window.input_frames}
        else:
            windows = None
            states = shapes.stream_state_frames(config)
            frames = {layer_names.state(name): states[name] for name in states}
            frames[layer_names.MIXTURE] = chunk
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: must be a TFLite file that run_export wrote, but lacks {error}"
        ) from error
    try:
        engine = litert.LiteRTEngine(
            content, chunk_frames=chunk, threads=threads or cpus.cores()
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be run by LiteRT: {reason}") from error
    if {name: shape[1] for name, shape in engine.input_shapes.items()} != frames:
        raise InputError(f"{path}: its inputs must be those that its metadata tells")
    return config, engine, windows
