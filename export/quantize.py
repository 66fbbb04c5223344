"""Converts a plan to TFLite: float32, float16, integer weights or all integers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import keras
import numpy as np

from waveunet_tf.export import calibration, equalize, integer_layers, tflite
from waveunet_tf.separation import litert, litert_conversion, tflite_file

# The mixed kind keeps this many of the highest rates in float32: the first and last
# layers, which cost most of the quality and have few weights.
_FLOAT_LEVELS = 3


def convert_plan(
    plan: tflite.Plan, kinds: list[str], excerpts: list[np.ndarray] | None = None
) -> Iterator[tuple[str, bytes]]:
    """Converts a plan to files of several kinds.

    Inputs and outputs are float32 in every kind. The state of an integer network is
    exact in its own scale. Where it stays for more than a step, its input and output
    have the same scale, since concatenations and slices do not change it. So no error
    grows from chunk to chunk.

    Args:
        plan: The plan to convert.
        kinds: Some of kinds.KINDS. float16: float16 weights; dynamic: int8 weights, and
            activations whose ranges are measured at run time; int8: int8 throughout;
            int16x8: int8 weights and int16 activations; mixed: int8, but float32 at the
            song's own rate, half and a quarter of it (in windows also lower on the way
            down, where there are as many frames).
        excerpts: Excerpts of music, `(frames, channels)`, for all kinds with integers.

    Yields:
        A kind, and the content of its file.

    Raises:
        ConversionError: TensorFlow cannot convert the network.
    """
    conversion = _Conversion(plan, excerpts)
    ways: dict[str, Callable[[], tuple[tflite.Plan, bytes]]] = {
        "float32": conversion.to_float32,
        "float16": conversion.to_float16,
        "dynamic": conversion.to_dynamic,
        "int8": conversion.to_int8,
        "int16x8": conversion.to_int16x8,
        "mixed": conversion.to_mixed,
    }
    for kind in kinds:
        own, content = ways[kind]()
        yield kind, tflite.finish(content, own, kind)


class _Conversion:
    """The conversions of a plan, with what several kinds share.

    Each method returns the plan that it converted, and the content of a file. The
    exponents were found on a trained network: peaks count more where activations have
    fixed ranges of 8 bits.
    """

    def __init__(self, plan: tflite.Plan, excerpts: list[np.ndarray] | None):
        self._plan, self._excerpts = plan, excerpts
        self._equalized = functools.cache(self._equalize)
        self._graph = functools.cache(self._make_graph)

    def to_float32(self) -> tuple[tflite.Plan, bytes]:
        return self._plan, _convert(self._plan)

    def to_float16(self) -> tuple[tflite.Plan, bytes]:
        import tensorflow as tf

        def configure(converter) -> None:
            converter.target_spec.supported_types = [tf.float16]

        return self._plan, _convert(self._plan, configure)

    def to_dynamic(self) -> tuple[tflite.Plan, bytes]:
        own = self._equalized(0.5)
        return own, _convert(own, lambda _: None)

    def to_int16x8(self) -> tuple[tflite.Plan, bytes]:
        import tensorflow as tf

        equalized = self._equalized(0.5)
        if self._plan.windows:
            copied = integer_layers.with_two_part_outputs(equalized.network)
            own = self._plan.with_network(copied)
        else:
            layers = integer_layers.TwoPartLayers
            own = self._plan.with_network(equalized.network, layers)

        def configure(converter) -> None:
            converter.representative_dataset = self._recorder(0.5)
            name = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
            converter.target_spec.supported_ops = [getattr(tf.lite.OpsSet, name)]

        return own, _convert(own, configure)

    def to_int8(self) -> tuple[tflite.Plan, bytes]:
        return self._to_int8(0)

    def to_mixed(self) -> tuple[tflite.Plan, bytes]:
        return self._to_int8(_FLOAT_LEVELS)

    def _to_int8(self, float_levels: int) -> tuple[tflite.Plan, bytes]:
        from tensorflow.lite.python.convert import mlir_quantize

        own = self._plan.with_network(
            self._equalized(0.75).network,
            functools.partial(integer_layers.IntegerLayers, first_level=float_levels),
        )

        def only_calibrate(converter) -> None:
            converter.representative_dataset = self._recorder(0.75)
            converter._experimental_calibrate_only = True

        calibrated = _convert(own, only_calibrate)
        kept = _names_of_levels(calibrated, own, float_levels)
        with litert.quiet():
            return own, mlir_quantize(calibrated, denylisted_nodes=kept)

    def _equalize(self, exponent: float) -> tflite.Plan:
        """Returns the plan with a copy of its network whose channels have one range."""
        network = keras.models.clone_model(self._plan.network)
        network.set_weights(self._plan.network.get_weights())
        equalize.equalize(self._plan.config, network, self._excerpts, exponent)
        return self._plan.with_network(network)

    def _make_graph(self, exponent: float) -> _Graph:
        return _Graph(self._equalized(exponent))

    def _recorder(self, exponent: float) -> Callable[[], Iterator[dict]]:
        """Returns a function that yields a network's inputs while it separates.

        The layers' form, which differs between kinds, does not change the inputs.
        """
        plan, graph = self._equalized(exponent), self._graph(exponent)

        def inputs() -> Iterator[dict[str, np.ndarray]]:
            for recorded in calibration.recorded_inputs(plan, graph, self._excerpts):
                yield {
                    name: value.reshape(plan.program.input_shapes[name])
                    for name, value in recorded.items()
                }

        return inputs


class _Graph:
    """An engine that computes a plan's program in TensorFlow, without a conversion."""

    def __init__(self, plan: tflite.Plan):
        import tensorflow as tf

        self.chunk_frames = plan.metadata["chunk_frames"]
        self.silence = plan.program.silence
        self.input_shapes = {
            name: (1, *shape[-2:]) for name, shape in plan.program.input_shapes.items()
        }
        self._call = tf.function(plan.program.function, autograph=False)

    def __call__(self, **inputs) -> dict:
        return self._call(**inputs)


def _convert(plan: tflite.Plan, quantize: Callable | None = None) -> bytes:
    """Converts in float32, unless `quantize` sets the converter otherwise."""
    import tensorflow as tf

    def configure(converter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        quantize(converter)

    return litert_conversion.convert(
        plan.signatures, plan.network.variables, configure if quantize else None
    )


def _names_of_levels(content: bytes, plan: tflite.Plan, levels: int) -> list[str]:
    """Returns the names of the results of operations of the first levels.

    Such a result has the frames of its level, or half of them and twice the features:
    pairs of frames.
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
