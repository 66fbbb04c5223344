"""The stand-in's REST interface: predict, and the models' status."""

from __future__ import annotations

import base64
import http.server
import json
import re

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import model_pb2

from waveunet_tf.export.serving import stand_in

_ADDRESS = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
_STATUS = {"NOT_FOUND": 404, "UNAVAILABLE": 503, "INTERNAL": 500}


def server(models: stand_in.Models, port: int) -> http.server.ThreadingHTTPServer:
    """Makes an HTTP server of the models; `serve_forever` starts it.

    Args:
        models: The models.
        port: The port on localhost; 0 takes a free one.
    """

    class Handler(_Handler):
        models_ = models

    return http.server.ThreadingHTTPServer(("localhost", port), Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    models_: stand_in.Models

    def do_POST(self):  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(":predict", lambda spec: _predict(self.models_, spec, body))

    def do_GET(self):  # noqa: N802
        def status(spec) -> dict:
            return json_format.MessageToDict(
                stand_in.model_status(self.models_, spec),
                preserving_proto_field_name=True,
            )

        self._answer("", status)

    def _answer(self, verb: str, answer) -> None:
        match = re.fullmatch(_ADDRESS + verb, self.path)
        if not match:
            return self._send(404, {"error": f"Malformed request: {self.path}"})
        spec = model_pb2.ModelSpec(name=match[1], version_label=match[3] or "")
        if match[2]:
            spec.version.value = int(match[2])
        try:
            self._send(200, answer(spec))
        except stand_in.RequestError as error:
            status = _STATUS.get(error.code.name, 400)
            self._send(status, {"error": str(error)})

    def _send(self, status: int, content: dict) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Logs no requests."""


def _predict(models: stand_in.Models, spec, body: bytes) -> dict:
    """Answers a request in the columnar or the row format.

    Args:
        models: The models.
        spec: The ModelSpec of the address.
        body: The request's JSON.

    Raises:
        RequestError: The JSON is no request, or the model refuses the request.
    """
    (model, *_) = models.versions(spec)
    try:
        asked = json.loads(body)
        signature = asked.get("signature_name", "")
        specs = model.signature_def(signature).inputs
        rows = "instances" in asked
        columns = asked["instances" if rows else "inputs"]
        if rows:
            if not isinstance(columns[0], dict) or "b64" in columns[0]:
                columns = [{next(iter(specs)): value} for value in columns]
            columns = {name: [row[name] for row in columns] for name in specs}
        elif not isinstance(columns, dict) or "b64" in columns:
            columns = {next(iter(specs)): columns}
        inputs = {
            name: np.array(
                _decoded(columns[name]), tf.as_dtype(spec.dtype).as_numpy_dtype
            )
            for name, spec in specs.items()
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        text = f"the body must be the JSON of a request: {error!r}"
        raise stand_in.RequestError(grpc.StatusCode.INVALID_ARGUMENT, text) from error
    outputs = {
        name: _encoded(array, name)
        for name, array in model.run(signature, inputs).items()
    }
    if rows:
        first, *others = outputs.values()
        predictions = first
        if others:
            names, columns = list(outputs), list(outputs.values())
            predictions = [dict(zip(names, row)) for row in zip(*columns)]
        return {"predictions": predictions}
    return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}


def _decoded(value):
    """Returns a JSON value with its base64 objects decoded."""
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"], validate=True)
    return value


def _encoded(array, name: str):
    """Returns an output as JSON; bytes are base64 where its name ends in _bytes."""
    if isinstance(array, np.ndarray) and array.dtype != object:
        return array.tolist()
    if isinstance(array, np.ndarray):
        return [_encoded(item, name) for item in array]
    if isinstance(array, bytes) and name.endswith("_bytes"):
        return {"b64": base64.b64encode(array).decode()}
    return array.decode(errors="replace") if isinstance(array, bytes) else array.item()
