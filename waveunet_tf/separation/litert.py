"""TFLite models of functions, and those of a checkpoint's steps, converted once."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

STEP, SILENCE = "separate", "silence"
# The state in which a song begins, of an exported stream.
INITIAL_STATE = "initial_state"


class ConversionError(Exception):
    """A network could not be converted, such as for want of space."""


def convert(
    signatures: dict[str, tuple[Callable, dict]],
    variables: list,
    configure: Callable[[Any], None] | None = None,
) -> bytes:
    """Converts functions to one TFLite model, in float32 unless configured otherwise.

    Args:
        signatures: name → a function of arrays by name, which gives arrays by name, and
            the shape of each array that it takes.
        variables: Keras variables that the functions read.
        configure: sets TensorFlow's converter, such as for quantisation.

    Returns:
        The content of a file.

    Raises:
        ConversionError: TensorFlow cannot do it, or not write its temporary files.
    """
    import tensorflow as tf

    module = tf.Module()
    module.variables_ = [variable.value for variable in variables]
    concrete = {}
    for name, (function, shapes) in signatures.items():
        specs = {
            array: tf.TensorSpec(shape, tf.float32, name=array)
            for array, shape in shapes.items()
        }
        concrete[name] = tf.function(function).get_concrete_function(**specs)
    try:
        with tempfile.TemporaryDirectory() as folder, quiet():
            tf.saved_model.save(module, folder, signatures=concrete)
            converter = tf.lite.TFLiteConverter.from_saved_model(
                folder, signature_keys=list(concrete)
            )
            if configure:
                configure(converter)
            return converter.convert()
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise ConversionError(f"cannot be converted for LiteRT: {reason}") from error


def convert_program(program, variables: list) -> bytes:
    """Converts a step; its second signature, `silence`, gives the program's silence."""
    import tensorflow as tf

    signatures = {STEP: (program.function, program.input_shapes)}
    if program.silence:

        def silence():
            return {name: tf.constant(value) for name, value in program.silence.items()}

        signatures[SILENCE] = (silence, {})
    return convert(signatures, variables)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what the converter's and the runtime's C++ says on stderr."""
    with open(os.devnull, "w") as nowhere:
        stderr = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def runtime() -> tuple[Any, Any]:
    """The interpreter's module and the file format's: LiteRT's, else TensorFlow's."""
    try:
        from ai_edge_litert import interpreter, schema_py_generated
    except ImportError:
        from tensorflow.lite.python import interpreter, schema_py_generated
    return interpreter, schema_py_generated


class LiteRTEngine:
    """A converted step on LiteRT; an engine (see engines.py).

    Attributes:
        name, chunk_frames, input_shapes, silence: see engines.TensorFlowEngine. An
            exported stream's arrays have one more axis of 1, which is not seen outside.
    """

    name = "litert"

    def __init__(self, content: bytes, *, chunk_frames: int, threads: int):
        """Loads a model.

        Args:
            content: what `convert_program` gave, or an exported file.
            chunk_frames: for which it was made.
            threads: of the CPU.
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

    def __call__(self, **inputs) -> dict:
        inputs = {
            name: np.reshape(value, self._shapes[name])
            for name, value in inputs.items()
        }
        with self._lock:  # an interpreter runs one step at a time
            outputs = self._step(**inputs)
        return {
            name: value.reshape(1, *value.shape[-2:]) for name, value in outputs.items()
        }
