"""What the client's transports do with servers that fail, in this process."""

import base64
import concurrent.futures
import contextlib
import http.server
import io
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import unittest.mock
import urllib.request

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import messages, transports
from waveunet_tf.export.serving.model_server import Server
from waveunet_tf.export.serving.transports import GrpcTransport, RestTransport
from waveunet_tf.networks import shapes

QUICK = {"first_wait_seconds": 0.01, "longest_wait_seconds": 0.02}
OTHER_LENGTHS = "have different shapes and padding is turned off.Set pad_variable"


@contextlib.contextmanager
def serving(*failures, seconds=0.0, credentials=None):
    """A gRPC server that fails as told, then answers; gives its port and the requests.

    Args:
        *failures: a code and a text for each request that fails.
        seconds: how long it takes.
        credentials: for TLS.
    """
    failures, requests = list(failures), []

    class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            requests.append(request)
            time.sleep(seconds)
            if failures:
                context.abort(*failures.pop(0))
            response = predict_pb2.PredictResponse()
            response.model_spec.version.value = 3
            response.outputs["config"].dtype = 7
            response.outputs["config"].string_val.append(b"{}")
            return response

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Servicer(), server
    )
    if credentials:
        port = server.add_secure_port("localhost:0", credentials)
    else:
        port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield port, requests
    finally:
        server.stop(None)


def test_a_request_is_sent_again_until_the_server_is_there():
    lost = (grpc.StatusCode.UNAVAILABLE, "gone")
    mixed = (grpc.StatusCode.FAILED_PRECONDITION, OTHER_LENGTHS)
    with serving(lost, mixed, lost) as (port, requests):
        transport = GrpcTransport(Server(f"localhost:{port}", **QUICK))
        assert transport.describe() == "{}"
        assert len(requests) == 4
        # From now on it is the version that has answered.
        transport.describe()
        assert not requests[3].model_spec.HasField("version")
        assert requests[4].model_spec.version.value == 3


def test_patience_ends():
    lost = (grpc.StatusCode.UNAVAILABLE, "gone")
    with serving(*[lost] * 9) as (port, requests):
        transport = GrpcTransport(Server(f"localhost:{port}", retries=2, **QUICK))
        with pytest.raises(ConnectionError, match="not available in 3 tries: gone"):
            transport.describe()
        assert len(requests) == 3


@pytest.mark.parametrize(
    "code, kind",
    [
        (grpc.StatusCode.INVALID_ARGUMENT, InputError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ConnectionError),
    ],
)
def test_what_is_refused_is_not_sent_again(code, kind):
    with serving((code, "must be so\n\t [[{{node Assert}}]]")) as (port, requests):
        transport = GrpcTransport(Server(f"localhost:{port}", **QUICK))
        with pytest.raises(kind, match=rf"localhost:\d+: {code.name}: must be so$"):
            transport.describe()
        assert len(requests) == 1


def test_a_late_answer_is_an_error():
    with serving(seconds=0.5) as (port, _):
        transport = GrpcTransport(Server(f"localhost:{port}", deadline_seconds=0.1))
        with pytest.raises(ConnectionError, match="DEADLINE_EXCEEDED"):
            transport.describe()


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate for localhost, and its key: PEM files."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl to make a certificate")
    key, pem = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj".split(),
            *("/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", pem),
        ],
        check=True,
        capture_output=True,
    )
    return pem, key


def test_grpc_goes_through_tls(certificate):
    pem, key = certificate
    pair = (key.read_bytes(), pem.read_bytes())
    with serving(credentials=grpc.ssl_server_credentials([pair])) as (port, _):
        address = f"localhost:{port}"
        trusting = Server(address, ca_file=str(pem), retries=0)
        assert GrpcTransport(trusting).describe() == "{}"
        with pytest.raises(ConnectionError, match="not available in 1 tries"):
            GrpcTransport(Server(address, retries=0)).describe()


