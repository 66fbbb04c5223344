"""From a plan to TFLite: in float32, in float16, with integer weights or throughout."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import keras
import numpy as np

from export import calibration, equalize, integer_layers, tflite
from waveunet_tf.separation import litert, litert_conversion, tflite_file
from waveunet_tf.system import cpus

# The kinds whose activations are integers need their ranges.
CALIBRATED = ("int8", "int16x8", "mixed")
KINDS = ("float32", "float16", "dynamic", *CALIBRATED)
# The mixed kind keeps this many of the highest rates in float32: the first and last
# layers, which cost most of the quality and have few weights.
_FLOAT_LEVELS = 3


def convert_plan(
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
            mixed: int8, but float32 at the song's own rate, half and a quarter of it
            (in windows also below on the way down, where there are as many frames).
        excerpts: of music, `(frames, channels)`, for all kinds with integers.

    Yields:
        A kind, and the content of its file.

    Raises:
        ConversionError: see litert_conversion.convert.
    """
    # The exponents were found on a trained network: peaks count more where activations
    # have fixed ranges of 8 bits.
    equalized = functools.cache(functools.partial(_equalized, plan, excerpts))
    ways: dict[str, Callable[[], tuple[tflite.Plan, bytes]]] = {
        "float32": lambda: (plan, _convert(plan)),
        "float16": lambda: (plan, _convert(plan, _to_float16)),
        "dynamic": lambda: _to_dynamic(plan.with_network(equalized(0.5))),
        "int8": lambda: _to_int8(plan, equalized(0.75), excerpts),
        "int16x8": lambda: _to_int16x8(plan, equalized(0.5), excerpts),
        "mixed": lambda: _to_int8(plan, equalized(0.75), excerpts, _FLOAT_LEVELS),
    }
    for kind in kinds:
        own, content = ways[kind]()
        yield kind, tflite.finish(content, own, kind)


def _to_float16(converter) -> None:
    import tensorflow as tf

    converter.target_spec.supported_types = [tf.float16]


def _to_dynamic(plan: tflite.Plan) -> tuple[tflite.Plan, bytes]:
    return plan, _convert(plan, lambda _: None)


def _to_int16x8(plan: tflite.Plan, network, excerpts) -> tuple[tflite.Plan, bytes]:
    import tensorflow as tf

    if plan.windows:
        own = plan.with_network(integer_layers.with_two_part_outputs(network))
    else:
        own = plan.with_network(network, integer_layers.TwoPartLayers)

    def configure(converter) -> None:
        converter.representative_dataset = _representative(own, excerpts)
        name = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, name)]

    return own, _convert(own, configure)


def _to_int8(
    plan: tflite.Plan, network, excerpts, float_levels: int = 0
) -> tuple[tflite.Plan, bytes]:
    from tensorflow.lite.python.convert import mlir_quantize

    layers = functools.partial(integer_layers.IntegerLayers, first_level=float_levels)
    own = plan.with_network(network, layers)

    def only_calibrate(converter) -> None:
        converter.representative_dataset = _representative(own, excerpts)
        converter._experimental_calibrate_only = True

    calibrated = _convert(own, only_calibrate)
    kept = _names_of_levels(calibrated, own, float_levels)
    with litert.quiet():
        return own, mlir_quantize(calibrated, denylisted_nodes=kept)


def _equalized(plan: tflite.Plan, excerpts, exponent: float):
    """A copy of the plan's network with channels of one range."""
    network = keras.models.clone_model(plan.network)
    network.set_weights(plan.network.get_weights())
    equalize.equalize(plan.config, network, excerpts, exponent)
    return network


def _representative(plan: tflite.Plan, excerpts) -> Callable[[], Iterator[dict]]:
    """What a plan's function is called with while it separates excerpts."""
    engine = litert.LiteRTEngine(
        tflite.finish(_convert(plan), plan, "float32"),
        chunk_frames=plan.metadata["chunk_frames"],
        threads=cpus.cores(),
    )

    def inputs() -> Iterator[dict[str, np.ndarray]]:
        for recorded in calibration.recorded_inputs(plan, engine, excerpts):
            yield {
                name: value.reshape(plan.program.input_shapes[name])
                for name, value in recorded.items()
            }

    return inputs


def _convert(plan: tflite.Plan, quantize: Callable | None = None) -> bytes:
    """Converts; in float32, unless `quantize` sets the converter otherwise."""
    import tensorflow as tf

    def configure(converter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        quantize(converter)

    return litert_conversion.convert(
        plan.signatures, plan.network.variables, configure if quantize else None
    )


def _names_of_levels(content: bytes, plan: tflite.Plan, levels: int) -> list[str]:
    """Results of operations that belong to the first levels.

    They have a level's frames, or half of them and its features twice: pairs.
    """
    if not levels:
        return []
    graph = tflite_file.parse("the converter's file", content).subgraphs[0]
    frames, filters = plan.metadata["chunk_frames"], plan.config.base_filters
    pairs = [(frames >> n, 2 * filters * n) for n in range(1, levels + 1)]
    tensors = [
        graph.tensors[number]
        for operator in graph.operators
        for number in operator.outputs
    ]
    return [
        tensor.name.decode()
        for tensor in tensors
        if tensor.shape[-2] >= frames >> (levels - 1)
        or tuple(tensor.shape[-2:]) in pairs
    ]
