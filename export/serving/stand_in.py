"""A stand-in for TensorFlow Serving's model server, with its official messages.

It is for machines without the real server: tests, benchmarks, a first try. It reads
models.config, runs the warm-up records, and answers Predict, GetModelMetadata and
GetModelStatus as the real server does, errors included. It does not batch, and does not
look for new versions.
"""

from __future__ import annotations

import os
import pathlib

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from waveunet_tf.errors import InputError
from waveunet_tf.export.serving import messages, server_files

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class RequestError(Exception):
    """A request that is answered with an error.

    Attributes:
        code: gRPC's code of the error.
    """

    def __init__(self, code: grpc.StatusCode, text: str):
        super().__init__(text)
        self.code = code


class Model:
    """One version of a model.

    Attributes:
        version: The version's number.
        signature_defs: The signatures by name, as the SavedModel has them.
    """

    def __init__(self, folder: pathlib.Path):
        """Loads the model and runs its warm-up records.

        Args:
            folder: The SavedModel, whose name is the version.
        """
        self.version = int(folder.name)
        content = (folder / "saved_model.pb").read_bytes()
        (graph,) = saved_model_pb2.SavedModel.FromString(content).meta_graphs
        self.signature_defs = graph.signature_def
        self._loaded = tf.saved_model.load(os.fspath(folder))
        for record in tf.data.TFRecordDataset(os.fspath(folder / server_files.WARM_UP)):
            log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
            request = log.predict_log.request
            inputs = {
                name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()
            }
            self.run(request.model_spec.signature_name, inputs, request.output_filter)

    def signature_def(self, name: str):
        """Returns the signature of a name; "" names the default one.

        Raises:
            RequestError: The model has no such signature.
        """
        name = name or "serving_default"
        if name not in self.signature_defs:
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION,
                f'Serving signature key "{name}" not found.',
            )
        return self.signature_defs[name]

    def run(self, signature: str, inputs: dict, output_filter=()) -> dict:
        """Runs a signature.

        Args:
            signature: The signature's name; "" for the default one.
            inputs: Arrays by name, of the signature's shapes.
            output_filter: The names of the outputs to return; by default all.

        Returns:
            Arrays by name, of the signature's shapes.

        Raises:
            RequestError: The inputs are not the signature's, or its graph fails.
        """
        wanted = set(self.signature_def(signature).inputs)
        if wanted != set(inputs):
            raise RequestError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"input size does not match signature. Sent extra: "
                f"{sorted(set(inputs) - wanted)}. Missing but required: "
                f"{sorted(wanted - set(inputs))}.",
            )
        function = self._loaded.signatures[signature or "serving_default"]
        specs = function.structured_input_signature[1]
        try:
            tensors = {name: tf.constant(array) for name, array in inputs.items()}
            for name, tensor in tensors.items():
                if tensor.dtype != specs[name].dtype:
                    raise ValueError(
                        f"`{name}` must be of {specs[name].dtype.name}. "
                        f"Received: {tensor.dtype.name}"
                    )
            outputs = function(**tensors)
            return {name: outputs[name].numpy() for name in output_filter or outputs}
        except KeyError as error:
            text = f"output tensor alias not found in signature: {error.args[0]}"
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, text) from error
        except tf.errors.OpError as error:
            text = error.message.partition("<stack traces unavailable>")[2]
            text = text.strip() or error.message
            raise RequestError(_CODES[error.error_code], text) from error
        except (TypeError, ValueError) as error:
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error


