import tempfile

import keras
import numpy as np
import pytest

from waveunet_tf.separation import litert
from waveunet_tf.separation.litert_conversion import ConversionError, convert


def run(content, signature, **inputs):
    interpreter, _ = litert.runtime()
    model = interpreter.Interpreter(model_content=content)
    return model.get_signature_runner(signature)(**inputs)


def test_functions_become_the_signatures_of_one_model():
    weight = keras.Variable(np.float32([[2.0], [3.0]]))

    def dot(x):
        return {"y": keras.ops.matmul(x, weight)}

    def twice(x, z):
        return {"y": 2 * x, "w": z}

    signatures = {
        "dot": (dot, {"x": (1, 2)}),
        "twice": (twice, {"x": (1, 3), "z": (1, 1)}),
    }
    content = convert(signatures, [weight])
    x = np.float32([[10, 1]])
    np.testing.assert_array_equal(run(content, "dot", x=x)["y"], [[23]])
    outputs = run(content, "twice", x=np.float32([[1, 2, 3]]), z=np.float32([[7]]))
    np.testing.assert_array_equal(outputs["y"], [[2, 4, 6]])
    np.testing.assert_array_equal(outputs["w"], [[7]])


def test_the_converter_may_be_configured():
    seen = []
    convert({"id": (lambda x: {"y": x + 1}, {"x": (1, 2)})}, [], seen.append)
    assert [hasattr(converter, "optimizations") for converter in seen] == [True]


def test_a_failure_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "full").write_text("a file in a folder's place")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))
    with pytest.raises(ConversionError, match="^cannot be converted for LiteRT: ") as e:
        convert({"id": (lambda x: {"y": x + 1}, {"x": (1, 2)})}, [])
    assert "\n" not in str(e.value)


def test_what_litert_lacks_is_a_failure():
    import tensorflow as tf

    def spectrum(x):
        return {"y": tf.math.real(tf.signal.ifft(tf.cast(x, tf.complex64)))}

    with pytest.raises(ConversionError):
        convert({"spectrum": (spectrum, {"x": (1, 8)})}, [])
