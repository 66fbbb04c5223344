"""The client and the stand-in server, over real sockets."""

import base64
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import grpc
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

import waveunet_tf
from tests.command_line import run, run_here, run_python
from waveunet_tf.errors import InputError
from waveunet_tf.export.serving.client import RemoteSeparator
from waveunet_tf.export.serving.model_server import Server
from waveunet_tf.export.serving.transports import GrpcTransport, RestTransport

# In one process, for what is made once for all of these.
pytestmark = pytest.mark.xdist_group("saved_model")

ROOT = pathlib.Path(__file__).parents[3]
SONG = np.random.default_rng(1).normal(0, 0.3, (20_001, 2)).astype(np.float32)
UNLIMITED = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
]


class StandIn:
    """A server in a process of its own, where neither keras nor tensorflow_io is."""

    def __init__(self, models_dir, folder):
        for name in ("keras", "tensorflow_io"):
            (folder / f"{name}.py").write_text("raise ModuleNotFoundError(__name__)")
        self.environment = {**os.environ, "PYTHONPATH": str(folder)}
        self._models_dir = models_dir
        self.port = self.rest_port = 0
        self.start()
        words = self._process.stdout.readline().replace(",", "").split()
        self.port, self.rest_port = int(words[3]), int(words[-1])

    def start(self):
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "waveunet_tf", "stand-in"),
                *(f"--models_dir={self._models_dir}", f"--port={self.port}"),
                f"--rest_port={self.rest_port}",
            ],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def server(tiny_model_dir, tmp_path_factory):
    stand_in = StandIn(tiny_model_dir, tmp_path_factory.mktemp("no_keras"))
    yield stand_in
    stand_in.kill()


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(f"localhost:{server.port}", UNLIMITED) as channel:
        yield channel


@pytest.fixture(scope="module")
def separator(tiny_model_dir):
    return waveunet_tf.load(tiny_model_dir / "checkpoint", engine="tensorflow")


def transport(server, kind):
    if kind == "rest":
        return RestTransport(Server(f"localhost:{server.rest_port}"))
    return GrpcTransport(Server(f"localhost:{server.port}"))


def remote(server, kind="grpc", **options):
    return RemoteSeparator(
        transport(server, kind), stream=kind == "stream", request_seconds=0.3, **options
    )


def assert_equal(stems, expected):
    assert list(stems) == list(expected)
    for source, stem in expected.items():
        np.testing.assert_allclose(stems[source], stem, atol=1e-5)


@pytest.mark.parametrize("kind", ["grpc", "rest", "stream"])
def test_stems_of_a_server_are_those_of_a_separator(server, separator, kind):
    client = remote(server, kind)
    for song, rate_hz in [(SONG, 8000), (SONG[:, :1], 11025), (SONG[:1], 8000)]:
        assert_equal(client.separate(song, rate_hz), separator.separate(song, rate_hz))


def test_a_saved_model_is_served_without_keras(server):
    tried = subprocess.run(
        [sys.executable, "-c", "import keras"],
        env=server.environment,
        stderr=subprocess.PIPE,
    )
    assert b"ModuleNotFoundError: keras" in tried.stderr
    stems = remote(server).separate(SONG[:5], 8000)
    assert [stem.shape for stem in stems.values()] == [(5, 2)] * 2


def test_files_of_a_server_are_those_of_a_separator(server, separator, tmp_path):
    soundfile.write(tmp_path / "song.flac", SONG, 16000)
    files = {}
    for name, which in [("here", separator), ("there", remote(server))]:
        targets = {
            "vocals": tmp_path / name / "vocals.wav",
            "no_vocals": tmp_path / name / "rest.flac",
        }
        which.separate_file(
            tmp_path / "song.flac", targets, start_seconds=0.31, duration_seconds=0.5
        )
        files[name] = [path.read_bytes() for path in targets.values()]
    assert files["here"] == files["there"]


def test_the_command_writes_stems(server, separator, tmp_path):
    soundfile.write(tmp_path / "song.wav", SONG, 8000, subtype="FLOAT")
    result = run(
        "waveunet_tf client",
        *(f"--server=localhost:{server.port}", f"--output_dir={tmp_path}/stems"),
        *("--two_stems=vocals", tmp_path / "song.wav", tmp_path / "none"),
    )
    assert result.returncode == 1
    assert f"error: {tmp_path}/none: No such file or directory" in result.stderr
    assert "Traceback" not in result.stderr
    vocals, _ = soundfile.read(tmp_path / "stems" / "song" / "vocals.wav")
    assert (tmp_path / "stems" / "song" / "no_vocals.wav").exists()
    expected = separator.separate(SONG, 8000)["vocals"]
    np.testing.assert_allclose(vocals, expected, atol=1e-5)