class Models:
    """The models that a models.config names."""

    def __init__(self, folder: str | os.PathLike):
        """Loads the models.

        Args:
            folder: The folder that the real server sees as /models.

        Raises:
            InputError: The configuration or a model is broken.
            OSError: A file cannot be read.
        """
        folder = pathlib.Path(folder)
        path = folder / server_files.MODELS_CONFIG
        try:
            config = text_format.Parse(
                path.read_text("utf-8"), model_server_config_pb2.ModelServerConfig()
            )
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise InputError(
                f"{path}: must be a server's configuration, but is not: {error}"
            ) from error
        self.models: dict[str, dict[int, Model]] = {}
        self._labels = {}
        for model in config.model_config_list.config:
            place = pathlib.PurePosixPath(model.base_path)
            if not place.is_relative_to("/models"):
                raise InputError(
                    f"{path}: `base_path` must be in /models. Received: {place}"
                )
            inside = folder / place.relative_to("/models")
            versions = model.model_version_policy.specific.versions
            self.models[model.name] = {
                version: _load(inside / str(version)) for version in versions
            }
            self._labels[model.name] = dict(model.version_labels)

    def versions(self, spec) -> list[Model]:
        """Returns the versions that a ModelSpec names, the newest first.

        Args:
            spec: The ModelSpec.

        Raises:
            RequestError: The server has no such model, version or label.
        """
        versions = self.models.get(spec.name, {})
        wanted = sorted(versions, reverse=True)
        if spec.version_label:
            labels = self._labels.get(spec.name, {})
            if spec.version_label not in labels:
                raise RequestError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Unrecognized servable version label: {spec.version_label}",
                )
            wanted = [labels[spec.version_label]]
        elif spec.HasField("version"):
            wanted = [spec.version.value]
        if not wanted or wanted[0] not in versions:
            which = f"Specific({spec.name}, {wanted[0]})" if wanted else spec.name
            raise RequestError(
                grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {which}"
            )
        return [versions[number] for number in wanted]


def _load(folder: pathlib.Path) -> Model:
    try:
        return Model(folder)
    except (RequestError, DecodeError, ValueError, tf.errors.OpError) as error:
        raise InputError(
            f"{folder}: must be a SavedModel that can be served, but is not: {error}"
        ) from error


def _answering(method):
    """Makes a servicer's method answer a RequestError with its code."""

    def answer(self, request, context):
        try:
            return method(self, request)
        except RequestError as error:
            context.abort(error.code, str(error))

    return answer


class PredictionServicer(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers Predict and GetModelMetadata."""

    def __init__(self, models: Models):
        self._models = models

    @_answering
    def Predict(self, request):  # noqa: N802
        """Runs a signature."""
        (model, *_) = self._models.versions(request.model_spec)
        try:
            inputs = {
                name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()
            }
        except (TypeError, ValueError) as error:
            raise RequestError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error
        signature = request.model_spec.signature_name
        response = predict_pb2.PredictResponse()
        _fill_spec(response.model_spec, request.model_spec, model)
        outputs = model.run(signature, inputs, request.output_filter)
        for name, array in outputs.items():
            array = np.asarray(array, object if isinstance(array, bytes) else None)
            # The real server answers with values, not their bytes.
            tensor = messages.to_tensor(array, array.shape)
            response.outputs[name].ParseFromString(tensor.SerializeToString())
        return response

    @_answering
    def GetModelMetadata(self, request):  # noqa: N802
        """Returns the signatures."""
        if list(request.metadata_field) != ["signature_def"]:
            raise RequestError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "Metadata field must be signature_def",
            )
        (model, *_) = self._models.versions(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        _fill_spec(response.model_spec, request.model_spec, model)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelServicer(model_service_pb2_grpc.ModelServiceServicer):
    """Answers GetModelStatus."""

    def __init__(self, models: Models):
        self._models = models

    @_answering
    def GetModelStatus(self, request):  # noqa: N802
        """Returns the status of a model's versions."""
        return model_status(self._models, request.model_spec)


def model_status(models: Models, spec) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the status of the versions that a ModelSpec names: all are available.

    Args:
        models: The models.
        spec: The ModelSpec.

    Raises:
        RequestError: The server has no such model, version or label.
    """
    response = get_model_status_pb2.GetModelStatusResponse()
    for model in models.versions(spec):
        status = response.model_version_status.add(version=model.version)
        status.state = status.AVAILABLE
        status.status.error_message = ""  # OK
    return response


def _fill_spec(spec, asked, model: Model) -> None:
    spec.name = asked.name
    spec.version.value = model.version
    spec.signature_name = asked.signature_name or "serving_default"
