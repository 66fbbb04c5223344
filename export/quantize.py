"""From a plan to TFLite: in float32, in float16, with integer weights or throughout."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np

from export import calibration, tflite
from waveunet_tf import engines, litert

# The kinds whose activations are integers need their ranges.
CALIBRATED = ("int8", "int16x8", "mixed")
KINDS = ("float32", "float16", "dynamic", *CALIBRATED)
# The mixed kind keeps this many of the highest rates in float32: the first and last
# layers, which cost most of the quality and have few weights.
_FLOAT_LEVELS = 2


def convert(
    plan: tflite.Plan, kinds: list[str], excerpts: list[np.ndarray] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Converts a plan to files of several kinds.

    Outside all arrays are float32, whatever is inside. A state that an integer network
    gives is exact in its own scale, and its input and output have the same scale where
    it stays for more than a step (concatenations and slices do not change it); so no
    error grows from chunk to chunk.

    Args:
        plan: what to convert.
        kinds: of KINDS. float16: weights; dynamic: int8 weights, activations as
            measured at run time; int8: all; int16x8: int8 weights, int16 activations;
            mixed: int8, but float32 at the song's own rate and half of it (in windows
            also below that on the way down, where there are as many frames).
        excerpts: of music, `(frames, channels)`, for CALIBRATED.

    Yields:
        A kind, and the content of its file.

    Raises:
        ConversionError: see litert.convert.
    """
    import tensorflow as tf

    @functools.cache
    def float32() -> bytes:
        return _convert(plan)

    def representative() -> Iterator[dict[str, np.ndarray]]:
        content = tflite.finish(float32(), plan, "float32")
        engine = litert.LiteRTEngine(
            content,
            chunk_frames=plan.metadata["chunk_frames"],
            threads=engines.cores(),
        )
        for inputs in calibration.recorded_inputs(plan, engine, excerpts):
            yield {
                name: value.reshape(plan.program.input_shapes[name])
                for name, value in inputs.items()
            }

    def float16(converter) -> None:
        converter.target_spec.supported_types = [tf.float16]

    def int16x8(converter) -> None:
        converter.representative_dataset = representative
        name = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, name)]

    def only_calibrate(converter) -> None:
        converter.representative_dataset = representative
        converter._experimental_calibrate_only = True

    @functools.cache
    def calibrated() -> bytes:
        return _convert(plan, only_calibrate)

    def quantized(kept: list[str]) -> bytes:
        from tensorflow.lite.python.convert import mlir_quantize

        with litert.quiet():
            return mlir_quantize(calibrated(), denylisted_nodes=kept)

    ways: dict[str, Callable[[], bytes]] = {
        "float32": float32,
        "float16": lambda: _convert(plan, float16),
        "dynamic": lambda: _convert(plan, lambda _: None),
        "int8": lambda: quantized([]),
        "int16x8": lambda: _convert(plan, int16x8),
        "mixed": lambda: quantized(_names_at_high_rates(calibrated(), plan)),
    }
    for kind in kinds:
        yield kind, tflite.finish(ways[kind](), plan, kind)


def _convert(plan: tflite.Plan, quantize: Callable | None = None) -> bytes:
    """Converts; in float32, unless `quantize` sets the converter otherwise."""
    import tensorflow as tf

    def configure(converter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        quantize(converter)

    return litert.convert(
        plan.signatures, plan.network.variables, configure if quantize else None
    )


def _names_at_high_rates(content: bytes, plan: tflite.Plan) -> list[str]:
    """Results of operations that have at least half as many frames as a chunk."""
    graph = litert.parse("the converter's file", content).subgraphs[0]
    frames = plan.metadata["chunk_frames"] // 2 ** (_FLOAT_LEVELS - 1)
    return [
        graph.tensors[number].name.decode()
        for operator in graph.operators
        for number in operator.outputs
        if graph.tensors[number].shape[-2] >= frames
    ]
