"""Target: the client of a model server, asked by a hostile server on loopback.

A case is a folder `rest`, `grpc` or `stream` with the server's answers in their order;
the last is repeated. A gRPC answer that begins with `!` is an error: its code and text.
"""

import base64
import concurrent.futures
import functools
import json
import socketserver
import threading

import grpc
import numpy as np
from hypothesis import strategies as st

from tests.fuzz import edits, guard
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import client, contract, messages, transports
from waveunet_tf.networks import layer_names, shapes

_CONFIG = WaveUNetConfig(
    num_levels=2, base_filters=2, sample_rate_hz=8000, output_frames=64
)
_CHUNK, _CONTEXT = 64, shapes.stream_plan(_CONFIG).context_frames
_PART = 160  # of the song, in a request of _SECONDS
_SECONDS = _PART / 8000
_ASKED = _PART + 2 * (-(-_CONTEXT // 4) * 4)  # with its surroundings
_DESCRIPTION = {
    **{"format_version": contract.DESCRIPTION_VERSION, "network": _CONFIG.to_json()},
    **{"sample_rate_hz": 8000, "channels": 2, "sources": list(_CONFIG.sources)},
    **{"chunk_frames": _CHUNK, "latency_frames": _CHUNK, "context_frames": _CONTEXT},
    **{"stride_frames": 4, "max_batch": 8, "fingerprint": 7},
}


def _stems(frames):
    stem = np.full((1, frames, 2), 0.25, np.float32)
    return dict.fromkeys(_CONFIG.sources, stem)


def _state():
    frames = shapes.stream_state_frames(_CONFIG, _CHUNK)
    return {
        **{
            layer_names.state(name): np.zeros((1, count, 2), np.float32)
            for name, count in frames.items()
        },
        contract.FINGERPRINT: np.array([7]),
    }


def _response(arrays):
    """A gRPC answer."""
    response = messages.PredictResponse()
    response.model_spec.version.value = 3
    for name, array in arrays.items():
        response.outputs[name].CopyFrom(messages.to_tensor(array))
    return response


def _http(content, status="200 OK"):
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def _in_base64(tensor):
    return {"b64": base64.b64encode(tensor.SerializeToString()).decode()}


_ODD_HTTP = [b"", b"HTTP/1.1 200 OK\r\n\r\n", b"SSH-2.0\r\n", b"\0" * 99, b"HTTP/1.1 "]
_STATUSES = [
    "200 OK",
    "400 Bad",
    "404 None",
    "500 Bad",
    "503 Late",
    "302 Found",
    "99 x",
]


@st.composite
def _tensors(draw, array):
    """A Tensor of an array, of which one part may be wrong."""
    tensor = messages.to_tensor(array)
    kind = draw(
        st.sampled_from(["same", "type", "shape", "short", "fill", "nan", "none"])
    )
    if kind == "type":
        tensor.dtype = draw(st.sampled_from([0, 2, 3, 7, 9, 99]))
    elif kind == "shape":
        sizes = st.sampled_from([-1, 0, 1, 2, 3, 64, 200, 2**20, 2**40, 2**62])
        del tensor.tensor_shape.dim[:]
        for size in draw(st.lists(sizes, max_size=4)):
            tensor.tensor_shape.dim.add(size=size)
    elif kind == "short":
        tensor.tensor_content = tensor.tensor_content[: draw(st.integers(0, 99))]
    elif kind == "fill":
        tensor = messages.to_tensor(array[:1, :1, :1].ravel(), array.shape)
        for dim in tensor.tensor_shape.dim[1:2]:
            dim.size = draw(st.sampled_from([1, 64, 200, 2**31, 2**50]))
    elif kind == "nan":
        odd = draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e38]))
        tensor = messages.to_tensor(np.full_like(array, odd))
    return None if kind == "none" else tensor


@st.composite
def _rest(draw):
    values = [{"outputs": [json.dumps(_DESCRIPTION)]}]
    if draw(st.booleans()):
        text = draw(edits.spoiled_json([_DESCRIPTION])).decode(errors="replace")
        values = [{"outputs": [text]}]
    tensors = {name: draw(_tensors(s)) for name, s in _stems(_ASKED).items()}
    outputs = {
        f"{n}_bytes": [_in_base64(t)] for n, t in tensors.items() if t is not None
    }
    values.append({"outputs": outputs})
    answers = [_http(json.dumps(value).encode()) for value in values]
    number = draw(st.integers(0, 5))
    if number < 2:
        status = draw(st.sampled_from(_STATUSES))
        content = draw(edits.spoiled_json([values[number], {"error": "no\nsuch"}]))
        answers[number] = _http(content, status)
    elif number == 2:
        answers[draw(st.integers(0, 1))] = draw(edits.spoiled([answers[0], *_ODD_HTTP]))
    return answers


