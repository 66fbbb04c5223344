import io
import struct

import numpy as np
import pytest

from tests.export.small_exports import music
from waveunet_tf.export.android import bridge
from waveunet_tf.separation import litert


def pack(arrays):
    """A message in the format of the bridge's docstring."""
    parts = [struct.pack("<i", len(arrays))]
    for name, array in arrays.items():
        for content in (name.encode(), np.asarray(array, "<f4").tobytes()):
            parts.append(struct.pack("<i", len(content)) + content)
    return b"".join(parts)


def unpack(stream):
    """The next message, name → floats."""

    def read():
        return stream.read(*struct.unpack("<i", stream.read(4)))

    (count,) = struct.unpack("<i", stream.read(4))
    return {read().decode(): np.frombuffer(read(), "<f4") for _ in range(count)}


def answers_to(engine, requests):
    answers = io.BytesIO()
    bridge.serve(engine, io.BytesIO(requests), answers)
    return io.BytesIO(answers.getvalue())


def test_requests_are_answered_until_they_end():
    def engine(**inputs):
        return {f"{name} twice": 2 * array for name, array in inputs.items()}

    requests = [{"a": [1, 2], "b": [0.5]}, {"c": np.zeros(0)}]
    answers = answers_to(engine, b"".join(map(pack, requests)))
    first, second = unpack(answers), unpack(answers)
    np.testing.assert_array_equal(first["a twice"], [2, 4])
    np.testing.assert_array_equal(first["b twice"], [1])
    assert list(second) == ["c twice"] and second["c twice"].size == 0
    assert answers.read() == b""


def test_no_requests_are_no_answers():
    assert answers_to(None, b"").read() == b""


@pytest.mark.xdist_group("tflite")
def test_a_files_step_is_that_of_its_engine(kept_files):
    content = kept_files["float32"].read_bytes()
    engine = litert.LiteRTEngine(content, chunk_frames=0, threads=1)
    shapes = engine.input_shapes
    inputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    inputs["mixture"] = music(1024)[None]
    expected = engine(**inputs)
    actual = unpack(answers_to(engine, pack(inputs)))
    assert sorted(actual) == sorted(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array.reshape(-1))


def test_the_bridge_tells_why_a_model_cannot_be_run():
    def engine(**inputs):
        raise ValueError(f"takes no {list(inputs)[0]}")

    name, array = b"tea", np.float32([1, 2]).tobytes()
    request = struct.pack("<ii3si8s", 1, 3, name, 8, array)
    answers = io.BytesIO()
    bridge.serve(engine, io.BytesIO(request), answers)
    assert answers.getvalue() == struct.pack("<ii12s", -1, 12, b"takes no tea")
