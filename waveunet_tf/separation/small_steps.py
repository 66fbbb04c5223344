"""Makes a converted step smaller: weights in float16, or in int8.

The converter could do so, too, but for all weights alike. Some of a step's weights are
sums of the network's, which float16 does not hold, and the layers at a song's own rate
lose most in int8.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from waveunet_tf.separation import litert, tflite_file

# What LiteRT has since it takes float16 here, and int8 weights of a scale a filter.
_DEQUANTIZE_VERSION, _CONVOLUTION_VERSION = 3, 5


def with_half_weights(content: bytes) -> bytes:
    """Stores convolutions in float16 where that changes no weight.

    LiteRT makes float32 of them as it loads the step, so that outputs are the same bit
    for bit. Layers that float16 would round stay as they are.

    Args:
        content: The content of a step's TFLite file.
    """
    step = _Step(content)
    for graph, operators in step.convolutions():
        halved: set[int] = set()
        for operator in operators:
            # XNNPACK, which computes here, takes both in float16 or neither.
            numbers = [int(number) for number in operator.inputs[1:3]]
            if all(step.is_half(graph.tensors[number]) for number in numbers):
                halved.update(numbers)
        step.halve(graph, sorted(halved))
    return step.pack()


def with_byte_weights(content: bytes, float_frames: int) -> bytes:
    """Stores convolutions in int8, with a scale for each filter.

    LiteRT then rounds their inputs to 8 bits, too, whose range it measures as it runs.

    Args:
        content: The content of a step's TFLite file.
        float_frames: Convolutions that give as many frames, or more, stay as they are.
    """
    step = _Step(content)
    for graph, operators in step.convolutions():
        for operator in operators:
            if graph.tensors[operator.outputs[0]].shape[-2] < float_frames:
                step.round_to_bytes(graph.tensors[operator.inputs[1]])
    return step.pack()


class _Step:
    """A TFLite file, unpacked to be changed."""

    def __init__(self, content: bytes):
        _, self._schema = litert.runtime()
        self._model = tflite_file.parse("the step", content)
        self._bytes = len(content)

    def convolutions(self) -> list[tuple[Any, list]]:
        """Returns each graph with its convolutions."""
        kind = self._schema.BuiltinOperator.CONV_2D
        codes = self._model.operatorCodes
        return [
            (
                graph,
                [
                    operator
                    for operator in graph.operators
                    if codes[operator.opcodeIndex].builtinCode == kind
                ],
            )
            for graph in self._model.subgraphs
        ]

    def is_half(self, tensor: Any) -> bool:
        """Says whether a tensor has constants of float32 that float16 holds."""
        if tensor.type != self._schema.TensorType.FLOAT32:
            return False
        values = self._values(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        return bool(values.size) and np.array_equal(half, values)

    def halve(self, graph: Any, numbers: list[int]) -> None:
        """Puts constants in float16, and operators that make float32 of them."""
        if not numbers:
            return
        code = self._schema.OperatorCodeT()
        code.builtinCode = self._schema.BuiltinOperator.DEQUANTIZE
        code.deprecatedBuiltinCode = code.builtinCode
        code.version = _DEQUANTIZE_VERSION
        self._model.operatorCodes.append(code)
        made = []
        for number in numbers:
            tensor, half = graph.tensors[number], self._schema.TensorT()
            half.name = tensor.name + b"/float16"
            half.shape, half.hasRank = tensor.shape, True
            half.type = self._schema.TensorType.FLOAT16
            half.buffer = self._add_buffer(self._values(tensor).astype(np.float16))
            tensor.buffer = 0
            graph.tensors.append(half)
            operator = self._schema.OperatorT()
            operator.opcodeIndex = len(self._model.operatorCodes) - 1
            operator.inputs, operator.outputs = [len(graph.tensors) - 1], [number]
            options = self._schema.BuiltinOptions.DequantizeOptions
            operator.builtinOptionsType = options
            operator.builtinOptions = self._schema.DequantizeOptionsT()
            made.append(operator)
        graph.operators = [*made, *graph.operators]

    def round_to_bytes(self, tensor: Any) -> None:
        """Rounds the weights of a convolution, `(filters, 1, taps, features)`."""
        if tensor.type != self._schema.TensorType.FLOAT32:
            return  # another convolution has the same weights
        weights = self._values(tensor).reshape(tensor.shape)
        largest = np.abs(weights).max(axis=(1, 2, 3))
        scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
        rounded = np.round(weights / scales[:, None, None, None]).astype(np.int8)
        tensor.buffer = self._add_buffer(rounded)
        tensor.type = self._schema.TensorType.INT8
        tensor.quantization = self._schema.QuantizationParametersT()
        tensor.quantization.scale = scales
        tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
        for code in self._model.operatorCodes:
            if code.builtinCode == self._schema.BuiltinOperator.CONV_2D:
                code.version = max(code.version, _CONVOLUTION_VERSION)

    def pack(self) -> bytes:
        """Returns the file, without the buffers that nothing uses any more."""
        import flatbuffers

        used = {entry.buffer for entry in self._model.metadata or []}
        for graph in self._model.subgraphs:
            used |= {tensor.buffer for tensor in graph.tensors}
        for number, buffer in enumerate(self._model.buffers):
            if number not in used:
                buffer.data = None
        builder = flatbuffers.Builder(self._bytes)
        builder.Finish(self._model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def _values(self, tensor: Any) -> np.ndarray:
        data = self._model.buffers[tensor.buffer].data
        return np.asarray([] if data is None else data, np.uint8).view(np.float32)

    def _add_buffer(self, values: np.ndarray) -> int:
        buffer = self._schema.BufferT()
        buffer.data = values.reshape(-1).view(np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1
