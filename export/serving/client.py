"""Separation on a model server, with all else as in a Separator here."""

from __future__ import annotations

import json

import numpy as np

from export.serving.contract import DESCRIPTION_VERSION, FINGERPRINT
from export.serving.transports import GrpcTransport, RestTransport
from waveunet_tf.configs.networks import ARCHITECTURES, NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.separation import runners
from waveunet_tf.separation.separator import Separator


class RemoteSeparator(Separator):
    """A Separator whose network runs on a model server.

    Decoding, resampling, the difference output and writing are done here.

    Attributes:
        description: what the model tells of itself, see docs/serving.md.
    """

    engine = "server"

    def __init__(
        self,
        transport: GrpcTransport | RestTransport,
        *,
        stream: bool = False,
        request_seconds: float = 20.0,
    ):
        """Asks the model for its description.

        Args:
            transport: leads to the model.
            stream: whether to send chunk by chunk and keep the stream's state here,
                rather than parts of songs with their surroundings.
            request_seconds: how long such a part is.

        Raises:
            InputError: the server has no such model, or one that is unknown here or
                cannot stream.
            ConnectionError: it does not answer.
        """
        self._transport = transport
        self.description = json.loads(transport.describe())
        self.config = _config(self.description)
        self._request_frames = round(request_seconds * self.config.sample_rate_hz)
        self._engine = _StreamEngine(transport, self.description) if stream else None

    def runner(self) -> runners.Runner:
        if self._engine:
            return runners.ChunkRunner(self.config, self._engine)
        return _RequestRunner(
            self.config, self.description, self._transport, self._request_frames
        )


def _config(description: dict) -> NetworkConfig:
    """The network's config, of a model's description.

    Raises:
        InputError: it is of another version of this project.
    """
    if description.get("format_version") != DESCRIPTION_VERSION:
        raise InputError(
            f"The server's model must have the format version {DESCRIPTION_VERSION}. "
            f"Received: {description.get('format_version')}"
        )
    network = dict(description["network"])
    return ARCHITECTURES[network.pop("architecture")].from_dict(network)


class _RequestRunner(runners.Runner):
    """Parts of a song, each sent with as much around it as its sources depend on.

    All requests are of one length, for a server puts such requests into one batch.
    """

    def __init__(self, config, description: dict, transport, request_frames: int):
        stride = description["stride_frames"]
        self.hop_frames = max(request_frames // stride, 1) * stride
        # What the network computes depends on where a request begins modulo the stride.
        self.context_frames = -(-description["context_frames"] // stride) * stride
        super().__init__(config, self.context_frames, 0)
        self.needed_frames = self.hop_frames + 2 * self.context_frames
        self.latency_frames = self.hop_frames + self.context_frames
        self.stride_frames = stride
        self._transport = transport

    def _run(self) -> dict[str, np.ndarray]:
        mixture = self._queue.take(self.hop_frames, self.needed_frames)
        stems = self._transport.separate(mixture[None])
        kept = slice(self.context_frames, self.context_frames + self.hop_frames)
        return {name: stems[name][0, kept] for name in self._sources}


class _StreamEngine:
    """The stream's step on a server; an engine (see waveunet_tf/engines.py)."""

    def __init__(self, transport: GrpcTransport, description: dict):
        """Asks for the state in silence.

        Raises:
            InputError: the model cannot stream.
        """
        self.chunk_frames = description["chunk_frames"]
        if self.chunk_frames is None:
            raise InputError(
                "The server's model must be one that streams, with context and "
                "interpolation, or be asked for whole parts of songs"
            )
        # A vector, for a server that batches takes no scalars.
        state = transport.predict("initial_state", {"batch": np.ones(1, np.int32)})
        self._fingerprint = state.pop(FINGERPRINT)
        self.silence = {name: value[:, :1] for name, value in state.items()}
        self.input_shapes = {name: value.shape for name, value in state.items()}
        self._transport = transport

    def __call__(self, mixture: np.ndarray, **state: np.ndarray) -> dict:
        state[FINGERPRINT] = self._fingerprint
        return self._transport.predict("stream", {"chunk": mixture, **state})
