"""Describes a TFLite file: its metadata, operations, sizes and multiply-adds."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import re
from typing import Any

import numpy as np

from waveunet_tf.separation import litert, litert_conversion, tflite_file


@dataclasses.dataclass(frozen=True)
class FileDescription:
    """The description of an exported file.

    Attributes:
        metadata: The metadata that tflite.plan put into the file.
        signatures: Signature → `inputs` and `outputs` → array → its type and shape.
        operations: Operation → how often a call of `separate` has it.
        weight_bytes: Type → the bytes of the constants of that type.
        file_bytes: The file's size in bytes.
        state_bytes: The bytes of the states, which go into and out of each call.
        multiply_adds: The multiply-adds of the convolutions of a call of `separate`.
    """

    metadata: dict[str, Any]
    signatures: dict[str, dict[str, dict[str, str]]]
    operations: dict[str, int]
    weight_bytes: dict[str, int]
    file_bytes: int
    state_bytes: int
    multiply_adds: int

    @property
    def multiply_adds_per_second(self) -> float:
        """The multiply-adds for a second of audio at the network's rate."""
        calls = self.metadata["sample_rate_hz"] / self.metadata["chunk_frames"]
        return self.multiply_adds * calls


def describe_tflite_file(path: str | os.PathLike) -> FileDescription:
    """Describes a file.

    Args:
        path: The TFLite file.

    Raises:
        InputError: The file is no TFLite file, or not one that `waveunet export` wrote.
        OSError: The file cannot be read.
    """
    content = pathlib.Path(path).read_bytes()
    metadata = tflite_file.read_metadata(path, content)
    _, schema = litert.runtime()
    model = tflite_file.parse(path, content)
    with tflite_file.refusing_broken(path):
        return _described(model, metadata, len(content), schema)


def _described(model, metadata: dict, file_bytes: int, schema) -> FileDescription:
    types = _names(schema.TensorType)
    signatures = {}
    for signature in model.signatureDefs:
        tensors = model.subgraphs[signature.subgraphIndex].tensors
        signatures[signature.signatureKey.decode()] = {
            way: {
                entry.name.decode(): _shown(tensors[entry.tensorIndex], types)
                for entry in entries or []
            }
            for way, entries in (
                ("inputs", signature.inputs),
                ("outputs", signature.outputs),
            )
        }
    weight_bytes, counted = collections.Counter(), set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data) and tensor.buffer not in counted:
                counted.add(tensor.buffer)
                weight_bytes[types[tensor.type].lower()] += len(data)
    step = next(
        s for s in model.signatureDefs if s.signatureKey == litert.STEP.encode()
    )
    graph = model.subgraphs[step.subgraphIndex]
    return FileDescription(
        metadata=metadata,
        signatures=signatures,
        operations=_operations(model, graph, schema),
        weight_bytes=dict(weight_bytes),
        file_bytes=file_bytes,
        state_bytes=sum(4 * int(np.prod(s["shape"])) for s in metadata["states"]),
        multiply_adds=_multiply_adds(model, graph, schema),
    )


def _names(enumeration) -> dict[int, str]:
    return {
        value: name
        for name, value in vars(enumeration).items()
        if isinstance(value, int)
    }


def _shown(tensor, types: dict[int, str]) -> str:
    return f"{types[tensor.type].lower()} {'×'.join(map(str, tensor.shape))}"


def _builtin(model, operator) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)


def _operations(model, graph, schema) -> dict[str, int]:
    """Counts the operations by name; a custom one, such as Flex, has its own."""
    names = _names(schema.BuiltinOperator)
    counted = collections.Counter()
    for operator in graph.operators:
        code = _builtin(model, operator)
        name = names[code]
        if code == schema.BuiltinOperator.CUSTOM:
            name = model.operatorCodes[operator.opcodeIndex].customCode.decode()
        counted[name] += 1
    return dict(counted.most_common())


def _multiply_adds(model, graph, schema) -> int:
    """Counts multiply-adds: each place of a convolution's output needs its kernel."""
    total = 0
    known = schema.BuiltinOperator
    for operator in graph.operators:
        kernel = graph.tensors[operator.inputs[1]] if len(operator.inputs) > 1 else None
        output = graph.tensors[operator.outputs[0]]
        code = _builtin(model, operator)
        if code in (known.CONV_2D, known.DEPTHWISE_CONV_2D):
            places = np.prod(output.shape[:-1], dtype=np.int64)
            total += int(places * np.prod(kernel.shape, dtype=np.int64))
        elif code == known.TRANSPOSE_CONV:
            source = graph.tensors[operator.inputs[2]]
            places = np.prod(source.shape[:-1], dtype=np.int64)
            total += int(places * np.prod(kernel.shape, dtype=np.int64))
    return total


def gpu_incompatibilities(path: str | os.PathLike) -> list[str] | None:
    """Asks TensorFlow's analyzer what the GPU delegate cannot run.

    Only the step counts: `initial_state` has no input, and runs once, on the CPU.

    Args:
        path: The TFLite file.

    Returns:
        A line for each operation; [] where the delegate can run all of them; None where
        this TensorFlow's analyzer does not look, such as 2.21's.
    """
    found = _gpu_warnings(pathlib.Path(path).read_bytes())
    return found if found or _analyzer_looks() else None


def _gpu_warnings(content: bytes) -> list[str]:
    import tensorflow as tf

    text = io.StringIO()
    with contextlib.redirect_stdout(text), litert.quiet():
        tf.lite.experimental.Analyzer.analyze(
            model_content=content, gpu_compatibility=True
        )
    step = text.getvalue().partition("\nSubgraph#1 ")[0]
    found = re.findall(r"GPU COMPATIBILITY WARNING: (.*)", step)
    return list(dict.fromkeys(found))


def _analyzer_looks() -> bool:
    """Whether the analyzer warns of an operation that no GPU delegate has."""
    import tensorflow as tf

    def unique(numbers):
        return {"places": tf.unique(numbers).idx}

    content = litert_conversion.convert({"unique": (unique, {"numbers": (8,)})}, [])
    return bool(_gpu_warnings(content))


def format_file_description(description: FileDescription, gpu: list[str]) -> str:
    """Formats a description as text.

    Args:
        description: The description of a file.
        gpu: The lines of `gpu_incompatibilities`, or another remark in their place.
    """
    metadata = description.metadata
    lines = [json.dumps(metadata, indent=1), ""]
    for name, signature in description.signatures.items():
        lines.append(f"signature {name}")
        for way, arrays in signature.items():
            lines += [f"  {way[:-1]:<7} {key:<24} {arrays[key]}" for key in arrays]
    lines += ["", "operations of a call"]
    lines += [f"  {name:<22} {n:>5}" for name, n in description.operations.items()]
    mib = {
        "file": description.file_bytes,
        **{f"constants, {k}": n for k, n in description.weight_bytes.items()},
        "states, in and out each": description.state_bytes,
    }
    lines += ["", *(f"{name:<26}{n / 2**20:>9.3f} MiB" for name, n in mib.items())]
    seconds = metadata["chunk_frames"] / metadata["sample_rate_hz"]
    lines += [
        f"{'a call returns':<26}{seconds:>9.3f} s of audio",
        f"{'multiply-adds of a call':<26}{description.multiply_adds / 1e9:>9.3f} G, "
        f"{description.multiply_adds_per_second / 1e9:.3f} G for a second of audio",
        f"{'GPU delegate':<26} " + ("; ".join(gpu) or "runs all operations"),
    ]
    return "\n".join(lines)
