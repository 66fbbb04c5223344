"""Converts functions and networks' steps to TFLite models, with TensorFlow."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from waveunet_tf.networks.program import Program
from waveunet_tf.separation.litert import SILENCE, STEP, quiet


class ConversionError(Exception):
    """TensorFlow could not convert a network, for example because a disk is full."""


def convert(
    signatures: dict[str, tuple[Callable, dict]],
    variables: list,
    configure: Callable[[Any], None] | None = None,
) -> bytes:
    """Converts functions to one TFLite model, in float32 unless configured otherwise.

    Args:
        signatures: Name → a function from arrays by name to arrays by name, and the
            shape of each array that it takes.
        variables: The Keras variables that the functions read.
        configure: Sets TensorFlow's converter, for example for quantisation.

    Returns:
        The content of a file.

    Raises:
        ConversionError: TensorFlow cannot convert the functions, or cannot write its
            temporary files.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    module = tf.Module()
    module.variables_ = [variable.value for variable in variables]
    concrete = {}
    for name, (function, shapes) in signatures.items():
        specs = {
            array: tf.TensorSpec(shape, tf.float32, name=array)
            for array, shape in shapes.items()
        }
        graph = tf.function(function, autograph=False)
        concrete[name] = graph.get_concrete_function(**specs)
    try:
        with tempfile.TemporaryDirectory() as folder, quiet():
            tf.saved_model.save(module, folder, signatures=concrete)
            converter = tf.lite.TFLiteConverter.from_saved_model(
                folder, signature_keys=list(concrete)
            )
            if configure:
                configure(converter)
            return converter.convert()
    except (
        ConverterError,
        OSError,
        RuntimeError,
        ValueError,
        tf.errors.OpError,
    ) as error:
        reason = str(error).splitlines()[0]
        raise ConversionError(f"cannot be converted for LiteRT: {reason}") from error


def convert_program(program: Program, variables: list) -> bytes:
    """Converts a network's step.

    Args:
        program: The step. A second signature, `silence`, gives its silence.
        variables: The network's variables.

    Returns:
        The content of a file.

    Raises:
        ConversionError: TensorFlow cannot convert the step.
    """
    import tensorflow as tf

    signatures = {STEP: (program.function, program.input_shapes)}
    if program.silence:

        def silence():
            return {name: tf.constant(value) for name, value in program.silence.items()}

        signatures[SILENCE] = (silence, {})
    return convert(signatures, variables)
