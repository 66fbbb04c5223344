"""The messages of TensorFlow Serving that a client and warm-up records need.

The official messages, of tensorflow-serving-api, import all of TensorFlow. These are
the same on the wire (a test compares them) and need only protobuf. So a client starts
in a second, and runs where there is no TensorFlow.

Source: tensorflow/core/framework/{tensor,tensor_shape}.proto and
tensorflow_serving/apis/{model,predict,prediction_log}.proto.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message,
    message_factory,
    wrappers_pb2,  # noqa: F401  (its file is a dependency)
)

_PACKAGE = "waveunet_tf.serving"
_Field = descriptor_pb2.FieldDescriptorProto
# Message → field → its number and type; "…*" is repeated, "map …" from strings.
_MESSAGES = {
    "Dim": {"size": (1, "int64")},
    "TensorShape": {"dim": (2, "Dim*")},
    "Tensor": {
        "dtype": (1, "int32"),
        "tensor_shape": (2, "TensorShape"),
        "tensor_content": (4, "bytes"),
        # On the wire repeated floats are their bytes. As bytes they are read at once; a
        # Python object for each float would take longer than a network.
        "float_val": (5, "bytes"),
        "int_val": (7, "int32*"),
        "string_val": (8, "bytes*"),
        "int64_val": (10, "int64*"),
    },
    "ModelSpec": {
        "name": (1, "string"),
        "version": (2, ".google.protobuf.Int64Value"),
        "signature_name": (3, "string"),
        "version_label": (4, "string"),
    },
    "PredictRequest": {
        "model_spec": (1, "ModelSpec"),
        "inputs": (2, "map Tensor"),
        "output_filter": (3, "string*"),
    },
    "PredictResponse": {"model_spec": (2, "ModelSpec"), "outputs": (1, "map Tensor")},
    "PredictLog": {"request": (1, "PredictRequest")},
    "PredictionLog": {"predict_log": (6, "PredictLog")},
}


def _add_field(message, name: str, number: int, kind: str) -> None:
    field = message.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL)
    if kind.startswith("map "):
        entry = message.nested_type.add(name=f"{name.title()}Entry")
        entry.options.map_entry = True
        _add_field(entry, "key", 1, "string")
        _add_field(entry, "value", 2, kind[len("map ") :])
        kind = f".{_PACKAGE}.{message.name}.{entry.name}*"
    if kind.endswith("*"):
        field.label, kind = _Field.LABEL_REPEATED, kind[:-1]
    if hasattr(_Field, f"TYPE_{kind.upper()}"):
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = kind if kind.startswith(".") else f".{_PACKAGE}.{kind}"


def _classes() -> dict[str, type]:
    """Makes the messages' classes; returns them by name."""
    file = descriptor_pb2.FileDescriptorProto(
        name="waveunet_tf/serving.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=["google/protobuf/wrappers.proto"],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, field, number, kind)
    pool = descriptor_pool.Default()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")
        )
        for name in _MESSAGES
    }


CLASSES = _classes()
Tensor = CLASSES["Tensor"]
PredictRequest = CLASSES["PredictRequest"]
PredictResponse = CLASSES["PredictResponse"]
PredictionLog = CLASSES["PredictionLog"]

# How many values of a Tensor the last of several may stand for.
_MOST_REPEATED = 2**20

# tensorflow/core/framework/types.proto: number → NumPy's type, and the values' field.
_TYPES = {
    1: (np.float32, "float_val"),
    3: (np.int32, "int_val"),
    7: (np.object_, "string_val"),
    9: (np.int64, "int64_val"),
}
_NUMBERS = {np.dtype(kind): number for number, (kind, _) in _TYPES.items()}


def to_tensor(array: np.ndarray, shape: tuple[int, ...] | None = None):
    """Makes a Tensor of an array.

    Args:
        array: The values, of any shape: float32, int32, int64, or objects that are
            bytes.
        shape: The Tensor's shape, to write values in place of their bytes; the last
            value stands for all that follow. By default the array's.
    """
    number = _NUMBERS[array.dtype]
    tensor = Tensor(dtype=number)
    for size in array.shape if shape is None else shape:
        tensor.tensor_shape.dim.add(size=size)
    if shape is None and number != _NUMBERS[np.dtype(np.object_)]:
        tensor.tensor_content = array.tobytes()
    elif number == _NUMBERS[np.dtype(np.float32)]:
        tensor.float_val = array.tobytes()
    else:
        getattr(tensor, _TYPES[number][1]).extend(array.reshape(-1).tolist())
    return tensor


def parse_tensor(content: bytes):
    """Parses a Tensor.

    Raises:
        ValueError: The content is no Tensor.
    """
    try:
        return Tensor.FromString(content)
    except message.DecodeError as error:
        raise ValueError(f"must be a tensor, but is not: {error}") from error


def to_array(tensor) -> np.ndarray:
    """Returns the array that a Tensor holds, of the Tensor's shape.

    Args:
        tensor: The Tensor.

    Raises:
        ValueError: The Tensor's type is unknown, or its shape does not fit its values.
    """
    if tensor.dtype not in _TYPES:
        raise ValueError(f"a tensor must have a known type. Received: {tensor.dtype}")
    kind, field = _TYPES[tensor.dtype]
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if min(shape, default=0) < 0:
        raise ValueError(f"a tensor must have a shape. Received: {shape}")
    if tensor.tensor_content:
        return np.frombuffer(tensor.tensor_content, kind).reshape(shape)
    values = getattr(tensor, field)
    values = (
        np.frombuffer(values, kind)
        if isinstance(values, bytes)
        else np.array(values, kind)
    )
    missing = math.prod(shape) - len(values)
    if len(values) == 1 and 0 < missing:  # it takes no memory before it is looked at
        return np.broadcast_to(values, shape)
    if 0 < len(values) and 0 < missing:  # the last value stands for the rest
        if missing > _MOST_REPEATED:
            raise ValueError(f"a tensor must have a shape that fits. Received: {shape}")
        values = np.concatenate([values, np.repeat(values[-1:], missing)])
    return values.reshape(shape)


def predict_request(
    model_name: str,
    signature: str,
    inputs: Mapping[str, np.ndarray],
    *,
    version: int | None = None,
    label: str | None = None,
    outputs: tuple[str, ...] = (),
):
    """Makes a PredictRequest.

    Args:
        model_name: The model's name.
        signature: The signature's name.
        inputs: The signature's inputs by name, of any shapes.
        version: The model's version; by default the newest that is served.
        label: The label of the version, in place of its number.
        outputs: The names of the outputs to return; by default all.
    """
    request = PredictRequest(output_filter=outputs)
    request.model_spec.name = model_name
    request.model_spec.signature_name = signature
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for name, array in inputs.items():
        request.inputs[name].CopyFrom(to_tensor(array))
    return request
