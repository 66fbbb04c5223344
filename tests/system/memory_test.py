import contextlib

import numpy as np
import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.system import memory


class ResourceExhaustedError(Exception):
    """As TensorFlow names its error."""


class XlaRuntimeError(RuntimeError):
    """As JAX names all of its errors."""


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        ResourceExhaustedError("a graph"),
        XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes."),
        ValueError("numpy_function: _ArrayMemoryError: Unable to allocate 9 GiB"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_missing_memory_is_told_in_one_line_with_what_takes_less(error):
    with pytest.raises(InputError) as raised:
        with memory.advising("a step", "a lower --size"):
            raise error
    assert str(raised.value) == (
        "a step needs more memory than there is; a lower --size takes less"
    )


def test_an_array_of_numpy_that_is_too_large_is_missing_memory():
    with pytest.raises(InputError, match="needs more memory than there is"):
        with memory.advising("an array", "less"):
            np.ones(2**62, np.int8)


@pytest.mark.parametrize(
    "error",
    [InputError("out of memory is no file"), ValueError("shape"), KeyboardInterrupt()],
)
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as raised:
        with memory.advising("a step", "less"):
            raise error
    assert raised.value is error


def test_without_advice_the_reason_stands_alone():
    assert memory.explain_shortage(MemoryError()) == "needs more memory than there is"
    assert memory.explain_shortage(KeyError("x")) is None


@pytest.mark.parametrize(("limit", "suffices"), [("max\n", True), ("4096\n", False)])
def test_a_containers_limit_counts(tmp_path, monkeypatch, limit, suffices):
    (tmp_path / "memory.max").write_text(limit)
    paths = (str(tmp_path / "memory.max"), str(tmp_path / "none"))
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", paths)
    memory.require_bytes(4096)
    with contextlib.nullcontext() if suffices else pytest.raises(MemoryError):
        memory.require_bytes(4097)
    with pytest.raises(MemoryError):
        memory.require_bytes(2**60)
