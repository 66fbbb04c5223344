"""The models of a site where there is no TensorFlow: the steps that a model carries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from waveunet_tf.checkpoints.checkpoint import DYNAMIC, FLOAT32, Checkpoint
from waveunet_tf.export import tflite
from waveunet_tf.networks import layer_names, shapes
from waveunet_tf.networks.program import Program
from waveunet_tf.separation import litert, tflite_file


def carried_models(
    checkpoint: Checkpoint, chunk_frames: int, kinds: Sequence[str]
) -> dict[str, bytes]:
    """Describes the steps of some kinds that a model carries, or else any of them.

    Args:
        checkpoint: The checkpoint.
        chunk_frames: The wished frames of a stream's chunk.
        kinds: The wished kinds.

    Returns:
        Kind → what `carried_model` gives, in the order of `kinds`.

    Raises:
        InputError: A step is not as it was packed.
        OSError: A step cannot be read.
    """
    wished = [kind for kind in kinds if kind in (DYNAMIC, FLOAT32)]
    for some in (wished, [FLOAT32]):
        models = {kind: carried_model(checkpoint, chunk_frames, kind) for kind in some}
        if found := {kind: model for kind, model in models.items() if model}:
            return found
    return {}


def carried_model(
    checkpoint: Checkpoint, chunk_frames: int, kind: str = FLOAT32
) -> bytes | None:
    """Describes a step that a model carries, so that the page can run it.

    Its delay lines are longer than the step's arrays. They wait outside of it, as in
    Python: `line_frames` in the metadata of a state tells the whole length. Its
    signature `silence` has one frame of each state. An exported file has neither.

    Args:
        checkpoint: The checkpoint.
        chunk_frames: The wished frames of a stream's chunk.
        kind: The step's kind, FLOAT32 or DYNAMIC.

    Returns:
        The content of a TFLite file; None where the model carries no such step.

    Raises:
        InputError: The step is not as it was packed.
        OSError: The step cannot be read.
    """
    config = checkpoint.config
    if not config.can_stream:
        return None
    frames = shapes.step_frames(config, chunk_frames)
    content = checkpoint.carried_step(frames, kind)
    if content is None:
        return None
    engine = litert.LiteRTEngine(content, chunk_frames=frames, threads=1)
    whole = shapes.stream_state_frames(config)
    states = []
    for array, line_frames in whole.items():
        name = layer_names.state(array)
        shape = [int(size) for size in engine.input_shapes[name]]
        states.append({"name": name, "shape": shape, "line_frames": line_frames})
    metadata = {
        "format_version": tflite_file.FORMAT_VERSION,
        "mode": "streaming",
        "network": config.to_json(),
        "sample_rate_hz": config.sample_rate_hz,
        "channels": config.channels,
        "sources": list(config.sources),
        "chunk_frames": frames,
        "latency_frames": shapes.stream_plan(config).latency_frames,
        "states": states,
    }
    no_states: dict[str, np.ndarray] = {}  # `silence` is there already
    plan = tflite.Plan(config, Program(dict, {}, no_states), None, None, metadata)
    return tflite.finish(content, plan, kind)