@contextlib.contextmanager
def rest_serving(*answers, certificate=None):
    """A REST server that gives the answers, one after the other.

    Args:
        *answers: A status, a body or its parts, and headers. A status of None closes
            the connection.
        certificate: Certificate and key, for TLS.
    """
    answers = list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body, *headers = answers.pop(0)
            if status is None:
                return self.connection.close()
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            for part in [body] if isinstance(body, bytes) else body:
                self.wfile.write(part)
                self.wfile.flush()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("localhost", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


ANSWER = (200, b'{"outputs": ["{}"]}')
LENGTH = ("Content-Length", "999")  # of a body that is cut off


def test_rest_requests_are_sent_again_until_the_server_is_there():
    lost = (503, b'{"error": "gone"}')
    # Of a proxy whose server is gone, or that lets few requests through at a time.
    proxy = [(502, b"<html>502 Bad Gateway"), (429, b"<html>429 Too Many Requests")]
    with rest_serving(lost, (None, b""), lost, *proxy, ANSWER) as address:
        assert RestTransport(Server(address, **QUICK)).describe() == "{}"


@pytest.mark.parametrize(
    "answer, kind, text",
    [
        ((400, b'{"error": "must be so"}'), InputError, "400: must be so"),
        ((404, b"<html>"), InputError, "404: <html>"),
        ((500, b""), ConnectionError, "500: "),
        ((200, b"<html>"), ConnectionError, "the answer is not that of a model server"),
        ((200, b"[]"), ConnectionError, "the answer is not that of a model server"),
        ((400, b'{"error": {"deep": []}}'), InputError, "400: {'deep': \\[\\]}"),
        ((400, b'{"error": "x', LENGTH), InputError, "400: Bad Request"),
        ((500, b"", LENGTH), ConnectionError, "500: Internal Server Error"),
        ((400, b"x" * 2**17), InputError, "400: Bad Request"),
    ],
)
def test_what_rest_refuses_is_told(answer, kind, text):
    with rest_serving(answer) as address:
        with pytest.raises(kind, match=text):
            RestTransport(Server(address, **QUICK)).describe()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status):
    """A server could else send a song to anybody."""
    with rest_serving(ANSWER) as elsewhere:
        moved = (status, b"", ("Location", f"http://{elsewhere}/v1/models/x:predict"))
        with rest_serving(moved) as address:
            with pytest.raises(InputError, match=f"{address}: {status}: "):
                RestTransport(Server(address, **QUICK)).describe()


def test_an_answer_that_is_cut_off_is_asked_for_again():
    with rest_serving((*ANSWER, LENGTH), ANSWER) as address:
        assert RestTransport(Server(address, **QUICK)).describe() == "{}"


def test_an_answer_that_drips_ends_with_the_requests_time():
    def drops():
        for _ in range(200):
            time.sleep(0.05)
            yield b" "

    with rest_serving((200, drops())) as address:
        server = Server(address, deadline_seconds=0.5, **QUICK)
        started = time.monotonic()
        with pytest.raises(ConnectionError, match=f"{address}: no answer in time"):
            RestTransport(server).describe()
        assert time.monotonic() - started < 5


def test_an_answer_without_end_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(transports, "_MOST_BYTES", 2**16)
    with rest_serving((200, (b" " * 4096 for _ in range(2**20)))) as address:
        with pytest.raises(ConnectionError, match="not that of a model server"):
            RestTransport(Server(address, **QUICK)).describe()


@pytest.mark.parametrize("transport", [GrpcTransport, RestTransport])
def test_a_file_without_certificates_is_refused(tmp_path, transport):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(InputError, match=r"ca\.pem: must hold certificates in PEM"):
        transport(Server("localhost:1", ca_file=str(tmp_path / "ca.pem")))


