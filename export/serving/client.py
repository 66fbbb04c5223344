"""Separation on a model server, with all else as in a Separator here."""

from __future__ import annotations

import numpy as np

from waveunet_tf.configs.networks import NetworkConfig, network_config_from_json
from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import answers
from waveunet_tf.export.serving.contract import FINGERPRINT
from waveunet_tf.export.serving.transports import GrpcTransport, RestTransport
from waveunet_tf.separation import runners
from waveunet_tf.separation.separator import Separator
from waveunet_tf.system import arguments


class RemoteSeparator(Separator):
    """A Separator whose network runs on a model server.

    Decoding, resampling, the difference output and writing are done here.

    Attributes:
        description: What the model says about itself; see docs/serve.md.
    """

    def __init__(
        self,
        transport: GrpcTransport | RestTransport,
        *,
        stream: bool = False,
        request_seconds: float = 20.0,
    ):
        """Asks the model for its description.

        Args:
            transport: The way to the model.
            stream: Whether to send chunk by chunk and keep the stream's state here,
                rather than send parts of songs with their surroundings.
            request_seconds: The length of such a part.

        Raises:
            InputError: The server has no such model, or the model is of an unknown
                version or cannot stream.
            ConnectionError: The server does not answer.
        """
        self.description = answers.parse_description(transport.describe())
        config = network_config_from_json(self.description.get("network"))
        answers.check_description(self.description, config)
        arguments.flag("stream", stream)
        request_seconds = arguments.seconds("request_seconds", request_seconds)
        if stream:
            engine = _StreamEngine(transport, self.description, config)
        else:
            engine = _RequestEngine(
                transport, self.description, config, request_seconds
            )
        super().__init__(config, engine)
        self._stream = stream

    def runner(self) -> runners.Runner:
        """Starts a runner for a song that has the network's own rate and channels."""
        if self._stream:
            return super().runner()
        return _RequestRunner(self.config, self._engine)


class _RequestEngine:
    """Separates parts of a song on a server; implements `engine.Engine`.

    Attributes:
        stride_frames: What the network computes depends on where a request begins
            modulo this.
        context_frames: How much of the song is sent on each side of a part.
    """

    name = "server"

    def __init__(
        self,
        transport: GrpcTransport | RestTransport,
        description: dict,
        config: NetworkConfig,
        request_seconds: float,
    ):
        """Computes the lengths of requests.

        Raises:
            InputError: The model takes no requests of this length.
        """
        self.stride_frames = stride = description["stride_frames"]
        self.context_frames = -(-description["context_frames"] // stride) * stride
        request_frames = round(request_seconds * config.sample_rate_hz)
        self.chunk_frames = max(request_frames // stride, 1) * stride
        frames = self.chunk_frames + 2 * self.context_frames
        most = description.get("max_frames")
        if type(most) is int and frames > most:
            raise InputError(
                f"`request_seconds` must be such that a request has at most {most} "
                f"frames, for the server's model takes no more. Received: "
                f"{request_seconds:g}, which makes {frames} with what is around them"
            )
        self.input_shapes = {"mixture": (1, frames, config.channels)}
        self._wanted = dict.fromkeys(config.sources, (1, frames, config.channels))
        self.silence: dict[str, np.ndarray] = {}
        self._transport = transport

    def __call__(self, mixture: np.ndarray) -> dict[str, np.ndarray]:
        stems = self._transport.separate(mixture)
        answers.check_arrays(stems, self._wanted)
        part = slice(self.context_frames, self.context_frames + self.chunk_frames)
        return {name: stems[name][:, part] for name in self._wanted}


class _RequestRunner(runners.Runner):
    """Sends the parts of a song, each with as much around it as its sources depend on.

    All requests have one length, because a server puts such requests into one batch.
    """

    def __init__(self, config: NetworkConfig, engine: _RequestEngine):
        super().__init__(config, engine.context_frames, 0)
        self.hop_frames = engine.chunk_frames
        self.needed_frames = self.hop_frames + 2 * engine.context_frames
        self.stride_frames = engine.stride_frames
        # A frame depends on what the part between the multiples around it depends on.
        self.context_frames = engine.context_frames + self.stride_frames - 1
        self.latency_frames = self.hop_frames + engine.context_frames
        self._engine = engine

    def _run(self) -> dict[str, np.ndarray]:
        mixture = self._queue.take(self.hop_frames, self.needed_frames)
        stems = self._engine(mixture=mixture[None])
        return {name: stems[name][0] for name in self._sources}


class _StreamEngine:
    """Computes the stream's step on a server; implements `engine.Engine`."""

    name = "server"

    def __init__(
        self, transport: GrpcTransport, description: dict, config: NetworkConfig
    ):
        """Asks for the state in silence.

        Raises:
            InputError: The model cannot stream.
        """
        self.chunk_frames = description["chunk_frames"]
        if self.chunk_frames is None:
            raise InputError(
                "The server's model must be one that streams, with context and "
                "interpolation, or be asked for whole parts of songs"
            )
        # A vector, for a server that batches takes no scalars.
        state = transport.predict("initial_state", {"batch": np.ones(1, np.int32)})
        self._fingerprint = state.pop(FINGERPRINT, None)
        answers.check_state(state, self._fingerprint, config, self.chunk_frames)
        self.silence = {name: value[:, :1] for name, value in state.items()}
        self.input_shapes = {name: value.shape for name, value in state.items()}
        chunk = (1, self.chunk_frames, config.channels)
        self._wanted = {**dict.fromkeys(config.sources, chunk), **self.input_shapes}
        self._transport = transport

    def __call__(self, mixture: np.ndarray, **state: np.ndarray) -> dict:
        state[FINGERPRINT] = self._fingerprint
        outputs = self._transport.predict("stream", {"chunk": mixture, **state})
        answers.check_arrays(outputs, self._wanted)
        return outputs
