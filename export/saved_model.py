"""Writes a checkpoint as a SavedModel of TensorFlow's own operations, for servers.

Signatures, all at the network's sample rate, full scale ±1 (docs/serve.md has more):

    serving_default  audio (batch, frames, channels) → source (batch, frames, channels)
    separate_wav     wav () or (batch,), 16-bit files → source, as many such files
    stream           chunk and state_… → source and state_…, of one step of the stream
    initial_state    batch (), or (batch,) of ones → state_…
    describe         → config: JSON
    rest_tensor, rest_wav, rest_describe: the same for REST, which returns bytes in
        outputs of names that end in _bytes, and knows no signature without inputs

Networks that cannot stream have neither `stream` nor `initial_state`.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from waveunet_tf.checkpoints.checkpoint import LICENCE, Checkpoint
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.export import graph_checks, graph_inputs, song_graph
from waveunet_tf.export.serving.contract import (
    DESCRIPTION_FILE,
    DESCRIPTION_VERSION,
    FINGERPRINT,
)
from waveunet_tf.networks import layer_names, shapes

# Frames of a chunk of the signature `stream`. Fewer frames wait less; with more frames
# less state travels for a second of audio.
STREAM_CHUNK_FRAMES = 16384
# The largest batch: each item has a state and the features of a chunk in memory.
MAX_BATCH = 64
# The most frames of a request, of all its songs together: 25 minutes at 44.1 kHz.
MAX_FRAMES = 2**26


def write_saved_model(
    checkpoint_dir: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    chunk_frames: int = STREAM_CHUNK_FRAMES,
) -> None:
    """Writes a checkpoint's SavedModel.

    Args:
        checkpoint_dir: The checkpoint.
        folder: The folder of the version, for a server `<model name>/<number>`.
        chunk_frames: The most frames that `stream` takes at once; at least 2^num_levels
            are used.

    Raises:
        InputError: The folder is no checkpoint, or its weights cannot be loaded.
        OSError: The folder cannot be written.
    """
    checkpoint = Checkpoint.open(checkpoint_dir)
    config = checkpoint.config
    network = checkpoint.load_network()
    functions = _Functions(config, network, chunk_frames)
    module = tf.Module()
    module.weights = [weight.value for weight in network.weights]
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(
        module, os.fspath(folder), signatures=functions.signatures(), options=options
    )
    _let_describe_pass_batching(pathlib.Path(folder))
    extra = pathlib.Path(folder) / DESCRIPTION_FILE
    extra.parent.mkdir()
    extra.write_text(json.dumps(functions.description, indent=1) + "\n", "utf-8")
    if (licence := checkpoint.licence()) is not None:
        extra.with_name(LICENCE).write_bytes(licence)


def _let_describe_pass_batching(folder: pathlib.Path) -> None:
    """Adds a second output, `format_version`, to the signature `describe`.

    A server that batches refuses requests without inputs, warm-up records included. It
    runs them only where they ask for a part of a signature's outputs. In Python the
    signature keeps its one output.
    """
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (meta_graph,) = saved.meta_graphs
    with tf.Graph().as_default() as graph:
        tensor = tf.constant(DESCRIPTION_VERSION, name="description_version")
    meta_graph.graph_def.node.extend(graph.as_graph_def().node)
    outputs = meta_graph.signature_def["describe"].outputs
    outputs["format_version"].CopyFrom(
        meta_graph_pb2.TensorInfo(
            name=tensor.name,
            dtype=tensor.dtype.as_datatype_enum,
            tensor_shape=tensor.shape.as_proto(),
        )
    )
    path.write_bytes(saved.SerializeToString())
    # It is the fingerprint of the file before the change.
    (folder / "fingerprint.pb").unlink(missing_ok=True)


class _Functions:
    """The functions that the signatures compute.

    Attributes:
        description: The values that the signature `describe` returns as JSON.
    """

    def __init__(self, config: NetworkConfig, network: keras.Model, chunk_frames: int):
        self._config = config
        self._song = song_graph.build(config, network)
        # It is traced once for all signatures.
        self._separate_song = tf.function(
            self._song.separate,
            autograph=False,
            input_signature=[tf.TensorSpec((None, None, None), tf.float32)],
        )
        self._fingerprint = _fingerprint(config, network)
        self._chunk_frames = None
        if config.can_stream:
            self._chunk_frames = shapes.chunk_frames(config, chunk_frames)
        self.description = {
            "format_version": DESCRIPTION_VERSION,
            "network": config.to_json(),
            "sample_rate_hz": config.sample_rate_hz,
            "channels": config.channels,
            "sources": list(config.sources),
            "chunk_frames": self._chunk_frames,
            "latency_frames": self._song.lag_frames if self._chunk_frames else None,
            "context_frames": self._song.context_frames,
            "stride_frames": self._song.stride_frames,
            "max_batch": MAX_BATCH,
            "max_frames": MAX_FRAMES,
            "fingerprint": self._fingerprint,
        }

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Traces the functions; returns them by the signatures' names."""
        audio = tf.TensorSpec((None, None, None), tf.float32, "audio")
        strings = {
            name: tf.TensorSpec(None, tf.string, name)
            for name in ("wav", "wav_bytes", "tensor_bytes")
        }
        # Any rank is allowed, because a server that batches takes no scalars, but
        # vectors of ones.
        batch = tf.TensorSpec(None, tf.int32, "batch")
        requests = tf.TensorSpec((None,), tf.int32, "requests")
        concrete = {
            "serving_default": _concrete(self._separate, audio),
            "separate_wav": _concrete(self._separate_wav, strings["wav"]),
            "rest_wav": _concrete(self._rest_wav, strings["wav_bytes"]),
            "rest_tensor": _concrete(self._rest_tensor, strings["tensor_bytes"]),
            "describe": _concrete(self._describe),
            "rest_describe": _concrete(self._rest_describe, requests),
        }
        if self._chunk_frames:
            chunk_shape = (None, self._chunk_frames, self._config.channels)
            specs = [tf.TensorSpec(chunk_shape, tf.float32, "chunk")]
            for name, frames in self._song.state_frames.items():
                shape = (None, frames, self._song.silence[name].shape[-1])
                specs.append(tf.TensorSpec(shape, tf.float32, layer_names.state(name)))
            specs.append(tf.TensorSpec((None,), tf.int64, FINGERPRINT))
            concrete["stream"] = _concrete(self._stream, *specs)
            concrete["initial_state"] = _concrete(self._initial_state, batch)
        return concrete

    def _separate(self, audio):
        audio = _checked_audio(audio, "audio")
        return self._separate_song(audio)

    def _separate_wav(self, wav):
        rate_hz = self._config.sample_rate_hz

        def separate(content):
            audio = graph_inputs.checked_wav(content, "wav", rate_hz)
            audio = _checked_audio(audio[None], "wav")
            return {
                name: tf.audio.encode_wav(stem[0], rate_hz)
                for name, stem in self._separate_song(audio).items()
            }

        return self._map(separate, graph_inputs.checked_count(wav, "wav", MAX_BATCH))

    def _rest_wav(self, wav_bytes):
        return _named_bytes(self._separate_wav(wav_bytes))

    def _rest_tensor(self, tensor_bytes):
        def separate(content):
            audio = graph_inputs.checked_tensor(content, "tensor_bytes")
            audio = _checked_audio(audio, "tensor_bytes")
            return {
                name: tf.io.serialize_tensor(stem)
                for name, stem in self._separate_song(audio).items()
            }

        tensor_bytes = graph_inputs.checked_count(
            tensor_bytes, "tensor_bytes", MAX_BATCH
        )
        return _named_bytes(self._map(separate, tensor_bytes))

    def _map(self, separate, contents):
        """Separates one string, or several of any lengths one after the other."""
        separated = tf.map_fn(
            separate,
            tf.reshape(contents, [-1]),
            fn_output_signature={
                name: tf.TensorSpec((), tf.string) for name in self._config.sources
            },
            parallel_iterations=1,
        )
        return {
            name: tf.reshape(content, tf.shape(contents))
            for name, content in separated.items()
        }

    def _stream(self, chunk, **state):
        chunk = _checked_audio(chunk, "chunk", (self._config.channels,))
        frames = tf.shape(chunk)[1]
        rule = f"`chunk` must have {self._chunk_frames} frames"
        check = graph_checks.require(
            frames, (tf.equal(frames, self._chunk_frames), rule)
        )
        batch = tf.shape(chunk)[0]
        chunk = graph_checks.after([check], chunk)
        chunk.set_shape((None, self._chunk_frames, self._config.channels))
        fingerprint = graph_checks.checked_shape(
            state[FINGERPRINT], FINGERPRINT, [batch]
        )
        rule = (
            f"`{FINGERPRINT}` must be {self._fingerprint}: a stream must go on with "
            "the model that it began with"
        )
        ours = tf.reduce_all(tf.equal(fingerprint, self._fingerprint))
        checks = [graph_checks.require(fingerprint, (ours, rule))]
        before = {}
        for name, frames in self._song.state_frames.items():
            shape = [batch, frames, self._song.silence[name].shape[-1]]
            full_name = layer_names.state(name)
            array = graph_checks.checked_shape(state[full_name], full_name, shape)
            before[name] = graph_checks.after(checks, array)
        sources, after = self._song.step(chunk, before)
        return {
            **sources,
            **{layer_names.state(name): value for name, value in after.items()},
            FINGERPRINT: graph_checks.after(checks, fingerprint),
        }

    def _initial_state(self, batch):
        batch = tf.reduce_sum(batch)
        check = graph_checks.require(
            batch,
            (
                tf.logical_and(batch >= 1, batch <= MAX_BATCH),
                f"`batch` must be 1 to {MAX_BATCH}",
            ),
        )
        batch = graph_checks.after([check], batch)
        state = self._song.silent_state(batch)
        return {
            **{layer_names.state(name): value for name, value in state.items()},
            FINGERPRINT: tf.fill(batch[None], tf.constant(self._fingerprint, tf.int64)),
        }

    def _describe(self):
        return {"config": tf.constant(json.dumps(self.description))}

    def _rest_describe(self, requests):
        requests = graph_checks.of_any_shape(requests)
        requests = graph_inputs.checked_count(requests, "requests", MAX_BATCH)
        text = tf.constant(json.dumps(self.description))
        return {"config": tf.fill(tf.shape(requests), text)}


def _checked_audio(
    audio: tf.Tensor, name: str, channels: tuple[int, ...] = (1, 2)
) -> tf.Tensor:
    return graph_checks.checked_audio(audio, name, channels, MAX_BATCH, MAX_FRAMES)


def _concrete(function, *specs: tf.TensorSpec):
    """Traces a function of arrays by name for arrays of these shapes."""
    return tf.function(function, autograph=False).get_concrete_function(
        **{spec.name: spec for spec in specs}
    )


def _named_bytes(contents: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {f"{name}_bytes": content for name, content in contents.items()}


def _fingerprint(config: NetworkConfig, network: keras.Model) -> int:
    """Computes a number that identifies a network, from its config and weights."""
    hashed = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode())
    for weight in network.weights:
        hashed.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)))
    return int.from_bytes(hashed.digest()[:6], "big")  # JSON's numbers hold 53 bits