def test_an_answer_in_another_protocol_is_told():
    with socket.create_server(("localhost", 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            connection.recv(9999)
            connection.sendall(b"\x00\x01 no HTTP\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        address = f"localhost:{listener.getsockname()[1]}"
        with pytest.raises(
            ConnectionError, match="the answer is not that of a model server"
        ):
            RestTransport(Server(address, **QUICK)).describe()


def test_rest_goes_through_tls(certificate):
    with rest_serving(ANSWER, ANSWER, certificate=certificate) as address:
        trusting = Server(address, ca_file=str(certificate[0]), retries=0)
        assert RestTransport(trusting).describe() == "{}"
        with pytest.raises(ConnectionError):
            RestTransport(Server(address, retries=0)).describe()


def test_parts_of_songs_are_all_of_one_length(tiny_config):
    from waveunet_tf.export.serving.client import RemoteSeparator

    lengths = []
    context_frames = shapes.stream_plan(tiny_config).context_frames
    description = {
        **{"format_version": 1, "network": tiny_config.to_json()},
        **{"sample_rate_hz": 8000, "channels": 2, "sources": tiny_config.sources},
        **{"chunk_frames": 512, "stride_frames": 8, "context_frames": context_frames},
        "max_frames": 2**16,
    }

    class Transport:
        def describe(self):
            return json.dumps(description)

        def separate(self, audio):
            lengths.append(audio.shape[1])
            return {source: 0.25 * audio for source in tiny_config.sources}

    client = RemoteSeparator(Transport(), request_seconds=0.1)
    song = np.random.default_rng(0).normal(0, 0.1, (3001, 2)).astype(np.float32)
    stems = client.separate(song, 8000)
    np.testing.assert_array_equal(stems["accompaniment"], 0.25 * song)
    assert lengths == [800 + 2 * (-(-context_frames // 8) * 8)] * 4
    for name, value in {
        "sample_rate_hz": 8001,
        "channels": 1,
        "sources": ["vocals"],
        "stride_frames": 16,
        "context_frames": 0,
    }.items():
        own, description[name] = description[name], value
        with pytest.raises(InputError, match=f"must have its network's `{name}`"):
            RemoteSeparator(Transport())
        description[name] = own
    for seconds in (0, -1, float("nan"), "20", None):
        with pytest.raises(InputError, match="`request_seconds` must be"):
            RemoteSeparator(Transport(), request_seconds=seconds)
    # The song would be filled up with silence to that length.
    with pytest.raises(InputError, match="at most 65536 frames, .* Received: 1e\\+06"):
        RemoteSeparator(Transport(), request_seconds=1e6)


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "/v1/models/waveunet:predict"),
        ({"model_name": "songs", "version": 3}, "/v1/models/songs/versions/3:predict"),
        ({"version": 0}, "/v1/models/waveunet/versions/0:predict"),
        ({"label": "stable"}, "/v1/models/waveunet/labels/stable:predict"),
        (
            {"model_name": "my söngs?/#", "label": "a b"},
            "/v1/models/my%20s%C3%B6ngs%3F%2F%23/labels/a%20b:predict",
        ),
    ],
)
def test_rest_asks_for_the_version_or_label(options, path, monkeypatch):
    asked = []

    def answer(opener, request, **_):
        asked.append(request.full_url)
        response = unittest.mock.Mock(length=0)
        response.read1 = io.BytesIO(ANSWER[1]).read1
        return contextlib.nullcontext(response)

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", answer)
    RestTransport(Server("a:1", **options)).describe()
    assert asked == [f"http://a:1{path}"]


def test_stems_come_back_from_rest_as_they_went():
    stem = np.random.default_rng(0).normal(0, 1, (1, 9, 2)).astype(np.float32)
    content = messages.to_tensor(stem).SerializeToString()
    value = [{"b64": base64.b64encode(content).decode()}]
    body = json.dumps({"outputs": {"vocals_bytes": value, "rest_bytes": value}})
    with rest_serving((200, body.encode())) as address:
        stems = RestTransport(Server(address, **QUICK)).separate(stem)
    assert sorted(stems) == ["rest", "vocals"]
    np.testing.assert_array_equal(stems["vocals"], stem)


def test_no_proxy_is_asked_for_a_server_on_this_machine(monkeypatch):
    """Nobody listens at the proxy's port: a request to it would fail."""
    with socket.socket() as closed:
        closed.bind(("localhost", 0))
        proxy = f"http://localhost:{closed.getsockname()[1]}"
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, proxy)
            monkeypatch.setenv(name.upper(), proxy)
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        with serving() as (port, _):
            server = Server(f"localhost:{port}", retries=0, deadline_seconds=20)
            assert GrpcTransport(server).describe() == "{}"
        with rest_serving(ANSWER) as address:
            server = Server(address, retries=0, deadline_seconds=20)
            assert RestTransport(server).describe() == "{}"


def test_a_server_elsewhere_is_reached_through_the_proxy(monkeypatch):
    """The proxy is a server here, which answers in place of the one elsewhere."""
    monkeypatch.delenv("no_proxy", raising=False)
    with rest_serving(ANSWER) as address:
        monkeypatch.setenv("http_proxy", f"http://{address}")
        server = Server("model.example.org:80", retries=0, deadline_seconds=20)
        assert RestTransport(server).describe() == "{}"
