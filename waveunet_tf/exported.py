"""TFLite files that run_export wrote, ready to run, with NumPy and LiteRT alone."""

from __future__ import annotations

import os
import pathlib

from waveunet_tf import checkpoint, engines, litert, shapes
from waveunet_tf.configs import NetworkConfig
from waveunet_tf.errors import InputError


def load(
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
    metadata = litert.read_metadata(path, content)
    try:
        config = checkpoint.parse_config(path, metadata["network"])
        chunk = metadata["chunk_frames"]
        if metadata["mode"] == "window":
            window = shapes.WindowFrames(
                metadata["input_frames"], metadata["output_frames"]
            )
            windows = shapes.windows_of(config, window)
            frames = {"mixture": window.input_frames}
        else:
            windows = None
            states = shapes.stream_state_frames(config)
            frames = {f"state_{name}": count for name, count in states.items()}
            frames["mixture"] = chunk
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: must be a TFLite file that run_export wrote, but lacks {error}"
        ) from error
    try:
        engine = litert.LiteRTEngine(
            content, chunk_frames=chunk, threads=threads or engines.cores()
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be run by LiteRT: {reason}") from error
    if {name: shape[1] for name, shape in engine.input_shapes.items()} != frames:
        raise InputError(f"{path}: its inputs must be those that its metadata tells")
    return config, engine, windows
