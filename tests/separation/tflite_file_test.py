"""Exported files as they are loaded: whole ones, broken ones, and others'."""

import json
import sys

import flatbuffers
import numpy as np
import pytest

from tests.command_line import run_python
from waveunet_tf.errors import InputError
from waveunet_tf.export import quantize, tflite
from waveunet_tf.networks import shapes
from waveunet_tf.separation import litert, tflite_file
from waveunet_tf.separation.separator import load_tflite_separator

pytestmark = pytest.mark.xdist_group("separator")


@pytest.fixture(scope="module")
def exported(kept_checkpoint, tmp_path_factory):
    """Exported files by mode."""
    folder = tmp_path_factory.mktemp("exported")
    paths = {}
    for mode, chunk in {"streaming": 64, "window": 0}.items():
        plan = tflite.plan(kept_checkpoint, mode, chunk)
        ((_, content),) = quantize.convert_plan(plan, ["float32"], [])
        paths[mode] = folder / f"{mode}.tflite"
        paths[mode].write_bytes(content)
    return paths


def with_metadata(path, change):
    """The content of an exported file with other metadata.

    Args:
        path: The file.
        change: Takes the metadata, gives JSON or bytes; None: no metadata.
    """
    content = path.read_bytes()
    model = tflite_file.parse(path, content)
    values = change(tflite_file.read_metadata(path, content))
    kept = []
    for entry in model.metadata:
        if entry.name.decode() == tflite_file.METADATA_NAME:
            if values is None:
                continue
            text = values if isinstance(values, bytes) else json.dumps(values).encode()
            model.buffers[entry.buffer].data = np.frombuffer(text, np.uint8)
        kept.append(entry)
    model.metadata = kept
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_stream_and_a_window_say_how_they_cover_a_song(exported, tiny_config):
    config, engine, windows = tflite_file.load_tflite_file(exported["streaming"])
    assert (config, windows, engine.chunk_frames) == (tiny_config, None, 64)
    config, engine, windows = tflite_file.load_tflite_file(exported["window"])
    assert config == tiny_config
    assert windows == shapes.windows_of(tiny_config, shapes.window_frames(tiny_config))
    assert engine.input_shapes == {"mixture": (1, windows.window.input_frames, 2)}


@pytest.mark.parametrize("mode", ["streaming", "window"])
def test_a_file_separates_as_the_checkpoint_does(exported, tiny_separator, mode):
    song = np.random.default_rng(0).normal(0, 0.2, (3001, 2))
    actual = load_tflite_separator(exported[mode], threads=1).separate(song, 8000)
    for name, stem in tiny_separator.separate(song, 8000).items():
        np.testing.assert_allclose(actual[name], stem, atol=1e-5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must be a TFLite file, but has no TFLite identifier"),
        (b"RIFF0000WAVE", "has no TFLite identifier"),
        (b"\xff\xff\xff\x7fTFL3" + bytes(9), "must be a whole TFLite file"),
    ],
)
def test_what_is_no_tflite_file_is_refused(tmp_path, content, message):
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"model.tflite: .*{message}"):
        tflite_file.load_tflite_file(path)


@pytest.mark.parametrize("part", [0.01, 0.5, 0.9])
def test_a_cut_file_is_refused(exported, tmp_path, part):
    content = exported["streaming"].read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(InputError, match="cut.tflite: "):
        tflite_file.load_tflite_file(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: None, "must carry the metadata waveunet_config"),
        (lambda values: b"no JSON", "its waveunet_config: must be JSON"),
        (lambda values: [1], "`format_version` must be 2. Received: None"),
        (lambda values: {**values, "format_version": 1}, "must be 2. Received: 1"),
        (lambda values: {"format_version": 2}, "but lacks 'network'"),
        (lambda values: {**values, "network": None}, "its `network` is 'None'"),
        (
            lambda values: {
                **values,
                "network": {**values["network"], "architecture": "x"},
            },
            "`architecture`",
        ),
        (lambda values: {**values, "chunk_frames": 128}, "its inputs must be those"),
        (lambda values: {**values, "mode": "window"}, "."),
        (lambda values: {**values, "mode": 1}, "its `mode` is '1'"),
        (lambda values: {**values, "chunk_frames": 0}, "its `chunk_frames` is '0'"),
        (lambda values: {**values, "states": [[]]}, "its `states` is"),
        (lambda values: {**values, "states": [{"name": "a"}]}, "its `states` is"),
        (lambda values: {**values, "sample_rate_hz": 4000}, "that of its network"),
        (lambda values: {**values, "channels": 1}, "`channels` must be that of its"),
        (lambda values: {**values, "sources": ["a", "b"]}, "`sources` must be that of"),
        (lambda values: {**values, "network": {}}, "that of its network"),
        (lambda values: b"[" * 5000, "must be JSON"),
        (lambda values: b'"\xff"', "broken"),
    ],
)
def test_wrong_metadata_is_refused(exported, tmp_path, change, message):
    path = tmp_path / "model.tflite"
    path.write_bytes(with_metadata(exported["streaming"], change))
    with pytest.raises(InputError, match=f"model.tflite: .*{message}") as caught:
        tflite_file.load_tflite_file(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        tflite_file.load_tflite_file(tmp_path / "none.tflite")


def test_a_file_of_another_schema_is_read_by_both_runtimes(exported, monkeypatch):
    content = exported["window"].read_bytes()
    ours = tflite_file.read_metadata("a", content)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    assert litert.runtime()[1].__name__.startswith("tensorflow")
    assert tflite_file.read_metadata("a", content) == ours


def test_a_file_separates_without_tensorflow_or_keras(exported):
    code = (
        "import sys\n"
        "sys.modules['tensorflow'] = sys.modules['keras'] = None\n"
        "import numpy\n"
        "from waveunet_tf.separation.separator import load_tflite_separator\n"
        f"separator = load_tflite_separator({str(exported['streaming'])!r})\n"
        "print(separator.separate(numpy.zeros((99, 2)), 8000)['vocals'].shape)\n"
    )
    child = run_python("-c", code)
    assert child.stdout == "(99, 2)\n", child.stderr
