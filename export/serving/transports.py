"""Sends requests to a model server, over gRPC or REST."""

from __future__ import annotations

import base64
import http.client
import json
import pathlib
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import BinaryIO

import grpc
import numpy as np

from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import messages
from waveunet_tf.export.serving.answers import refusing_odd
from waveunet_tf.export.serving.model_server import Server, Unavailable

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_BAD_REQUEST = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
)
# The longest answer: three quarters of an hour of stereo in one request.
_MOST_BYTES = 2**30
_MOST_ERROR_BYTES = 2**16
# The status of a server, or of a proxy before it, that cannot answer now; gRPC takes
# them so, too.
_UNAVAILABLE = (429, 502, 503)
# A server that batches says this of requests of several lengths; a later try may pass.
_OTHER_LENGTHS = "different shapes and padding is turned off"


class GrpcTransport:
    """Requests over gRPC, in messages of any size."""

    def __init__(self, server: Server):
        """Opens a channel, which connects with the first request.

        Args:
            server: The server.

        Raises:
            InputError: The server's `ca_file` holds no certificates, or its
                `token_file` no token.
            OSError: One of these files cannot be read.
        """
        self._server = server
        self._version, self._label = server.version, server.label
        authorization = server.authorization()
        self._metadata = authorization and [("authorization", authorization)]
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", _MOST_BYTES),  # by default 4 MB
            # `patiently` waits longer than that.
            ("grpc.max_reconnect_backoff_ms", 2000),
            ("grpc.enable_http_proxy", 0 if server.is_loopback else 1),
        ]
        if server.ca_file is None:
            channel = grpc.insecure_channel(server.address, options)
        else:
            server.tls_context()  # gRPC ignores a file without certificates
            certificates = pathlib.Path(server.ca_file).read_bytes()
            credentials = grpc.ssl_channel_credentials(certificates)
            channel = grpc.secure_channel(server.address, credentials, options)
        self._predict = channel.unary_unary(
            _PREDICT,
            request_serializer=messages.PredictRequest.SerializeToString,
            response_deserializer=messages.PredictResponse.FromString,
        )

    def describe(self) -> str:
        """Returns the model's description as JSON.

        Later requests go to the version that answered.

        Raises:
            InputError: The server refuses the request.
            ConnectionError: The server does not answer, or not in time.
        """
        outputs = self.predict("describe", {}, outputs=("config",))
        with refusing_odd(self._server.address):
            return outputs["config"].item().decode()

    def separate(self, audio: np.ndarray) -> dict[str, np.ndarray]:
        """Separates audio.

        Args:
            audio: `(batch, frames, channels)`, at the network's rate.

        Returns:
            Source → `(batch, frames, channels)`.

        Raises:
            InputError: The server refuses the request.
            ConnectionError: The server does not answer, or not in time.
        """
        return self.predict("serving_default", {"audio": audio})

    def predict(
        self,
        signature: str,
        inputs: Mapping[str, np.ndarray],
        *,
        outputs: tuple[str, ...] = (),
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: The signature's name.
            inputs: Arrays by name, of the signature's shapes.
            outputs: The names of the outputs to return; by default all.

        Returns:
            Arrays by name, of the signature's shapes.

        Raises:
            InputError: The server refuses the request.
            ConnectionError: The server does not answer, or not in time.
        """
        request = messages.predict_request(
            self._server.model_name,
            signature,
            inputs,
            version=self._version,
            label=self._label if self._version is None else None,
            outputs=outputs,
        )
        response = self._server.patiently(lambda: self._send(request))
        # A song must not begin with one version and end with the next.
        if response.model_spec.HasField("version"):
            self._version = response.model_spec.version.value
        with refusing_odd(self._server.address):
            return {
                name: messages.to_array(tensor)
                for name, tensor in response.outputs.items()
            }

    def _send(self, request):
        try:
            return self._predict(
                request,
                timeout=self._server.deadline_seconds,
                metadata=self._metadata,
            )
        except grpc.RpcError as error:
            code, text = error.code(), _first_line(error.details())
            if code == grpc.StatusCode.UNAVAILABLE or _OTHER_LENGTHS in text:
                raise Unavailable(text) from error
            text = f"{self._server.address}: {code.name}: {text}"
            if code in _BAD_REQUEST:
                raise InputError(text) from error
            raise ConnectionError(text) from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows nobody: a model server does not send its clients elsewhere."""

    def redirect_request(self, *_):
        """Returns no request, so that the answer is an error."""


class RestTransport:
    """Requests over REST: tensors as bytes in base64.

    Both transports go through the proxy that `http_proxy`, `https_proxy` and `no_proxy`
    name, but never to a server on this machine.
    """

    def __init__(self, server: Server):
        """Connects with the first request.

        Args:
            server: The server.

        Raises:
            InputError: The server's `ca_file` holds no certificates, or its
                `token_file` no token.
            OSError: One of these files cannot be read.
        """
        self._server = server
        context = server.tls_context()
        handlers = [urllib.request.HTTPSHandler(context=context), _NoRedirects()]
        if server.is_loopback:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)
        self._headers = {"Content-Type": "application/json"}
        if authorization := server.authorization():
            self._headers["Authorization"] = authorization
        scheme = "https" if context else "http"
        self._url = (
            f"{scheme}://{server.address}/v1/models/{_quoted(server.model_name)}"
        )
        if server.version is not None:
            self._url += f"/versions/{server.version}"
        elif server.label:
            self._url += f"/labels/{_quoted(server.label)}"

    def describe(self) -> str:
        """Returns the model's description as JSON.

        Raises:
            InputError: The server refuses the request.
            ConnectionError: The server does not answer, or not in time.
        """
        outputs = self._predict("rest_describe", "requests", [1])
        with refusing_odd(self._server.address):
            return outputs[0]

    def separate(self, audio: np.ndarray) -> dict[str, np.ndarray]:
        """Separates audio.

        Args:
            audio: `(batch, frames, channels)`, at the network's rate.

        Returns:
            Source → `(batch, frames, channels)`.

        Raises:
            InputError: The server refuses the request.
            ConnectionError: The server does not answer, or not in time.
        """
        content = messages.to_tensor(audio).SerializeToString()
        encoded = {"b64": base64.b64encode(content).decode()}
        outputs = self._predict("rest_tensor", "tensor_bytes", [encoded])
        with refusing_odd(self._server.address):
            return {
                name.removesuffix("_bytes"): messages.to_array(
                    messages.parse_tensor(base64.b64decode(value[0]["b64"]))
                )
                for name, value in outputs.items()
            }

    def _predict(self, signature: str, name: str, value: list):
        """Returns the output of a signature, or a dict of its outputs if several."""
        body = json.dumps({"signature_name": signature, "inputs": {name: value}})
        return self._server.patiently(lambda: self._send(body.encode()))

    def _send(self, body: bytes):
        address, seconds = self._server.address, self._server.deadline_seconds
        request = urllib.request.Request(f"{self._url}:predict", body, self._headers)
        until = time.monotonic() + seconds
        try:
            with self._opener.open(request, timeout=seconds) as response:
                content = _read(response, _MOST_BYTES, until)
            return json.loads(content)["outputs"]
        except urllib.error.HTTPError as error:
            text = _first_line(_error_text(error, until))
            if error.code in _UNAVAILABLE or _OTHER_LENGTHS in text:
                raise Unavailable(text) from error
            text = f"{address}: {error.code}: {text}"
            if error.code < 500:
                raise InputError(text) from error
            raise ConnectionError(text) from error
        except TimeoutError as error:
            raise ConnectionError(f"{address}: no answer in time") from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if type(reason) is http.client.BadStatusLine:  # another protocol's
                text = f"{address}: the answer is not that of a model server"
                raise ConnectionError(text) from error
            if isinstance(reason, (ssl.SSLError, socket.timeout)):
                raise ConnectionError(f"{address}: {reason}") from error
            raise Unavailable(str(reason)) from error
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            text = f"{address}: the answer is not that of a model server"
            raise ConnectionError(text) from error


