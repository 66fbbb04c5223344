"""The stand-in's REST interface over a socket of this process."""

import base64
import json
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest

from waveunet_tf.export.serving import messages, stand_in, stand_in_rest

# In one process, for what is made once for all of these.
pytestmark = pytest.mark.xdist_group("saved_model")

AUDIO = np.random.default_rng(0).normal(0, 0.3, (2, 40, 2)).astype(np.float32)
PREDICT = "/v1/models/waveunet:predict"


@pytest.fixture(scope="module")
def models(tiny_model_dir):
    return stand_in.Models(tiny_model_dir)


@pytest.fixture(scope="module")
def address(models):
    server = stand_in_rest.server(models, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def ask(address, path, body=None):
    """Asks with JSON; without a body it GETs."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"{address}{path}", data) as response:
        return json.load(response)


def expected(models):
    (model,) = models.versions(stand_in_rest.model_pb2.ModelSpec(name="waveunet"))
    return model.run("", {"audio": AUDIO})


def test_columns_are_answered_in_columns(address, models):
    for inputs in (AUDIO.tolist(), {"audio": AUDIO.tolist()}):
        outputs = ask(address, PREDICT, {"inputs": inputs})["outputs"]
        for source, stem in expected(models).items():
            np.testing.assert_allclose(outputs[source], stem, atol=1e-6)


def test_rows_are_answered_in_rows(address, models):
    for rows in (AUDIO.tolist(), [{"audio": row} for row in AUDIO.tolist()]):
        answer = ask(address, PREDICT, {"instances": rows})["predictions"]
        assert len(answer) == 2
        for number, row in enumerate(answer):
            for source, stem in expected(models).items():
                np.testing.assert_allclose(row[source], stem[number], atol=1e-6)


def test_an_only_output_stands_alone(address):
    body = {"signature_name": "rest_describe", "inputs": [1, 1]}
    one, other = ask(address, PREDICT, body)["outputs"]
    assert one == other and json.loads(one)["sample_rate_hz"] == 8000


def test_bytes_are_base64_in_and_out(address, models):
    content = messages.to_tensor(AUDIO).SerializeToString()
    encoded = {"b64": base64.b64encode(content).decode()}
    body = {"signature_name": "rest_tensor", "inputs": {"tensor_bytes": [encoded]}}
    outputs = ask(address, PREDICT, body)["outputs"]
    for source, stem in expected(models).items():
        (value,) = outputs[f"{source}_bytes"]
        tensor = messages.Tensor.FromString(base64.b64decode(value["b64"]))
        np.testing.assert_allclose(messages.to_array(tensor), stem, atol=1e-6)


@pytest.mark.parametrize("part", ["", "/versions/1", "/labels/stable"])
def test_a_version_is_told_by_its_number_or_label(address, part):
    answer = ask(address, f"/v1/models/waveunet{part}")
    (status,) = answer["model_version_status"]
    assert (status["version"], status["state"]) == ("1", "AVAILABLE")


@pytest.mark.parametrize(
    ("path", "body", "code", "text"),
    [
        ("/v1/models", None, 404, "Malformed request: /v1/models"),
        ("/v1/models/waveunet:classify", {}, 404, "Malformed request"),
        ("/v1/models/other", None, 404, "Servable not found"),
        ("/v1/models/waveunet/versions/2:predict", {}, 404, "Specific"),
        ("/v1/models/waveunet/labels/new:predict", {}, 400, "version label: new"),
        (PREDICT, {}, 400, "must be the JSON of a request"),
        (PREDICT, [], 400, "must be the JSON of a request"),
        (PREDICT, {"instances": 5}, 400, "must be the JSON of a request"),
        (PREDICT, {"inputs": {"sound": []}}, 400, "must be the JSON of a request"),
        (PREDICT, {"inputs": [[["a"]]]}, 400, "must be the JSON of a request"),
        (PREDICT, {"inputs": [[[1, 2, 3]]]}, 400, "1 or 2 channels"),
        (PREDICT, {"inputs": [], "signature_name": "no"}, 400, 'key "no" not found'),
        (
            PREDICT,
            {"inputs": [{"b64": "?"}], "signature_name": "rest_tensor"},
            400,
            "must be the JSON of a request",
        ),
    ],
)
def test_what_is_refused_has_a_status_and_a_text(address, path, body, code, text):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(address, path, body)
    assert caught.value.code == code
    assert text in json.load(caught.value)["error"]
