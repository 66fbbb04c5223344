import io
import json
import pathlib

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import waveunet_tf
from waveunet_tf.export.serving import messages

# In one process, for what is made once for all of these.
pytestmark = pytest.mark.xdist_group("saved_model")

# All that the graphs may be made of: operations of TensorFlow itself.
OPERATIONS = set(
    "AddV2 All Any Assert AssignVariableOp BiasAdd BroadcastTo Cast CheckNumerics "
    "ConcatV2 Const Conv2D Cumprod DecodeRaw DisableCopyOnRead EncodeWav "
    "EnsureShape Equal ExpandDims Fill FloorDiv FloorMod GatherV2 Greater "
    "GreaterEqual Identity LeakyRelu Less LessEqual LogicalAnd LogicalNot LogicalOr "
    "Maximum Mean MergeV2Checkpoints Minimum Mul Neg NoOp Pack Pad PartitionedCall "
    "Placeholder PlaceholderWithDefault Prod Range Rank ReadVariableOp RealDiv "
    "Reshape RestoreV2 SaveV2 Select SelectV2 SerializeTensor Shape ShardedFilename "
    "Size Slice SplitV Squeeze StatefulPartitionedCall StatelessIf StatelessWhile "
    "StaticRegexFullMatch StridedSlice StringFormat StringJoin StringLength Sub "
    "Substr Sum Tanh TensorListFromTensor TensorListGetItem TensorListReserve "
    "TensorListSetItem TensorListStack Transpose Unpack VarHandleOp While".split()
)
CHUNK = 512
TENSOR = messages.to_tensor(np.zeros((1, 9, 2), np.float32)).SerializeToString()
# 25 bytes for 190 MiB of samples.
BOMB = messages.to_tensor(np.zeros(1, np.float32), (1, 25_000_000, 2))
BOMB = BOMB.SerializeToString()
LATENCY = 123  # of TINY, see tests/networks/shapes_test.py


def noise(frames, channels=2, batch=1):
    shape = (batch, frames, channels)
    return np.random.default_rng(0).normal(0, 0.5, shape).astype(np.float32)


def wav(audio, rate_hz=8000, subtype="PCM_16"):
    content = io.BytesIO()
    soundfile.write(content, audio, rate_hz, format="WAV", subtype=subtype)
    return content.getvalue()


@pytest.fixture(scope="module")
def exported(tiny_model_dir):
    """The folder and the signatures."""
    folder = tiny_model_dir / "waveunet" / "1"
    return folder, tf.saved_model.load(str(folder)).signatures


@pytest.fixture(scope="module")
def separator(tiny_model_dir):
    return waveunet_tf.load(tiny_model_dir / "checkpoint", engine="tensorflow")


def test_a_graph_has_only_operations_of_tensorflow(exported):
    content = (exported[0] / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0].graph_def
    functions = [node for f in graph.library.function for node in f.node_def]
    operations = {node.op for node in [*graph.node, *functions]}
    names = {function.signature.name for function in graph.library.function}
    assert operations - names <= OPERATIONS
    assert "While" in operations


def test_the_default_signature_equals_a_separator(exported, separator):
    audio = noise(2001, batch=3)
    stems = exported[1]["serving_default"](audio=tf.constant(audio))
    for item in range(3):
        expected = separator.separate(audio[item], 8000)
        for source, stem in expected.items():
            np.testing.assert_allclose(stems[source][item], stem, atol=1e-5)


def test_a_stream_equals_a_separator_once_its_latency_is_cut(exported, separator):
    signatures, audio = exported[1], noise(1999, batch=2)
    padded = np.pad(audio, ((0, 0), (0, 5 * CHUNK - 1999), (0, 0)))
    state, chunks = signatures["initial_state"](batch=tf.constant(2)), []
    for start in range(0, 5 * CHUNK, CHUNK):
        chunk = tf.constant(padded[:, start : start + CHUNK])
        chunks.append(signatures["stream"](chunk=chunk, **state))
        state = {name: chunks[-1][name] for name in state}
    for item in range(2):
        for source, stem in separator.separate(audio[item], 8000).items():
            actual = np.concatenate([chunk[source][item] for chunk in chunks])
            actual = actual[LATENCY : LATENCY + 1999]
            np.testing.assert_allclose(actual, stem, atol=1e-5)


def test_wav_files_come_back_as_wav_files_of_the_same_stems(exported, separator):
    audio = np.round(noise(1501)[0].clip(-1, 1) * 32767) / 32768
    expected = separator.separate(audio, 8000)
    contents = exported[1]["separate_wav"](wav=tf.constant(wav(audio)))
    several = exported[1]["rest_wav"](wav_bytes=tf.constant([wav(audio[:9])] * 2))
    assert several["vocals_bytes"].shape == (2,)
    for source, stem in expected.items():
        steps, rate_hz = soundfile.read(
            io.BytesIO(contents[source].numpy()), dtype="int16"
        )
        assert rate_hz == 8000
        rounded = np.round(stem * 32768).clip(-32768, 32767)
        assert np.abs(steps - rounded).max() <= 1
        short = soundfile.read(io.BytesIO(several[f"{source}_bytes"].numpy()[1]))[0]
        assert short.shape == (9, 2)


