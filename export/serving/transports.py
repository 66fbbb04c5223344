"""Sends requests to a model server: gRPC or REST, with deadlines and retries."""

from __future__ import annotations

import base64
import dataclasses
import http.client
import ipaddress
import json
import pathlib
import random
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping

import grpc
import numpy as np
from absl import logging

from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import messages
from waveunet_tf.export.serving.answers import refusing_odd

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_BAD_REQUEST = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
)
# A server that batches says this of requests of several lengths; a later try may pass.
_OTHER_LENGTHS = "different shapes and padding is turned off"


@dataclasses.dataclass(frozen=True)
class Server:
    """A model on a server, and how long to wait for it.

    Attributes:
        address: The server's address, HOST:PORT.
        model_name: The model's name on the server.
        version: The model's version; by default the newest.
        label: The label of the version, in place of its number.
        ca_file: A PEM file of the certificates that vouch for the server's, for TLS; by
            default the connection is not encrypted.
        deadline_seconds: The longest time that a request may take, in seconds.
        retries: How often a request is sent again while the server is not available.
        first_wait_seconds: The wait before the first retry, in seconds; it doubles from
            one retry to the next.
        longest_wait_seconds: The longest wait before a retry, in seconds.
    """

    address: str
    model_name: str = "waveunet"
    version: int | None = None
    label: str | None = None
    ca_file: str | None = None
    deadline_seconds: float = 300.0
    retries: int = 8
    first_wait_seconds: float = 0.5
    longest_wait_seconds: float = 30.0

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine, to which no proxy leads."""
        host = self.address.rpartition(":")[0].strip("[]").rstrip(".").lower()
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def tls_context(self) -> ssl.SSLContext | None:
        """Returns the context of TLS, or None where `ca_file` is None.

        Raises:
            InputError: The file holds no certificates.
            OSError: The file cannot be read.
        """
        if self.ca_file is None:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except ssl.SSLError as error:
            raise InputError(
                f"{self.ca_file}: must hold certificates in PEM, but does not"
            ) from error

    def patiently(self, send: Callable[[], object]):
        """Sends a request, and sends it again while the server is not available.

        Args:
            send: Sends the request; raises Unavailable.

        Returns:
            What `send` returns.

        Raises:
            ConnectionError: The server was not available at the last try either.
        """
        for tried in range(self.retries + 1):
            try:
                return send()
            except Unavailable as error:
                if tried == self.retries:
                    raise ConnectionError(
                        f"{self.address}: not available in {tried + 1} tries: {error}"
                    ) from error
                longest = self.first_wait_seconds * 2**tried
                longest = min(longest, self.longest_wait_seconds)
                # Clients that failed together must not try again together.
                seconds = random.uniform(longest / 2, longest)
                logging.info(
                    "%s: not available (%s), trying again in %.1f s",
                    self.address,
                    error,
                    seconds,
                )
                time.sleep(seconds)


class Unavailable(Exception):
    """The server cannot answer now, but may later."""


class GrpcTransport:
    """Requests over gRPC, in messages of any size."""

    def __init__(self, server: Server):
        """Opens a channel, which connects with the first request.

        Args:
            server: The server.

        Raises:
            InputError: The server's `ca_file` holds no certificates.
            OSError: The server's `ca_file` cannot be read.
        """
        self._server = server
        self._version, self._label = server.version, server.label
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),  # by default 4 MB
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
            label=None if self._version else self._label,
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
            return self._predict(request, timeout=self._server.deadline_seconds)
        except grpc.RpcError as error:
            code, text = error.code(), _first_line(error.details())
            if code == grpc.StatusCode.UNAVAILABLE or _OTHER_LENGTHS in text:
                raise Unavailable(text) from error
            text = f"{self._server.address}: {code.name}: {text}"
            if code in _BAD_REQUEST:
                raise InputError(text) from error
            raise ConnectionError(text) from error


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
            InputError: The server's `ca_file` holds no certificates.
            OSError: The server's `ca_file` cannot be read.
        """
        self._server = server
        context = server.tls_context()
        handlers = [urllib.request.HTTPSHandler(context=context)]
        if server.is_loopback:
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)
        scheme = "https" if context else "http"
        self._url = f"{scheme}://{server.address}/v1/models/{server.model_name}"
        if server.version:
            self._url += f"/versions/{server.version}"
        elif server.label:
            self._url += f"/labels/{server.label}"

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
        address = self._server.address
        request = urllib.request.Request(
            f"{self._url}:predict", body, {"Content-Type": "application/json"}
        )
        try:
            with self._opener.open(
                request, timeout=self._server.deadline_seconds
            ) as response:
                return json.load(response)["outputs"]
        except urllib.error.HTTPError as error:
            text = _first_line(_error_text(error))
            if error.code == 503 or _OTHER_LENGTHS in text:
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


def _error_text(error: urllib.error.HTTPError) -> str:
    """Returns the text of an error that a server answers with."""
    content = error.read().decode(errors="replace")
    try:
        return str(json.loads(content)["error"])
    except (ValueError, LookupError, TypeError, RecursionError):
        return content or str(error.reason)


def _first_line(text: str | None) -> str:
    """Returns the first line of an error, without the place in the graph."""
    lines = (text or "").strip().splitlines()
    return lines[0][:500] if lines else "no reason given"