@st.composite
def _grpc(draw, stream):
    text = json.dumps(_DESCRIPTION).encode()
    if draw(st.booleans()):
        text = draw(edits.spoiled_json([_DESCRIPTION]))
    answers = [_response({"config": np.array([text], object)})]
    rest = [_stems(_ASKED)]
    if stream:
        rest = [_state(), {**_state(), **_stems(_CHUNK)}]
        del rest[1][contract.FINGERPRINT]
    for arrays in rest:
        answers.append(_response(arrays))
        if draw(st.booleans()):
            name = draw(st.sampled_from(sorted(arrays)))
            del answers[-1].outputs[name]
            if (tensor := draw(_tensors(arrays[name]))) is not None:
                answers[-1].outputs[name].CopyFrom(tensor)
    answers = [answer.SerializeToString() for answer in answers]
    if draw(st.integers(0, 3)) == 0:
        number = draw(st.integers(0, len(answers) - 1))
        error = f"!{draw(st.integers(1, 16))} {draw(st.text(max_size=20))}"
        error = error.encode(errors="replace")
        answers[number] = draw(
            st.one_of(edits.spoiled([answers[number]]), st.just(error))
        )
    return answers


@st.composite
def cases(draw):
    kind = draw(st.sampled_from(["rest", "grpc", "stream"]))
    answers = draw(_rest() if kind == "rest" else _grpc(kind == "stream"))
    return {f"{kind}/{number}": answer for number, answer in enumerate(answers)}


class _Answers:
    """The answers of the case that is being tried."""

    def __init__(self):
        self._answers, self._given = [], 0

    def begin(self, answers):
        self._answers, self._given = answers, 0

    def next(self):
        answer = self._answers[min(self._given, len(self._answers) - 1)]
        self._given += 1
        return answer


class _Connection(socketserver.StreamRequestHandler):
    def handle(self):
        size = 0
        while (line := self.rfile.readline()).strip():
            if line.lower().startswith(b"content-length:"):
                size = int(line.partition(b":")[2])
        self.rfile.read(size)
        self.wfile.write(self.server.answers.next())


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, answers):
        self._answers = answers

    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _answer(self, _, context):
        answer = self._answers.next()
        if answer.startswith(b"!"):
            code, _, text = answer[1:].decode(errors="replace").partition(" ")
            (status,) = (s for s in grpc.StatusCode if s.value[0] == int(code or 1))
            context.abort(status, text)
        return answer


@functools.cache
def _servers():
    """The answers, and the ports of the servers that give them."""
    answers = _Answers()
    rest = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Connection)
    rest.answers, rest.daemon_threads = answers, True
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    other = grpc.server(concurrent.futures.ThreadPoolExecutor(2), [_Handler(answers)])
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    return answers, rest.server_address[1], port, other


def check(place):
    (folder,) = place.inputs.iterdir()
    answers, rest_port, port, _ = _servers()
    answers.begin([path.read_bytes() for path in sorted(folder.iterdir())])
    kind = folder.name
    server = transports.Server(
        f"127.0.0.1:{rest_port if kind == 'rest' else port}",
        deadline_seconds=5.0,
        retries=1,
        first_wait_seconds=0.001,
    )
    transport = (
        transports.RestTransport(server)
        if kind == "rest"
        else transports.GrpcTransport(server)
    )
    song = np.linspace(-1, 1, 300, dtype=np.float32)[:, None].repeat(2, 1)
    try:
        remote = client.RemoteSeparator(
            transport, stream=kind == "stream", request_seconds=_SECONDS
        )
        stems = remote.separate(song, 8000)
    except ConnectionError as error:
        raise InputError(str(error)) from error  # is told in a line, too
    for stem in stems.values():
        guard.check_audio(stem, 2)
        if len(stem) != len(song):
            raise guard.Breach(f"{len(stem)} frames of {len(song)}")
