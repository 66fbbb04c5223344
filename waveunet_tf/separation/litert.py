"""Runs TFLite models with LiteRT on a CPU, without TensorFlow."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

STEP, SILENCE = "separate", "silence"
# The signature of an exported stream that gives the state in which a song begins.
INITIAL_STATE = "initial_state"


class _Silence:
    """What C++ says on stderr goes nowhere while at least one body runs.

    Bodies may overlap in threads: the first turns descriptor 2, which the process has
    but once, away, and the last turns it back.
    """

    def __init__(self):
        self._lock, self._bodies, self._stderr = threading.Lock(), 0, -1

    def begin(self) -> None:
        with self._lock:
            if not self._bodies:
                self._stderr = os.dup(2)
                with open(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), 2)
            self._bodies += 1

    def end(self) -> None:
        with self._lock:
            self._bodies -= 1
            if not self._bodies:
                os.dup2(self._stderr, 2)
                os.close(self._stderr)


_silence = _Silence()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what C++, such as the converter's and the runtime's, says on stderr.

    What other threads say meanwhile is silenced, too.
    """
    _silence.begin()
    try:
        yield
    finally:
        _silence.end()


def runtime() -> tuple[Any, Any]:
    """Imports the interpreter's module and the file format's schema.

    Returns:
        The two modules: LiteRT's or, where it is not installed, TensorFlow's.
    """
    try:
        from ai_edge_litert import interpreter, schema_py_generated
    except ImportError:
        from tensorflow.lite.python import interpreter, schema_py_generated
    return interpreter, schema_py_generated


class LiteRTEngine:
    """A converted step on LiteRT; implements `engine.Engine`.

    The arrays of an exported stream have one more axis of length 1, which callers do
    not see.
    """

    name = "litert"

    def __init__(self, content: bytes, *, chunk_frames: int, threads: int):
        """Loads a model.

        Args:
            content: The content of an exported file, or the result of
                `litert_conversion.convert_program`.
            chunk_frames: The chunk that the model was made for, in frames.
            threads: How many threads of the CPU the model runs on.
        """
        interpreter_module, _ = runtime()
        self.chunk_frames = chunk_frames
        self._lock = threading.Lock()
        with quiet():
            interpreter = interpreter_module.Interpreter(
                model_content=content, num_threads=threads
            )
            self._step = interpreter.get_signature_runner(STEP)
            self.silence: dict[str, np.ndarray] = {}
            for name in {SILENCE, INITIAL_STATE} & set(
                interpreter.get_signature_list()
            ):
                state = interpreter.get_signature_runner(name)()
                self.silence = {
                    array: value.reshape(1, -1, value.shape[-1])[:, :1]
                    for array, value in state.items()
                }
        self._shapes = {
            name: tuple(map(int, details["shape"]))
            for name, details in self._step.get_input_details().items()
        }
        self.input_shapes = {
            name: (1, *shape[-2:]) for name, shape in self._shapes.items()
        }

    def __call__(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Computes one step, one call at a time.

        Args:
            **inputs: The arrays of `input_shapes`, each `(1, frames, features)`.

        Returns:
            Source, or array of the state, → float32 `(1, frames, features)`.
        """
        inputs = {
            name: np.reshape(value, self._shapes[name])
            for name, value in inputs.items()
        }
        with self._lock:
            outputs = self._step(**inputs)
        return {
            name: value.reshape(1, *value.shape[-2:]) for name, value in outputs.items()
        }