def test_a_client_imports_no_tensorflow():
    code = """
import sys
import waveunet_tf.export.serving.client
sys.exit(bool({"tensorflow", "keras", "tensorflow_serving"} & set(sys.modules)))
"""
    assert run_python("-c", code).returncode == 0


def test_sixteen_clients_at_once_get_their_own_stems(server, separator):
    songs = [np.roll(SONG, 100 * number, axis=0)[:6000] for number in range(16)]

    def separate(number):
        kind = ["grpc", "stream", "rest"][number % 3]
        return remote(server, kind).separate(songs[number], 8000)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for song, stems in zip(songs, pool.map(separate, range(16))):
            assert_equal(stems, separator.separate(song, 8000))


@pytest.mark.slow  # a server starts twice
def test_a_song_survives_its_server(server, separator):
    restarts = []

    def restart():
        server.kill()
        server.start()
        restarts.append(True)

    class Killing(GrpcTransport):
        def predict(self, signature, inputs, **options):
            if signature == "stream" and not killer.is_alive() and not restarts:
                killer.start()
            return super().predict(signature, inputs, **options)

    killer = threading.Timer(0.05, restart)
    patient = Server(f"localhost:{server.port}", retries=200, longest_wait_seconds=0.5)
    client = RemoteSeparator(Killing(patient), stream=True)
    song = np.tile(SONG, (5, 1))
    assert_equal(client.separate(song, 8000), separator.separate(song, 8000))
    assert restarts


def request(signature, **inputs):
    message = predict_pb2.PredictRequest()
    message.model_spec.name = "waveunet"
    message.model_spec.signature_name = signature
    for name, value in inputs.items():
        message.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return message


def test_official_stubs_get_the_same(server, channel, separator):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.Predict(request("", audio=SONG[None]))
    assert response.model_spec.version.value == 1
    stems = {
        name: tf.make_ndarray(response.outputs[name])[0]
        for name in ("accompaniment", "vocals")
    }
    assert_equal(stems, separator.separate(SONG, 8000))


def test_status_and_metadata_are_told(server, channel):
    ask = get_model_status_pb2.GetModelStatusRequest()
    ask.model_spec.name = "waveunet"
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    (status,) = stub.GetModelStatus(ask).model_version_status
    assert (status.version, status.State.Name(status.state)) == (1, "AVAILABLE")
    ask = get_model_metadata_pb2.GetModelMetadataRequest(
        metadata_field=["signature_def"]
    )
    ask.model_spec.name = "waveunet"
    ask.model_spec.version_label = "stable"
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert stub.GetModelMetadata(ask).metadata["signature_def"].Unpack(signatures)
    audio = signatures.signature_def["serving_default"].inputs["audio"]
    assert [dim.size for dim in audio.tensor_shape.dim] == [-1, -1, -1]


