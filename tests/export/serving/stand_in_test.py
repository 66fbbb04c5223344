"""The stand-in's models and servicers, in this process; sockets are client_test's."""

import pathlib
import shutil
import socket

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
)

import waveunet_tf
from tests.command_line import check_refusal, run_here
from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import server_files, stand_in

# In one process, for what is made once for all of these.
pytestmark = pytest.mark.xdist_group("saved_model")

AUDIO = np.random.default_rng(0).normal(0, 0.3, (1, 300, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def models(tiny_model_dir):
    return stand_in.Models(tiny_model_dir)


def spec(name="waveunet", **fields):
    version = fields.pop("version", None)
    made = model_pb2.ModelSpec(name=name, **fields)
    if version is not None:
        made.version.value = version
    return made


@pytest.mark.parametrize(
    "wanted", [spec(), spec(version=1), spec(version_label="stable")], ids=str
)
def test_a_version_is_found_by_number_label_or_as_the_newest(models, wanted):
    (model,) = models.versions(wanted)
    assert model.version == 1


@pytest.mark.parametrize(
    ("wanted", "code", "text"),
    [
        (spec("other"), "NOT_FOUND", "Servable not found for request: other"),
        (spec(version=2), "NOT_FOUND", r"Specific\(waveunet, 2\)"),
        (spec(version_label="new"), "INVALID_ARGUMENT", "version label: new"),
    ],
    ids=str,
)
def test_what_is_not_served_is_refused_with_grpcs_code(models, wanted, code, text):
    with pytest.raises(stand_in.RequestError, match=text) as caught:
        models.versions(wanted)
    assert caught.value.code == grpc.StatusCode[code]


def test_the_default_signature_separates(models, tiny_model_dir):
    (model,) = models.versions(spec())
    outputs = model.run("", {"audio": AUDIO})
    separator = waveunet_tf.load(tiny_model_dir / "checkpoint", engine="tensorflow")
    for source, stem in separator.separate(AUDIO[0], 8000).items():
        np.testing.assert_allclose(outputs[source][0], stem, atol=1e-5)


def test_a_part_of_the_outputs_can_be_asked_for(models):
    (model,) = models.versions(spec())
    assert list(model.run("", {"audio": AUDIO}, ["vocals"])) == ["vocals"]
    with pytest.raises(stand_in.RequestError, match="alias not found.*drums"):
        model.run("", {"audio": AUDIO}, ["drums"])


@pytest.mark.parametrize(
    ("signature", "inputs", "code", "text"),
    [
        ("none", {}, "FAILED_PRECONDITION", 'key "none" not found'),
        ("", {}, "INVALID_ARGUMENT", r"Missing but required: \['audio'\]"),
        ("", {"audio": AUDIO, "x": AUDIO}, "INVALID_ARGUMENT", r"extra: \['x'\]"),
        ("", {"audio": AUDIO.astype(float)}, "INVALID_ARGUMENT", "Received: float64"),
        ("", {"audio": AUDIO[0]}, "INVALID_ARGUMENT", "must be .batch, frames"),
        ("", {"audio": object()}, "INVALID_ARGUMENT", "object"),
    ],
)
def test_a_bad_request_is_refused_with_grpcs_code(
    models, signature, inputs, code, text
):
    (model,) = models.versions(spec())
    with pytest.raises(stand_in.RequestError, match=text) as caught:
        model.run(signature, inputs)
    assert caught.value.code == grpc.StatusCode[code]


class Context:
    """gRPC's context of a request, which an error ends."""

    def abort(self, code, text):
        raise ConnectionAbortedError(code, text)


def predict(models, signature="", **inputs):
    request = predict_pb2.PredictRequest(model_spec=spec(signature_name=signature))
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return stand_in.PredictionServicer(models).Predict(request, Context())


def test_an_answer_names_its_version_and_holds_values_as_the_real_server_does(models):
    response = predict(models, audio=AUDIO)
    assert response.model_spec.version.value == 1
    assert response.model_spec.signature_name == "serving_default"
    tensor = response.outputs["vocals"]
    assert len(tensor.float_val) == 600 and not tensor.tensor_content
    assert tf.make_ndarray(tensor).shape == (1, 300, 2)
    text = tf.make_ndarray(predict(models, "describe").outputs["config"]).item()
    assert text.startswith(b'{"format_version"')


def test_an_error_ends_a_request_with_its_code(models):
    with pytest.raises(ConnectionAbortedError) as caught:
        predict(models, audio=AUDIO[:, :0])
    code, text = caught.value.args
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "at least 1 frame" in text


def test_metadata_are_the_signatures_of_the_file(models):
    request = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec(), metadata_field=["signature_def"]
    )
    servicer = stand_in.PredictionServicer(models)
    answer = servicer.GetModelMetadata(request, Context())
    signatures = get_model_metadata_pb2.SignatureDefMap()
    answer.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "stream"} < set(signatures.signature_def)
    request.metadata_field[:] = ["weights"]
    with pytest.raises(ConnectionAbortedError, match="must be signature_def"):
        servicer.GetModelMetadata(request, Context())


def test_the_status_of_every_version_is_available(models):
    request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec())
    answer = stand_in.ModelServicer(models).GetModelStatus(request, Context())
    (status,) = answer.model_version_status
    assert (status.version, status.State.Name(status.state)) == (1, "AVAILABLE")
    assert status.status.error_code == 0


def test_a_model_whose_warm_up_fails_is_not_served(tiny_model_dir, tmp_path):
    """As the real server, which does not get ready then."""
    folder = pathlib.Path(
        shutil.copytree(tiny_model_dir / "waveunet/1", tmp_path / "1")
    )
    from waveunet_tf.export.serving import messages

    log = messages.PredictionLog()
    log.predict_log.request.CopyFrom(
        messages.predict_request("waveunet", "", {"audio": AUDIO[:, :0]})
    )
    with tf.io.TFRecordWriter(str(folder / server_files.WARM_UP)) as writer:
        writer.write(log.SerializeToString())
    with pytest.raises(stand_in.RequestError, match="at least 1 frame"):
        stand_in.Model(folder)


ELSEWHERE = 'model_config_list { config { name: "w" base_path: "/srv/w" } }'
BROKEN = """model_config_list { config { name: "w" base_path: "/models/w"
    model_version_policy { specific { versions: 1 } } } }"""


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("nonsense {", "models.config: must be a server's configuration"),
        (ELSEWHERE, "models.config: `base_path` must be in /models. Received: /srv/w"),
        (BROKEN, "w/1: must be a SavedModel that can be served, but is not"),
    ],
)
def test_models_that_cannot_be_served_are_named_in_one_line(tmp_path, config, text):
    (tmp_path / "models.config").write_text(config)
    (tmp_path / "w" / "1").mkdir(parents=True)
    (tmp_path / "w" / "1" / "saved_model.pb").write_bytes(b"\xffbroken")
    with pytest.raises(InputError, match=text):
        stand_in.Models(tmp_path)


def test_a_port_that_is_taken_is_named(tmp_path):
    (tmp_path / "models.config").write_text("")
    command = ("waveunet_tf stand-in", f"--models_dir={tmp_path}")
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
        for flags in (
            (f"--port={port}", "--rest_port=0"),
            ("--port=0", f"--rest_port={port}"),
        ):
            refused = run_here(*command, *flags)
            check_refusal(refused, 1, f"localhost:{port}: ")
    check_refusal(run_here(*command, "--port=65536"), 2, "--port", "65535")
