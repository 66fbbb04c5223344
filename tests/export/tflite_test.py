import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import waveunet_tf
from tests.export.small_exports import CHUNK, export, music, one_pass, save_network
from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.export import tflite
from waveunet_tf.networks import shapes
from waveunet_tf.separation import tflite_file
from waveunet_tf.separation.separator import load_tflite_separator

# In one process, for the files that are converted once for all of these.
pytestmark = pytest.mark.xdist_group("tflite")


def run_from_metadata_alone(content, song):
    """Streams as the metadata says, on bare LiteRT; knows nothing of this project."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        told = json.loads(archive.read(name))
    interpreter = Interpreter(model_content=content)
    state = interpreter.get_signature_runner("initial_state")()
    step = interpreter.get_signature_runner("separate")
    assert {n: list(v.shape) for n, v in state.items()} == {
        entry["name"]: entry["shape"] for entry in told["states"]
    }
    frames, latency = told["chunk_frames"], told["latency_frames"]
    after = -(len(song) + latency) % frames + latency
    padded = np.pad(song, ((0, after), (0, 0)))
    blocks = {source: [] for source in told["sources"]}
    for start in range(0, len(padded), frames):
        chunk = padded[None, None, start : start + frames]
        outputs = step(mixture=chunk, **state)
        state = {entry["name"]: outputs[entry["name"]] for entry in told["states"]}
        for source, own in blocks.items():
            own.append(outputs[source][0, 0])
    return {
        source: np.concatenate(own)[latency : latency + len(song)]
        for source, own in blocks.items()
    }


@pytest.mark.parametrize(
    ("chunk", "change"),
    [
        (8, {}),
        (1024, {"upsampling": "learned", "sources": ("bass", "drums", "vocals")}),
        (64, {"output_type": "direct", "output_activation": "linear", "channels": 1}),
        (1024, {"output_kernel_size": 3, "down_kernel_size": 1, "up_kernel_size": 1}),
    ],
    ids=str,
)
def test_a_stream_from_the_metadata_alone_equals_the_network(
    tiny_config, tmp_path, change, chunk
):
    config = dataclasses.replace(tiny_config, **change)
    network = save_network(tmp_path / "c", config)
    content = export(tmp_path / "c", tmp_path / "x.tflite", chunk=chunk)
    song = music(501, config.channels)
    actual = run_from_metadata_alone(content, song)
    for source, stem in one_pass(config, network, song).items():
        np.testing.assert_allclose(actual[source], stem, atol=1e-5)


def test_the_metadata_tells_the_network_in_the_model_and_in_the_archive(
    kept_files, tiny_config
):
    path = kept_files["dynamic"]
    told = tflite_file.read_metadata("x", path.read_bytes())
    assert told["network"] == tiny_config.to_json()
    assert told["sample_rate_hz"] == 8000 and told["channels"] == 2
    assert told["latency_frames"] == shapes.stream_plan(tiny_config).latency_frames
    assert told["quantization"] == "dynamic"
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("waveunet_config.json")) == told


def check_separator_of_file(path, directory):
    song = music(3333)
    separator = load_tflite_separator(path)
    checkpoint = waveunet_tf.load(directory, engine="tensorflow")
    assert separator.config == checkpoint.config
    actual, expected = (each.separate(song, 11025) for each in (separator, checkpoint))
    assert list(actual) == list(expected)
    for source, stem in expected.items():
        assert actual[source].shape == stem.shape
        np.testing.assert_allclose(actual[source], stem, atol=1e-5)


def test_a_song_is_separated_by_a_streams_file_as_by_its_checkpoint(
    kept_files, kept_checkpoint
):
    check_separator_of_file(kept_files["float32"], kept_checkpoint)


@pytest.mark.parametrize(
    "change",
    [
        {"output_frames": 100, "output_type": "direct", "channels": 1},
        {"context": False},
        {"upsampling": "transposed"},
    ],
    ids=str,
)
def test_a_song_is_separated_by_a_windows_file_as_by_its_checkpoint(
    tiny_config, tmp_path, change
):
    save_network(tmp_path / "c", dataclasses.replace(tiny_config, **change))
    export(tmp_path / "c", tmp_path / "x.tflite", mode="window")
    check_separator_of_file(tmp_path / "x.tflite", tmp_path / "c")


def test_a_window_says_how_it_covers_a_song(tiny_config, tmp_path):
    """Separated by the words of `usage`, on bare LiteRT."""
    config = dataclasses.replace(tiny_config, output_frames=200)
    network = save_network(tmp_path / "c", config)
    content = export(tmp_path / "c", tmp_path / "x.tflite", mode="window")
    told = tflite_file.read_metadata("x", content)
    assert told["states"] == [] and told["chunk_frames"] == told["hop_frames"]
    step = Interpreter(model_content=content).get_signature_runner("separate")
    song = music(701)
    zeros = ((told["context_frames"], told["input_frames"]), (0, 0))
    padded, blocks = np.pad(song, zeros), []
    for start in range(0, len(song), told["hop_frames"]):
        window = padded[None, start : start + told["input_frames"]]
        blocks.append(step(mixture=window)["vocals"][0, : told["hop_frames"]])
    expected = one_pass(config, network, song)["vocals"]
    np.testing.assert_allclose(np.concatenate(blocks)[:701], expected, atol=1e-5)


def test_another_network_takes_the_place_of_a_plans(kept_checkpoint, tiny_config):
    plan = tflite.plan(kept_checkpoint, "streaming", 64)
    other = waveunet_tf.load_network(kept_checkpoint)
    changed = plan.with_network(other)
    assert changed.network is other and plan.network is not other
    assert changed.program.input_shapes == plan.program.input_shapes
    assert changed.metadata is plan.metadata


def test_the_first_states_are_those_of_endless_silence(kept_files):
    """After more silence than a song depends on, they are still the same."""
    content = kept_files["float32"].read_bytes()
    interpreter = Interpreter(model_content=content)
    first = interpreter.get_signature_runner("initial_state")()
    step = interpreter.get_signature_runner("separate")
    state = first
    for _ in range(3):
        outputs = step(mixture=np.zeros((1, 1, CHUNK, 2), np.float32), **state)
        state = {name: outputs[name] for name in state}
    for name, value in first.items():
        np.testing.assert_allclose(state[name], value, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "chunk", "message"),
    [
        ({"context": False}, CHUNK, "--mode window takes this one"),
        ({"upsampling": "transposed"}, CHUNK, "--mode window takes this one"),
        ({}, 12, "`chunk_frames` must be a multiple of .* = 8. Received: 12"),
        ({}, 0, "`chunk_frames` must be a multiple of .* Received: 0"),
    ],
    ids=str,
)
def test_what_cannot_stream_is_refused(tiny_config, tmp_path, change, chunk, message):
    save_network(tmp_path, dataclasses.replace(tiny_config, **change))
    with pytest.raises(InputError, match=message):
        tflite.plan(tmp_path, "streaming", chunk)


@pytest.mark.parametrize("mode", tflite.MODES)
def test_a_spectrogram_network_is_refused_in_each_mode(tmp_path, mode):
    config = SpectrogramUNetConfig(
        num_levels=2, base_filters=2, fft_frames=16, hop_frames=8, output_frames=40
    )
    save_network(tmp_path, config)
    with pytest.raises(InputError, match="TFLite has no inverse Fourier transform"):
        tflite.plan(tmp_path, mode)


def test_a_truncated_tflite_is_refused(kept_files, tmp_path):
    content = kept_files["float32"].read_bytes()
    for size in (9, 100, len(content) // 2):
        (tmp_path / "x.tflite").write_bytes(content[:size])
        with pytest.raises(InputError, match=r"x\.tflite: must"):
            load_tflite_separator(tmp_path / "x.tflite")


@pytest.mark.parametrize("content", [b"", b"no model", b"\0\0\0\0TFL4" + bytes(99)])
def test_a_file_that_is_no_tflite_is_refused(tmp_path, content):
    (tmp_path / "x.tflite").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.tflite: must be a TFLite file"):
        load_tflite_separator(tmp_path / "x.tflite")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"format_version": 2', b'"format_version": 9', "must be 2. Received: 9"),
        (b'"chunk_frames"', b'"chink_frames"', "lacks 'chunk_frames'"),
        (b'"num_levels": 3', b'"num_levels": 4', "its inputs must be those"),
        (b"waveunet_config", b"waveumet_config", "must carry the metadata"),
    ],
)
def test_a_file_of_another_kind_is_refused(kept_files, tmp_path, old, new, message):
    content = kept_files["float32"].read_bytes()
    other = content.replace(old, new)
    assert other != content
    (tmp_path / "x.tflite").write_bytes(other)
    with pytest.raises(InputError, match=rf"x\.tflite: .*{message}"):
        load_tflite_separator(tmp_path / "x.tflite")