def test_tensors_in_bytes_come_back_exactly(exported, separator):
    audio = noise(777, channels=1)
    content = tf.io.serialize_tensor(audio)[None]
    stems = exported[1]["rest_tensor"](tensor_bytes=content)
    for source, stem in separator.separate(audio[0], 8000).items():
        actual = tf.io.parse_tensor(stems[f"{source}_bytes"][0], tf.float32)
        np.testing.assert_allclose(actual[0], stem, atol=1e-5)


def test_a_model_describes_itself(exported, tiny_config):
    signatures = exported[1]
    text = signatures["describe"]()["config"].numpy()
    description = json.loads(text)
    assert description["network"] == tiny_config.to_json()
    assert description["sources"] == ["accompaniment", "vocals"]
    assert description["chunk_frames"] == CHUNK
    assert description["latency_frames"] == LATENCY
    each = signatures["rest_describe"](requests=tf.constant([1, 1]))["config"]
    assert list(each.numpy()) == [text, text]
    extra = pathlib.Path(exported[0]) / "assets.extra" / "waveunet.json"
    assert extra.read_text() == json.dumps(json.loads(text), indent=1) + "\n"
    assert extra.with_name("LICENSE").read_text() == "for research only"


def nan():
    audio = noise(9)
    audio[0, 4, 1] = np.nan
    return audio


@pytest.mark.parametrize(
    "signature, changes, rule",
    [
        ("serving_default", {"audio": noise(0)}, "at least 1 frame"),
        ("serving_default", {"audio": noise(9, 3)}, "1 or 2 channels"),
        ("serving_default", {"audio": noise(9, 0)}, "1 or 2 channels"),
        ("serving_default", {"audio": noise(9)[0]}, r"\(batch, frames, channels\)"),
        ("serving_default", {"audio": noise(9)[None]}, r"\(batch, frames, channels\)"),
        ("serving_default", {"audio": nan()}, "finite samples : Tensor had NaN"),
        ("serving_default", {"audio": noise(9, batch=65)}, "batch of 1 to 64"),
        ("serving_default", {"audio": noise(9, batch=0)}, "batch of 1 to 64"),
        ("separate_wav", {"wav": wav(noise(9)[0], 8001)}, "8000 Hz. Received: 8001"),
        (
            "separate_wav",
            {"wav": wav(noise(9)[0], subtype="PCM_24")},
            r"\[1 24\]",
        ),
        ("separate_wav", {"wav": wav(noise(9)[0], subtype="FLOAT")}, r"\[3 32\]"),
        ("separate_wav", {"wav": wav(noise(9, 3)[0])}, "1 or 2 channels"),
        ("separate_wav", {"wav": wav(noise(0)[0])}, "at least 1 frame"),
        ("separate_wav", {"wav": wav(noise(9)[0])[:50]}, "in one piece. Rec"),
        ("separate_wav", {"wav": [wav(noise(9)[0])] * 65}, "1 to 64 of them.* 65"),
        ("rest_wav", {"wav_bytes": [wav(noise(9)[0])] * 65}, "1 to 64 of them.* 65"),
        ("rest_describe", {"requests": [1] * 65}, "`requests` must be 1 to 64 of"),
        ("rest_tensor", {"tensor_bytes": [TENSOR] * 65}, "1 to 64 of them.* 65"),
        ("rest_tensor", {"tensor_bytes": [BOMB]}, "holds all of its samples"),
        ("separate_wav", {"wav": b"garbage" * 99}, "must be a wav file"),
        ("separate_wav", {"wav": b""}, "must be a wav file"),
        ("rest_tensor", {"tensor_bytes": [b"garbage" * 99]}, "of float32"),
        ("rest_tensor", {"tensor_bytes": [b""]}, "of float32"),
        ("initial_state", {"batch": 0}, "`batch` must be 1 to 64. Received: 0"),
        ("initial_state", {"batch": 65}, "`batch` must be 1 to 64. Received: 65"),
        ("stream", {"chunk": noise(CHUNK + 1)}, f"must have {CHUNK} frames"),
        ("stream", {"chunk": noise(CHUNK, 1)}, "must have 2 channels"),
        ("stream", {"chunk": noise(CHUNK)[0]}, r"\(batch, frames, channels\)"),
        ("stream", {"chunk": np.inf * noise(CHUNK)}, "finite samples : Tensor had"),
        ("stream", {"chunk": noise(CHUNK, batch=2)}, "with the batch of `chunk`"),
        (
            "stream",
            {"state_up_0": noise(4, 5)},
            r"_up_0` must be \(batch, 4, 4\)",
        ),
        ("stream", {"state_up_0": noise(4, 4)[0]}, r"must be \(batch, 4, 4\)"),
        (
            "stream",
            {"state_fingerprint": np.array([5])},
            "the model that it began",
        ),
    ],
)
def test_bad_requests_are_told_the_rule(exported, signature, changes, rule):
    signatures, inputs = exported[1], {}
    if signature == "stream":
        state = signatures["initial_state"](batch=tf.constant(1))
        inputs = {"chunk": tf.zeros((1, CHUNK, 2)), **state}
    inputs.update({name: tf.constant(value) for name, value in changes.items()})
    with pytest.raises(tf.errors.InvalidArgumentError, match=rule):
        signatures[signature](**inputs)
