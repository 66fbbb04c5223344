"""Target: .tflite files of `export` are described, loaded and run."""

import functools
import json
import os
import pathlib
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import flatbuffers
import numpy as np
from hypothesis import strategies as st

from tests.fuzz import edits, guard
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.export import file_description
from waveunet_tf.separation import litert, tflite_file
from waveunet_tf.separation.separator import load_tflite_separator

SLICE = 4
_CONFIG = WaveUNetConfig(
    num_levels=2, base_filters=2, sample_rate_hz=8000, output_frames=64
)


def _export(mode, kind):
    from tests.export.small_exports import export, save_network  # with TensorFlow

    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        save_network(folder / "checkpoint", _CONFIG)
        return export(
            folder / "checkpoint", folder / "a.tflite", mode=mode, chunk=64, kind=kind
        )


@functools.cache
def seeds():
    """Whole files: a stream, a window, and one with integers."""
    kinds = [("streaming", "float32"), ("window", "float32"), ("streaming", "dynamic")]
    return [
        guard.kept(f"{mode}-{kind}", functools.partial(_export, mode, kind))
        for mode, kind in kinds
    ]


def _metadata_place(model):
    (entry,) = (
        entry
        for entry in model.metadata
        if entry.name.decode() == tflite_file.METADATA_NAME
    )
    return entry.buffer


@functools.cache
def metadata(content):
    """The metadata that a file carries."""
    return tflite_file.read_metadata("seed", content)


def with_metadata(content, text):
    """A file that carries another metadata."""
    schema = litert.runtime()[1]
    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    model.buffers[_metadata_place(model)].data = np.frombuffer(text, np.uint8)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@st.composite
def cases(draw):
    content = draw(st.sampled_from(seeds()))
    kind = draw(st.sampled_from(["metadata", "metadata", "bytes"]))
    if kind == "metadata":
        text = draw(edits.spoiled_json([metadata(content)]))
        return {"a.tflite": with_metadata(content, text)}
    return {"a.tflite": draw(edits.spoiled([content]))}


def check(place):
    path = place.inputs / "a.tflite"
    description = file_description.describe_tflite_file(path)
    text = file_description.format_file_description(description, [])
    if not json.loads(text[: text.index("\nsignature")]):
        raise guard.Breach("a description of nothing")
    separator = load_tflite_separator(path, threads=1)
    channels = separator.config.channels
    song = np.linspace(-1, 1, 300, dtype=np.float32)[:, None].repeat(channels, 1)
    stems = separator.separate(song, separator.config.sample_rate_hz)
    for stem in stems.values():
        guard.check_audio(stem, channels)
        if len(stem) != len(song):
            raise guard.Breach(f"{len(stem)} frames of {len(song)}")