def _quoted(name: str) -> str:
    """Writes a name as a part of an address: no space or ? in it is the address's."""
    return urllib.parse.quote(name, safe="")


def _read(response: BinaryIO, most_bytes: int, until: float) -> bytes:
    """Reads an answer's body.

    Args:
        response: The answer.
        most_bytes: The most bytes that it may have.
        until: The end of the request's time, of time.monotonic.

    Raises:
        TimeoutError: The body comes too slowly.
        ValueError: It is too long.
        HTTPException: It is cut off.
    """
    parts, size = [], 0
    while part := response.read1(2**20):
        parts.append(part)
        size += len(part)
        if size > most_bytes:
            raise ValueError(f"an answer must have at most {most_bytes} bytes")
        if time.monotonic() > until:
            raise TimeoutError("the answer's end did not come in time")
    # http.client's `read1` takes a closed connection for the end of the body.
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)
    return b"".join(parts)


def _error_text(error: urllib.error.HTTPError, until: float) -> str:
    """Returns the text of an error that a server answers with."""
    try:
        content = _read(error.fp, _MOST_ERROR_BYTES, until).decode(errors="replace")
    except (OSError, ValueError, http.client.HTTPException):  # the status tells enough
        content = ""
    try:
        return str(json.loads(content)["error"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return content or str(error.reason)


def _first_line(text: str | None) -> str:
    """Returns the first line of an error, without the place in the graph."""
    lines = (text or "").strip().splitlines()
    return lines[0][:500] if lines else "no reason given"
