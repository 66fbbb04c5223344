import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from waveunet_tf.export.serving import messages

OFFICIAL = {
    "Dim": tensor_shape_pb2.TensorShapeProto.Dim,
    "TensorShape": tensor_shape_pb2.TensorShapeProto,
    "Tensor": tensor_pb2.TensorProto,
    "ModelSpec": model_pb2.ModelSpec,
    "PredictRequest": predict_pb2.PredictRequest,
    "PredictResponse": predict_pb2.PredictResponse,
    "PredictLog": prediction_log_pb2.PredictLog,
    "PredictionLog": prediction_log_pb2.PredictionLog,
}
ENUM, INT32 = 14, 5  # of one form on the wire


def is_repeated(field):
    """Protobuf 7 has no `label`, and 4 nothing else."""
    if hasattr(field, "is_repeated"):
        return field.is_repeated
    return field.label == field.LABEL_REPEATED


@pytest.mark.parametrize("name", sorted(messages.CLASSES))
def test_messages_are_those_of_tensorflow_serving(name):
    official = OFFICIAL[name].DESCRIPTOR.fields_by_name
    for field in messages.CLASSES[name].DESCRIPTOR.fields:
        other = official[field.name]
        assert field.number == other.number
        if (name, field.name) == ("Tensor", "float_val"):
            assert other.GetOptions().packed  # so that its values are bytes on the wire
            continue
        assert field.type == (INT32 if other.type == ENUM else other.type)
        assert is_repeated(field) == is_repeated(other)


@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).normal(0, 1, (2, 3, 2)).astype(np.float32),
        np.array(-7, np.int32),
        np.array([2**40, -1]),
        np.array([b"wav", b"\xff\x00"], np.object_),
        np.zeros((1, 0, 2), np.float32),
    ],
    ids=str,
)
@pytest.mark.parametrize("as_fields", [False, True])
def test_arrays_go_to_tensorflow_and_come_back(array, as_fields):
    tensor = tensor_pb2.TensorProto.FromString(
        messages.to_tensor(array).SerializeToString()
    )
    actual = tf.make_ndarray(tensor)
    assert actual.shape == array.shape
    np.testing.assert_array_equal(actual, array)
    if as_fields and array.dtype != np.object_:
        # As a model server answers, which writes values, not their bytes.
        field = {"f": "float_val", "i": "int_val"}[array.dtype.kind]
        field = "int64_val" if array.dtype == np.int64 else field
        tensor.tensor_content = b""
        getattr(tensor, field).extend(array.reshape(-1).tolist())
    back = messages.Tensor.FromString(tensor.SerializeToString())
    np.testing.assert_array_equal(messages.to_array(back), array)


def test_a_value_that_is_everywhere_is_written_once():
    tensor = messages.to_tensor(np.array([0.5], np.float32), (3, 1000))
    assert len(tensor.SerializeToString()) < 30
    official = tensor_pb2.TensorProto.FromString(tensor.SerializeToString())
    np.testing.assert_array_equal(tf.make_ndarray(official), np.full((3, 1000), 0.5))
    np.testing.assert_array_equal(messages.to_array(tensor), np.full((3, 1000), 0.5))


def test_a_request_reads_as_the_official_one():
    request = messages.predict_request(
        "m",
        "stream",
        {"chunk": np.ones((1, 2, 2), np.float32)},
        version=3,
        outputs=("vocals",),
    )
    official = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    expected = text_format.Parse(
        'name: "m" version { value: 3 } signature_name: "stream"', model_pb2.ModelSpec()
    )
    assert official.model_spec == expected
    assert list(official.output_filter) == ["vocals"]
    np.testing.assert_array_equal(
        tf.make_ndarray(official.inputs["chunk"]), np.ones((1, 2, 2))
    )


def test_an_array_of_an_unknown_type_is_none_of_ours():
    with pytest.raises(KeyError):
        messages.to_tensor(np.zeros(3, np.float64))
    official = tf.make_tensor_proto(np.zeros(3, np.float64))
    tensor = messages.Tensor.FromString(official.SerializeToString())
    with pytest.raises(ValueError, match="known type. Received: 2"):
        messages.to_array(tensor)


def test_values_that_do_not_fit_their_shape_are_no_array():
    tensor = messages.to_tensor(np.zeros((2, 3), np.float32))
    tensor.tensor_shape.dim[0].size = 3
    with pytest.raises(ValueError, match="reshape"):
        messages.to_array(tensor)
    tensor = messages.Tensor(dtype=3, int_val=[1, 2, 3])
    with pytest.raises(ValueError, match="reshape"):
        messages.to_array(tensor)


def test_a_label_takes_the_place_of_a_version():
    request = messages.predict_request("m", "s", {}, label="stable")
    official = predict_pb2.PredictRequest.FromString(request.SerializeToString())
    assert official.model_spec.version_label == "stable"
    assert not official.model_spec.HasField("version")
    assert not official.output_filter
