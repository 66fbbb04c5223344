"""TFLite files of a checkpoint, which carry its config, and how to run them."""

from __future__ import annotations

import json
import os
import pathlib

import numpy as np

from waveunet_tf import checkpoint, litert, shapes
from waveunet_tf.configs import SpectrogramUNetConfig
from waveunet_tf.errors import InputError

METADATA_NAME = litert.METADATA_NAME
SIGNATURE = litert.STEP
FORMAT_VERSION = 1


def convert_float32(checkpoint_dir: str | os.PathLike) -> bytes:
    """Converts one window of the network to a float32 TFLite file's content.

    Its signature `separate` takes `mixture`, float32 `(1, input frames, channels)`, and
    gives every source, `(1, output frames, channels)`. The metadata `waveunet_config`
    is JSON: the network's config and the window's frames.

    Args:
        checkpoint_dir: the checkpoint.

    Raises:
        InputError: see checkpoint.load_network; or the network has a spectrogram.
    """
    config = checkpoint.read_config(checkpoint_dir)
    if isinstance(config, SpectrogramUNetConfig):
        raise InputError(
            f"{checkpoint_dir}: must be a network of waveforms, for TFLite has no "
            f"inverse Fourier transform, but is a {config.architecture}"
        )
    window = shapes.window_frames(config)
    network = checkpoint.load_network(
        checkpoint_dir, frames=window.input_frames, batch_size=1
    )
    content = litert.convert(
        {
            SIGNATURE: (
                lambda mixture: network(mixture),
                {"mixture": network.input_shape},
            )
        },
        network.variables,
    )
    metadata = {
        "format_version": FORMAT_VERSION,
        "network": config.to_dict(),
        "input_frames": window.input_frames,
        "output_frames": window.output_frames,
    }
    return _with_metadata(content, json.dumps(metadata))


def _with_metadata(content: bytes, text: str) -> bytes:
    """Adds text to a TFLite flatbuffer as its metadata `METADATA_NAME`."""
    from tensorflow.lite.python import schema_py_generated as schema
    from tensorflow.lite.tools import flatbuffer_utils

    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(text.encode(), np.uint8)
    entry = schema.MetadataT()
    entry.name = METADATA_NAME
    entry.buffer = len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


class TFLiteWindow:
    """One window of the network on LiteRT.

    Attributes:
        metadata: what the file carries; see `convert_float32`.
    """

    def __init__(self, path: str | os.PathLike, *, num_threads: int | None = None):
        """Loads a file that this project wrote.

        Raises:
            InputError: the file is no TFLite model, or not one of this project's.
        """
        from ai_edge_litert.interpreter import Interpreter

        content = pathlib.Path(path).read_bytes()
        self.metadata = litert.read_metadata(path, content)
        self._interpreter = Interpreter(model_content=content, num_threads=num_threads)
        self._run = self._interpreter.get_signature_runner(SIGNATURE)

    def __call__(self, mixture: np.ndarray) -> dict[str, np.ndarray]:
        """Takes `(1, input frames, channels)`; gives each source's output frames."""
        return self._run(mixture=mixture)
