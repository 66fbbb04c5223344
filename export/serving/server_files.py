"""Writes the files that a model server needs beside a SavedModel."""

from __future__ import annotations

import io
import json
import os
import pathlib
import wave
from collections.abc import Mapping
from typing import Any

import numpy as np

from waveunet_tf.export.serving import messages
from waveunet_tf.export.serving.contract import DESCRIPTION_FILE, FINGERPRINT
from waveunet_tf.system import files

TEMPLATES = pathlib.Path(__file__).parent / "templates"
WARM_UP = "assets.extra/tf_serving_warmup_requests"
MODELS_CONFIG = "models.config"
_WARM_UP_FRAMES = 4096


def write_warm_up(folder: str | os.PathLike, model_name: str) -> None:
    """Writes a request for each signature; the server runs them before it serves.

    Args:
        folder: A folder that `saved_model.write_saved_model` wrote, and that gets them.
        model_name: The model's name on the server.
    """
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    folder = pathlib.Path(folder)
    # It is read only: loading it would build all of its functions.
    content = (folder / "saved_model.pb").read_bytes()
    (meta_graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
    signatures = {
        name: signature.inputs
        for name, signature in meta_graph.signature_def.items()
        if not name.startswith("__")  # TensorFlow's own
    }
    description = json.loads((folder / DESCRIPTION_FILE).read_text("utf-8"))
    with tf.io.TFRecordWriter(os.fspath(folder / WARM_UP)) as writer:
        for name in sorted(signatures):
            inputs = _warm_up_inputs(signatures[name], description)
            # A server that batches refuses a request without inputs, but runs one that
            # asks for a part of the outputs.
            outputs = () if inputs else ("config",)
            log = messages.PredictionLog()
            request = log.predict_log.request
            request.CopyFrom(
                messages.predict_request(model_name, name, {}, outputs=outputs)
            )
            for key, tensor in inputs.items():
                request.inputs[key].CopyFrom(tensor)
            writer.write(log.SerializeToString())


def _warm_up_inputs(specs: Mapping[str, Any], description: dict) -> dict:
    """Returns the inputs of a signature by name, all silence, in few bytes."""
    channels, rate_hz = description["channels"], description["sample_rate_hz"]
    silence = np.zeros((1, _WARM_UP_FRAMES, channels), np.float32)
    wav = io.BytesIO()
    with wave.open(wav, "wb") as file:
        file.setparams((channels, 2, rate_hz, 0, "NONE", ""))
        file.writeframes(bytes(2 * _WARM_UP_FRAMES * channels))
    contents = {
        "wav": wav.getvalue(),
        "wav_bytes": wav.getvalue(),
        "tensor_bytes": messages.to_tensor(silence).SerializeToString(),
    }
    zero = np.zeros(1, np.float32)
    tensors = {}
    for key, spec in specs.items():
        if key == "audio":
            tensors[key] = messages.to_tensor(zero, silence.shape)
        elif key in contents:
            tensors[key] = messages.to_tensor(np.array([contents[key]], np.object_))
        elif key in ("batch", "requests"):
            tensors[key] = messages.to_tensor(np.ones(1, np.int32))
        elif key == FINGERPRINT:
            value = np.array([description["fingerprint"]])
            tensors[key] = messages.to_tensor(value)
        else:
            shape = [dim.size for dim in spec.tensor_shape.dim]
            tensors[key] = messages.to_tensor(zero, (1, *shape[1:]))
    return tensors


def write_configs(folder: str | os.PathLike, model_name: str, version: int) -> str:
    """Writes the files that a server's flags name, and a compose.yaml.

    A file that exists stays as it is.

    Args:
        folder: The folder that holds `<model name>/<version>`.
        model_name: The model's name.
        version: The version, which gets the label `stable`.

    Returns:
        A hint where models.config exists and names other versions, or "".
    """
    folder = pathlib.Path(folder)
    template = (TEMPLATES / MODELS_CONFIG).read_text("utf-8")
    entry = template.replace("MODEL_NAME", model_name).replace("VERSION", str(version))
    contents = {
        path.name: path.read_text("utf-8")
        for path in sorted(TEMPLATES.iterdir())
        if path.name != MODELS_CONFIG
    }
    for name, content in {**contents, MODELS_CONFIG: entry}.items():
        if not (folder / name).exists():
            with files.atomic_file(folder / name) as part:
                part.write_text(content, "utf-8")
    there = (folder / MODELS_CONFIG).read_text("utf-8", errors="replace")
    if there == entry:
        return ""
    return (
        f"{folder / MODELS_CONFIG} stays as it is; a server serves {model_name} "
        f"{version} only if this file names it (docs/serve.md, A new version)"
    )