@pytest.mark.parametrize(
    "message, code, text",
    [
        (request("", audio=SONG[None, :0]), "INVALID_ARGUMENT", "at least 1 frame"),
        (request("", audio=SONG), "INVALID_ARGUMENT", "(batch, frames, channels)"),
        (request("", audio=np.full((1, 9, 2), np.nan, "f")), "INVALID_ARGUMENT", "NaN"),
        (request("", audio=np.zeros((1, 9, 2))), "INVALID_ARGUMENT", "float32"),
        (
            request("", chunk=SONG),
            "INVALID_ARGUMENT",
            "Missing but required",
        ),
        (request("separate_wav", wav=[b"no"]), "INVALID_ARGUMENT", "be a wav file"),
        (request("none"), "FAILED_PRECONDITION", 'key "none" not found'),
        (predict_pb2.PredictRequest(), "NOT_FOUND", "Servable not found"),
        (b"\xff\xff no message", "INTERNAL", "deserializing"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_bad_requests_are_refused_and_the_server_lives_on(channel, message, code, text):
    predict = channel.unary_unary(
        "/tensorflow.serving.PredictionService/Predict",
        request_serializer=lambda message: (
            message if isinstance(message, bytes) else message.SerializeToString()
        ),
        response_deserializer=predict_pb2.PredictResponse.FromString,
    )
    with pytest.raises(grpc.RpcError) as caught:
        predict(message)
    assert caught.value.code().name == code
    assert text in caught.value.details()
    assert predict(request("describe")).outputs["config"].string_val


def test_a_million_frames_are_separated_in_one_request(channel, separator):
    audio = np.tile(SONG, (50, 1))[:1_000_000]
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    response = stub.Predict(request("", audio=audio[None]))
    vocals = tf.make_ndarray(response.outputs["vocals"])[0]
    expected = separator.separate(audio, 8000)["vocals"]
    np.testing.assert_allclose(vocals, expected, atol=1e-5)


def test_grpc_as_it_is_by_default_takes_no_answer_of_more_than_4_mb(server):
    message = request("", audio=np.zeros((1, 600_000, 2), np.float32))  # 4.8 MB
    with grpc.insecure_channel(f"localhost:{server.port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(message)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert remote(server).separate(SONG[:9], 8000)["vocals"].shape == (9, 2)


def test_a_client_names_what_its_server_refuses(server):
    for server_of in (
        Server(f"localhost:{server.port}", "none"),
        Server(f"localhost:{server.port}", version=7),
        Server(f"localhost:{server.port}", label="canary"),
    ):
        with pytest.raises(InputError, match=r"localhost:\d+: (NOT|INV)"):
            RemoteSeparator(GrpcTransport(server_of))
    with pytest.raises(InputError, match=r"404: Servable not found"):
        RemoteSeparator(RestTransport(Server(f"localhost:{server.rest_port}", "none")))


def post(server, path, body):
    """Sends a request, without a body to GET; gives its JSON."""
    url = f"http://localhost:{server.rest_port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
        return json.load(response)


def test_rest_tells_the_status(server):
    (status,) = post(server, "/v1/models/waveunet", None)["model_version_status"]
    assert (status["version"], status["state"]) == ("1", "AVAILABLE")


def test_rest_takes_wav_files_in_base64(server, separator, tmp_path):
    soundfile.write(tmp_path / "song.wav", SONG.clip(-1, 1), 8000)
    mixture, _ = soundfile.read(tmp_path / "song.wav", dtype="float32")
    encoded = base64.b64encode((tmp_path / "song.wav").read_bytes()).decode()
    body = {"signature_name": "rest_wav", "instances": [{"b64": encoded}]}
    path = "/v1/models/waveunet/labels/stable:predict"
    (prediction,) = post(server, path, json.dumps(body).encode())["predictions"]
    for source, stem in separator.separate(mixture, 8000).items():
        content = base64.b64decode(prediction[f"{source}_bytes"]["b64"])
        (tmp_path / "stem.wav").write_bytes(content)
        actual, _ = soundfile.read(tmp_path / "stem.wav")
        np.testing.assert_allclose(actual, stem.clip(-1, 1), atol=1 / 32768)


@pytest.mark.parametrize("flags", [[], ["--rest"]])
def test_a_server_teaches_as_the_checkpoint_does(server, separator, tmp_path, flags):
    soundfile.write(tmp_path / "song.wav", SONG, 8000, subtype="PCM_16")
    port = server.rest_port if flags else server.port
    result = run_here(
        *("waveunet_tf teach", tmp_path / "song.wav", f"--server=localhost:{port}"),
        *(f"--output_dir={tmp_path / 'taught'}", *flags),
    )
    assert result.returncode == 0, result.stderr
    song, _ = soundfile.read(tmp_path / "song.wav", dtype="float32")
    vocals, _ = soundfile.read(tmp_path / "taught" / "train" / "song" / "vocals.flac")
    expected = separator.separate(song, 8000)["vocals"].clip(-1, 1)
    np.testing.assert_allclose(vocals, expected, atol=1e-4)
    manifest = json.loads((tmp_path / "taught" / "manifest.json").read_text())
    told = manifest["tracks"]["train/song"]["estimates"]["teacher"]
    assert (told["kind"], told["name"]) == ("server", f"waveunet on localhost:{port}")
    assert len(told["sha256"]) == 64


@pytest.mark.parametrize(
    "path, body, code",
    [
        ("/v1/models/waveunet:predict", b"no JSON", 400),
        ("/v1/models/waveunet:predict", b"[]", 400),
        ("/v1/models/waveunet:predict", b'{"inputs": [[[0.5]], [[1]]], "x": 1', 400),
        ("/v1/models/waveunet:predict", b'{"inputs": [[[0.5, 1, 1]]]}', 400),
        ("/v1/models/none:predict", b'{"inputs": [[[0.5]]]}', 404),
        ("/nothing", b"", 404),
    ],
)
def test_bad_rest_requests_are_refused(server, path, body, code):
    with pytest.raises(urllib.error.HTTPError) as caught:
        post(server, path, body)
    assert caught.value.code == code
    assert json.load(caught.value)["error"]
    answer = post(server, "/v1/models/waveunet:predict", b'{"inputs": [[[0.5]]]}')
    assert len(answer["outputs"]["vocals"][0]) == 1
