"""Everything that separates, beside the original's graph where its crops are uneven.

The original counts more taps for the first convolution than it has, so that its input
is longer than the network needs, and skips at some levels are cropped by an odd number.
"""

import json
import types

import numpy as np
import pytest
import tensorflow as tf

import waveunet_tf
from tests.original import Original, noise
from waveunet_tf.checkpoints import tf1_import
from waveunet_tf.export import quantize, saved_model, tflite
from waveunet_tf.export.serving.client import RemoteSeparator
from waveunet_tf.separation.separator import load_tflite_separator

RATE_HZ = 22050
FRAMES = 700
NETWORKS = {
    "difference": Original(4, 2, 5, 1, 15, num_channels=1),
    "direct": Original(5, 1, 3, 3, 15, 1, "learned", "direct"),
}


@pytest.fixture(
    scope="module",
    params=["difference", pytest.param("direct", marks=pytest.mark.slow)],
)
def separated(request, tmp_path_factory):
    """A checkpoint imported from the original, and its stems of a song in one pass."""
    original = NETWORKS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    song = 0.3 * noise(FRAMES, original.num_channels)
    frames_in, frames_out = original.padding(FRAMES)
    context = (frames_in - frames_out) // 2
    around = (context, frames_in - context - FRAMES)
    variables, stems = original.compute(np.pad(song, (around, (0, 0)))[None])
    arrays = {name.replace("/", "__"): value for name, value in variables.items()}
    np.savez(folder / "original.npz", **arrays)
    output = {"output_type": original.output_type, "output_frames": 64}
    tf1_import.import_tf1(
        folder / "original.npz", folder / "checkpoint", overrides=output
    )
    stems = {name: stem[0, :FRAMES] for name, stem in stems.items()}
    return types.SimpleNamespace(
        folder=folder, checkpoint=folder / "checkpoint", song=song, stems=stems
    )


def check(actual, separated):
    assert sorted(actual) == sorted(separated.stems)
    for source, stem in separated.stems.items():
        np.testing.assert_allclose(np.asarray(actual[source]), stem, atol=1e-5)


@pytest.mark.parametrize("engine", ["tensorflow", "litert"])
def test_a_separator_gives_the_originals_stems(separated, engine):
    separator = waveunet_tf.load(separated.checkpoint, engine=engine)
    assert separator.config.input_kernel_size == 15
    check(separator.separate(separated.song, RATE_HZ), separated)


@pytest.mark.parametrize(("mode", "chunk"), [("streaming", 96), ("window", 0)])
def test_a_tflite_file_gives_the_originals_stems(separated, mode, chunk):
    plan = tflite.plan(separated.checkpoint, mode, chunk)
    ((_, content),) = quantize.convert_plan(plan, ["float32"], [])
    path = separated.folder / f"{mode}.tflite"
    path.write_bytes(content)
    separator = load_tflite_separator(path)
    check(separator.separate(separated.song, RATE_HZ), separated)


@pytest.fixture(scope="module")
def signatures(separated):
    """The signatures of the network's SavedModel."""
    version = separated.folder / "model" / "1"
    saved_model.write_saved_model(separated.checkpoint, version, chunk_frames=160)
    return tf.saved_model.load(str(version)).signatures


class LocalTransport:
    """The way to a model in this process, as a client takes it."""

    def __init__(self, signatures):
        self._signatures = signatures

    def describe(self):
        return self._signatures["describe"]()["config"].numpy()

    def separate(self, audio):
        return self.predict("serving_default", {"audio": audio})

    def predict(self, signature, inputs):
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        outputs = self._signatures[signature](**tensors)
        return {name: value.numpy() for name, value in outputs.items()}


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_gives_the_originals_stems(separated, signatures, stream):
    separator = RemoteSeparator(
        LocalTransport(signatures), stream=stream, request_seconds=100 / RATE_HZ
    )
    check(separator.separate(separated.song, RATE_HZ), separated)


@pytest.mark.slow
def test_a_saved_model_gives_the_originals_stems_at_once_and_as_a_stream(
    separated, signatures
):
    audio = tf.constant(separated.song[None])
    stems = signatures["serving_default"](audio=audio)
    check({source: stem[0] for source, stem in stems.items()}, separated)

    description = json.loads(signatures["describe"]()["config"].numpy())
    latency = description["latency_frames"]
    state = signatures["initial_state"](batch=tf.constant(1))
    blocks = []
    for start in range(0, FRAMES + latency, 160):
        chunk = separated.song[start : start + 160]
        chunk = np.pad(chunk, ((0, 160 - len(chunk)), (0, 0)))[None]
        outputs = signatures["stream"](chunk=tf.constant(chunk), **state)
        state = {name: outputs[name] for name in state}
        blocks.append({source: outputs[source][0] for source in separated.stems})
    stems = {
        source: np.concatenate([block[source] for block in blocks])
        for source in separated.stems
    }
    part = slice(latency, latency + FRAMES)
    check({source: stem[part] for source, stem in stems.items()}, separated)
