"""The proxy of docs/serve.md, before a server that notes what reaches it."""

import concurrent.futures
import contextlib
import http.server
import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request

import grpc
import pytest

from tests.documents import blocks
from tests.project import ROOT
from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import messages
from waveunet_tf.export.serving.model_server import Server
from waveunet_tf.export.serving.transports import GrpcTransport, RestTransport

TOKEN = "3f1c"
PREDICT = "/tensorflow.serving.PredictionService/Predict"
RELOAD = "/tensorflow.serving.ModelService/HandleReloadConfigRequest"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class _Grpc(grpc.GenericRpcHandler):
    """Answers every call with a description, and notes its name."""

    def __init__(self, calls):
        self._calls = calls

    def service(self, details):
        self._calls.append(details.method)
        response = messages.PredictResponse()
        tensor = response.outputs["config"]
        tensor.dtype = 7
        tensor.string_val.append(b"{}")
        return grpc.unary_unary_rpc_method_handler(
            lambda *_: response.SerializeToString()
        )


@contextlib.contextmanager
def model_server():
    """A server of both protocols; gives its ports and the calls that reach it."""
    calls = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):  # noqa: N802
            calls.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"outputs": ["{}"]}).encode())

        def log_message(self, *_):
            pass

    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), [_Grpc(calls)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, rest.server_port, calls
    server.stop(None)
    rest.shutdown()
    rest.server_close()


def as_configured(folder, ports):
    """The document's configuration, with a test's places in place of its own."""
    page = (ROOT / "docs" / "serve.md").read_text("utf-8")
    (text,) = [each.text for each in blocks(page) if each.language == "nginx"]
    replacements = {
        "/etc/nginx/": f"{folder}/",
        "listen 8443": f"listen 127.0.0.1:{ports[0]}",
        "127.0.0.1:8500": f"127.0.0.1:{ports[1]}",
        "127.0.0.1:8501": f"127.0.0.1:{ports[2]}",
    }
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    places = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\n"
        f"error_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}{text}\n}}\n"
    )


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    """The proxy's address, its certificate, and the calls that it passes on."""
    for program in ("nginx", "openssl"):
        if not shutil.which(program):
            pytest.skip(f"needs {program}")
    folder = tmp_path_factory.mktemp("nginx")
    pem = folder / "waveunet.crt"
    subprocess.run(
        [
            *"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj".split(),
            *("/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", folder / "waveunet.key", "-out", pem),
        ],
        check=True,
        capture_output=True,
    )
    (folder / "waveunet_tokens.conf").write_text(f'"Bearer {TOKEN}" anna;\n')
    with model_server() as (grpc_port, rest_port, calls):
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(as_configured(folder, (port, grpc_port, rest_port)))
        errors = folder / "error.log"
        command = ["nginx", "-p", folder, "-c", config, "-e", errors]
        process = subprocess.Popen(command)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            assert process.poll() is None, errors.read_text()
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            time.sleep(0.05)
        try:
            yield f"localhost:{port}", pem, calls
        finally:
            process.terminate()
            process.wait(10)


def asked(proxy, tmp_path, token=TOKEN):
    """A server behind the proxy, as a client with this token names it."""
    address, pem, _ = proxy
    path = tmp_path / "token.txt"
    path.write_text(f"{token}\n")
    return Server(address, ca_file=str(pem), token_file=str(path), retries=0)


@pytest.mark.parametrize("transport", [GrpcTransport, RestTransport])
def test_a_client_with_a_token_reaches_the_model(proxy, tmp_path, transport):
    proxy[2].clear()
    assert transport(asked(proxy, tmp_path)).describe() == "{}"
    (call,) = proxy[2]
    assert call in (PREDICT, "/v1/models/waveunet:predict")


@pytest.mark.parametrize("transport", [GrpcTransport, RestTransport])
@pytest.mark.parametrize("token", ["other", None])
def test_nobody_else_does(proxy, tmp_path, transport, token):
    proxy[2].clear()
    server = asked(proxy, tmp_path, token or TOKEN)
    if token is None:
        server = Server(server.address, ca_file=server.ca_file, retries=0)
    with pytest.raises((InputError, ConnectionError), match="401|UNAUTHENTICATED"):
        transport(server).describe()
    assert proxy[2] == []


def test_nothing_but_predictions_is_passed_on(proxy):
    address, pem, calls = proxy
    calls.clear()
    credentials = grpc.ssl_channel_credentials(pem.read_bytes())
    with grpc.secure_channel(address, credentials) as channel:
        reload = channel.unary_unary(RELOAD)
        with pytest.raises(grpc.RpcError) as error:
            reload(b"", metadata=[("authorization", f"Bearer {TOKEN}")], timeout=10)
        assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED  # HTTP's 404
    for path in ("/", "/metrics", "/v1/models/a/b:predict", "/v1/models/x:classify"):
        assert status_of(proxy, path, b"{}") == 404
    assert calls == []


def test_a_request_is_bounded(proxy):
    assert status_of(proxy, "/v1/models/waveunet:predict", bytes(65 * 2**20)) == 413


def status_of(proxy, path, body):
    """The status with which the proxy answers somebody with a token."""
    address, pem, _ = proxy
    context = ssl.create_default_context(cafile=pem)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    request = urllib.request.Request(f"https://{address}{path}", body, headers)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(request, timeout=20) as response:
            return response.status
    except urllib.error.HTTPError as error:
        return error.code
