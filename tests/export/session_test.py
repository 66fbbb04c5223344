"""A SavedModel in a C program, loaded and run as TensorFlow Serving does it."""

import pathlib
import shutil
import subprocess

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

import waveunet_tf

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("saved_model")]

SOURCE = pathlib.Path(__file__).parent / "session" / "predict.c"
INVALID_ARGUMENT = 3
AUDIO = np.random.default_rng(1).normal(0, 0.5, (2, 3001, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The compiled program."""
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    path = tmp_path_factory.mktemp("session") / "predict"
    libraries = pathlib.Path(tf.sysconfig.get_lib())
    subprocess.run(
        [
            *"gcc -std=c11 -O2 -Wall -Wextra -Werror -o".split(),
            *(path, SOURCE, f"-I{tf.sysconfig.get_include()}"),
            *(libraries / f"libtensorflow_{name}.so.2" for name in ("cc", "framework")),
            f"-Wl,-rpath,{libraries}",
        ],
        check=True,
    )
    return path


def predict(program, model, requests, folder):
    """Runs requests; gives the printed lines and the outputs by signature and name."""
    result = subprocess.run(
        [program, model, requests, folder / "answers"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    outputs = {}
    with (folder / "answers").open("rb") as file:
        while line := file.readline():
            signature, name, kind, rank, *numbers = line.decode().strip().split("\t")
            *shape, size = map(int, numbers)
            assert len(shape) == int(rank)
            kind = np.dtype(tf.as_dtype(int(kind)).as_numpy_dtype)
            if kind.hasobject:
                values = [
                    file.read(int(file.readline())) for _ in range(int(np.prod(shape)))
                ]
            else:
                values = np.frombuffer(file.read(size), kind)
            outputs[signature, name] = np.array(values, kind).reshape(shape)
    return result.stdout.splitlines(), outputs


def write_requests(path, *requests):
    """Writes records of requests: a signature and its inputs."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in requests:
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for name, array in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
            writer.write(log.SerializeToString())


def test_warm_up_requests_run_as_in_python(program, tiny_model_dir, tmp_path):
    folder = tiny_model_dir / "waveunet" / "1"
    records = folder / "assets.extra" / "tf_serving_warmup_requests"
    lines, outputs = predict(program, folder, records, tmp_path)
    signatures = tf.saved_model.load(str(folder)).signatures
    assert lines == [f"{name} OK" for name in sorted(signatures)]
    compared = 0
    for record in tf.data.TFRecordDataset(str(records)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        request = request.predict_log.request
        name = request.model_spec.signature_name
        inputs = {
            key: tf.constant(tf.make_ndarray(tensor))
            for key, tensor in request.inputs.items()
        }
        expected = signatures[name](**inputs)
        for key in request.output_filter or expected:
            actual = outputs[name, key]
            wanted = np.array(expected[key].numpy(), actual.dtype)
            assert actual.shape == wanted.shape
            if actual.dtype == np.float32:
                np.testing.assert_allclose(actual, wanted, atol=1e-6)
            else:
                np.testing.assert_array_equal(actual, wanted)
            compared += 1
    assert compared == len(outputs) > 2 * len(signatures)


def test_stems_are_those_of_a_separator(program, tiny_model_dir, tmp_path):
    write_requests(tmp_path / "requests", ("", {"audio": AUDIO}))
    folder = tiny_model_dir / "waveunet" / "1"
    lines, outputs = predict(program, folder, tmp_path / "requests", tmp_path)
    assert lines == ["serving_default OK"]
    separator = waveunet_tf.load(tiny_model_dir / "checkpoint", engine="tensorflow")
    for item in range(2):
        for source, stem in separator.separate(AUDIO[item], 8000).items():
            actual = outputs["serving_default", source][item]
            np.testing.assert_allclose(actual, stem, atol=1e-5)


def test_bad_requests_are_told_the_rule_and_the_session_lives_on(
    program, tiny_model_dir, tmp_path
):
    bad = [
        (AUDIO[:, :0], "at least 1 frame"),
        (AUDIO[0], "must be (batch, frames, channels)"),
        (np.float32(0.5), "must be (batch, frames, channels)"),
        (AUDIO[None], "must be (batch, frames, channels)"),
        (np.zeros((1, 9, 3), np.float32), "1 or 2 channels"),
        (np.full((1, 9, 2), np.nan, np.float32), "finite samples"),
        (np.zeros((1, 9, 2)), "double"),
    ]
    write_requests(
        tmp_path / "requests",
        *(("serving_default", {"audio": audio}) for audio, _ in bad),
        ("separate_wav", {"wav": [b"garbage"]}),
        ("serving_default", {"audio": AUDIO}),
    )
    folder = tiny_model_dir / "waveunet" / "1"
    lines, _ = predict(program, folder, tmp_path / "requests", tmp_path)
    rules = [*(rule for _, rule in bad), "must be a wav file"]
    assert len(lines) == len(rules) + 1
    for line, rule in zip(lines, rules):
        assert f" {INVALID_ARGUMENT} " in line
        assert rule in line
    assert lines[-1] == "serving_default OK"
