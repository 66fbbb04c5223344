"""Plans and finishes TFLite files of a checkpoint that describe how to run them."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import layer_names, shapes
from waveunet_tf.networks.program import Program, build_program
from waveunet_tf.separation import litert, runners, tflite_file

MODES = ("streaming", "window")
# The name of the metadata in the ZIP archive at a file's end.
ARCHIVE_NAME = f"{tflite_file.METADATA_NAME}.json"

_STREAMING = (
    "Call `initial_state` once. Then, for every chunk: call `separate` with `mixture`, "
    "the song's next chunk_frames frames at sample_rate_hz, full scale 1, and the "
    "states. It gives every source, latency_frames behind the mixture, and the states "
    "for the next call, by the same names. After the song feed zeros for at least "
    "latency_frames, and drop the first latency_frames of each source."
)
_WINDOW = (
    "Put context_frames of zeros before the song and enough after it. Call `separate` "
    "with `mixture`, input_frames of it, from every multiple of hop_frames on; the "
    "first hop_frames of each source are the song's next."
)


@dataclasses.dataclass(frozen=True)
class Plan:
    """The plan of a file.

    Attributes:
        config: The network's config.
        program: The function to convert, its inputs' shapes, and the silence of its
            states.
        network: The Keras network that the function runs.
        windows: The windows with which it covers a song; None for a stream.
        metadata: The file's metadata without `quantization`; see `plan`.
    """

    config: WaveUNetConfig
    program: Program
    network: Any
    windows: shapes.SongWindows | None
    metadata: dict[str, Any]

    def with_network(self, network, layers: Callable | None = None) -> Plan:
        """Returns the plan with another network of the config.

        Args:
            network: The Keras network.
            layers: A subclass of FusedLayers that computes the layers of a stream.
        """
        if self.windows:
            program = _window_program(network)
        else:
            program = _stream_program(
                self.config, network, self.metadata["chunk_frames"], layers
            )
        return dataclasses.replace(self, network=network, program=program)

    @property
    def signatures(self) -> dict:
        """The signatures that litert_conversion.convert takes."""
        return {litert.STEP: (self.program.function, self.program.input_shapes)}

    def runner(self, engine) -> runners.Runner:
        """Starts a runner of an engine that computes the program."""
        return runners.start(self.config, engine, self.windows)


def plan(
    checkpoint_dir: str | os.PathLike, mode: str, chunk_frames: int = 32768
) -> Plan:
    """Plans the file of a checkpoint.

    The arrays of a stream are float32 `(1, 1, frames, features)`, as 2-D convolutions
    and the GPU delegate take them; those of a window are `(1, frames, features)`.

    The metadata has `mode`, `network`, `sample_rate_hz`, `channels`, `sources`,
    `chunk_frames` (of each source that a call returns), `quantization`, and `usage`,
    which says in words how to run the file. A stream adds `latency_frames` and
    `states`, their names and shapes; a window adds `input_frames`, `output_frames`,
    `context_frames` and `hop_frames`.

    Args:
        checkpoint_dir: The checkpoint.
        mode: One of MODES.
        chunk_frames: The frames of a stream's chunk, a multiple of 2^num_levels.

    Raises:
        InputError: The folder is no checkpoint, its weights cannot be loaded, the
            network has a spectrogram, or it cannot stream in such chunks.
    """
    checkpoint = Checkpoint.open(checkpoint_dir)
    config = checkpoint.config
    if config.has_spectrogram:
        raise InputError(
            f"{checkpoint_dir}: must be a network of waveforms, for TFLite has no "
            f"inverse Fourier transform, but is a {config.architecture}"
        )
    windows = None
    if mode == "window":
        windows = shapes.windows_of(config, shapes.window_frames(config))
        program, network, own = _window(checkpoint, windows)
    else:
        program, network, own = _stream(checkpoint, chunk_frames)
    metadata = {
        "format_version": tflite_file.FORMAT_VERSION,
        "mode": mode,
        "network": config.to_json(),
        "sample_rate_hz": config.sample_rate_hz,
        "channels": config.channels,
        "sources": list(config.sources),
        **own,
    }
    return Plan(config, program, network, windows, metadata)


def _stream(checkpoint: Checkpoint, chunk_frames: int) -> tuple:
    config = checkpoint.config
    stride = 2**config.num_levels
    if not config.can_stream:
        raise InputError(
            f"{checkpoint.directory}: a stream needs a network with `context` and "
            f"interpolation; --mode window takes this one. Received: "
            f"context={config.context}, upsampling={config.upsampling}"
        )
    if chunk_frames < 1 or chunk_frames % stride:
        raise InputError(
            f"`chunk_frames` must be a multiple of 2^num_levels = {stride}. "
            f"Received: {chunk_frames}"
        )
    network = checkpoint.load_network()
    program = _stream_program(config, network, chunk_frames)
    states = [
        {"name": name, "shape": list(program.input_shapes[name])}
        for name in program.silence
    ]
    own = {
        "chunk_frames": chunk_frames,
        "latency_frames": shapes.stream_plan(config).latency_frames,
        "states": states,
        "usage": _STREAMING,
    }
    return program, network, own


def _window(checkpoint: Checkpoint, windows: shapes.SongWindows) -> tuple:
    window, hop_frames, _ = windows
    network = checkpoint.load_network(window.input_frames, batch_size=1)
    own = {
        "chunk_frames": hop_frames,
        "input_frames": window.input_frames,
        "output_frames": window.output_frames,
        "context_frames": window.context_frames,
        "hop_frames": hop_frames,
        "states": [],
        "usage": _WINDOW,
    }
    return _window_program(network), network, own


def _stream_program(
    config: WaveUNetConfig, network, chunk_frames: int, layers: Callable | None = None
) -> Program:
    program = build_program(
        config, network, chunk_frames, whole_delays=True, layers=layers
    )
    shapes_4d = {name: (1, *shape) for name, shape in program.input_shapes.items()}
    return program._replace(input_shapes=shapes_4d)


def _window_program(network) -> Program:
    return Program(
        lambda mixture: network(mixture), {layer_names.MIXTURE: network.input_shape}, {}
    )


def finish(content: bytes, plan: Plan, quantization: str) -> bytes:
    """Adds the signature `initial_state` and the metadata to a converted file.

    The metadata is in the model, and again in a ZIP archive at the file's end, which
    `unzip -p` and java.util.zip read.

    Args:
        content: The content of a TFLite file of the plan's signatures.
        plan: The plan of the file.
        quantization: The kind of the file's numbers, of kinds.KINDS.

    Returns:
        The content of the finished file.
    """
    import flatbuffers

    _, schema = litert.runtime()
    model = tflite_file.parse("the converter's file", content)
    if plan.program.silence:
        _add_initial_state(model, schema, plan.program)
    text = json.dumps({**plan.metadata, "quantization": quantization})
    entry = schema.MetadataT()
    entry.name = tflite_file.METADATA_NAME
    entry.buffer = _add_buffer(model, schema, text.encode())
    model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    file = io.BytesIO(builder.Output())
    with zipfile.ZipFile(file, "a") as archive:
        # Of no time, so that one checkpoint gives one file.
        archive.writestr(zipfile.ZipInfo(ARCHIVE_NAME), text)
    return file.getvalue()


def _add_buffer(model, schema, content: bytes) -> int:
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _add_initial_state(model, schema, program: Program) -> None:
    """Adds a signature without inputs that returns the states before a song.

    It repeats one frame of silence. It is not converted, because the converter would
    store whole states, as constants of 26 MB, and quantise them.
    """
    code = schema.OperatorCodeT()
    code.builtinCode = schema.BuiltinOperator.RESIZE_NEAREST_NEIGHBOR
    code.deprecatedBuiltinCode = code.builtinCode
    code.version = 1
    model.operatorCodes.append(code)
    graph = schema.SubGraphT()
    graph.name = litert.INITIAL_STATE
    graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []

    def add_tensor(name: str, shape, kind, content: bytes = b"") -> int:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, np.array(shape, np.int32), kind
        tensor.buffer = _add_buffer(model, schema, content) if content else 0
        graph.tensors.append(tensor)
        return len(graph.tensors) - 1

    signature = schema.SignatureDefT()
    signature.signatureKey = litert.INITIAL_STATE
    signature.subgraphIndex = len(model.subgraphs)
    signature.inputs, signature.outputs = [], []
    for name, silence in program.silence.items():
        shape = program.input_shapes[name]
        sizes = np.array(shape[1:3], np.int32)
        repeat = schema.OperatorT()
        repeat.opcodeIndex = len(model.operatorCodes) - 1
        repeat.builtinOptionsType = schema.BuiltinOptions.ResizeNearestNeighborOptions
        repeat.builtinOptions = schema.ResizeNearestNeighborOptionsT()
        repeat.inputs = [
            add_tensor(
                f"{name}_silence",
                (1, *silence.shape),
                schema.TensorType.FLOAT32,
                silence.tobytes(),
            ),
            add_tensor(f"{name}_sizes", (2,), schema.TensorType.INT32, sizes.tobytes()),
        ]
        output = add_tensor(name, shape, schema.TensorType.FLOAT32)
        repeat.outputs = [output]
        graph.operators.append(repeat)
        graph.outputs.append(output)
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name, output
        signature.outputs.append(entry)
    model.subgraphs.append(graph)
    model.signatureDefs.append(signature)
