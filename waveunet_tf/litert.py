"""TFLite models of functions, and those of a checkpoint's steps, converted once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import Any

import numpy as np
from absl import logging

import waveunet_tf
from waveunet_tf import checkpoint, files
from waveunet_tf.errors import InputError

STEP, SILENCE = "separate", "silence"
# The state in which a song begins, of an exported stream.
INITIAL_STATE = "initial_state"
# Of an exported file: JSON, all that one needs to run it; see export/tflite.py.
METADATA_NAME = "waveunet_config"
FORMAT_VERSION = 2


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


def parse(path: str | os.PathLike, content: bytes):
    """The objects of a TFLite file, a `ModelT`.

    Args:
        path: the file's name, for errors.
        content: of the file.

    Raises:
        InputError: it is no TFLite model, or a broken one.
    """
    _, schema = runtime()
    if content[4:8] != b"TFL3":
        raise InputError(f"{path}: must be a TFLite file, but has no TFLite identifier")
    try:
        return schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: must be a whole TFLite file, but is broken"
        ) from error


def read_metadata(path: str | os.PathLike, content: bytes) -> dict:
    """What a TFLite file of this project carries about itself.

    Args:
        path: the file's name, for errors.
        content: of the file.

    Raises:
        InputError: it is no TFLite model, or not one of this project's, or of another
            format version.
    """
    model = parse(path, content)
    for entry in model.metadata or []:
        if entry.name.decode() == METADATA_NAME:
            text = bytes(model.buffers[entry.buffer].data)
            break
    else:
        raise InputError(
            f"{path}: must carry the metadata {METADATA_NAME}, which run_export writes"
        )
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InputError(f"{path}: its {METADATA_NAME} must be JSON") from error
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: `format_version` must be {FORMAT_VERSION}. Received: {version!r}"
        )
    return values


class StepCache:
    """The TFLite model of a checkpoint's step, kept in the checkpoint's `cache`.

    Its name has a hash of the checkpoint and the code, so that it is never of another
    network. Files appear whole: two processes may do the same work, but cannot harm
    each other. Where the folder cannot be written, nothing is kept.
    """

    def __init__(self, directory: str | os.PathLike, chunk_frames: int):
        """Names the files; reads the checkpoint for its hash."""
        self._folder = pathlib.Path(directory) / "cache"
        self._told = False
        self._hash = _hash(pathlib.Path(directory))
        name = f"{self._hash}-{chunk_frames}"
        self._model = self._folder / f"{name}.tflite"
        self._notes = self._folder / f"{name}.json"

    def model(self, convert: Callable[[], bytes]) -> bytes:
        """The model's content, from the cache or converted."""
        with contextlib.suppress(OSError):
            content = self._model.read_bytes()
            if self.note("sha256") == hashlib.sha256(content).hexdigest():
                return content
        content = convert()
        with self._writing():
            with files.atomic_file(self._model) as part:
                part.write_bytes(content)
            for other in self._folder.iterdir():
                earlier = not other.name.startswith((self._hash, "."))
                if earlier and other.suffix in (".tflite", ".json"):
                    other.unlink(missing_ok=True)
        self.write_note("sha256", hashlib.sha256(content).hexdigest())
        return content

    def note(self, name: str) -> str | None:
        """What was noted beside the model."""
        return self._read_notes().get(name)

    def write_note(self, name: str, value: str) -> None:
        """Notes something beside the model."""
        with self._writing(), files.atomic_file(self._notes) as part:
            notes = {**self._read_notes(), name: value}
            part.write_text(json.dumps(notes), encoding="utf-8")

    def _read_notes(self) -> dict:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._told:
                logging.info("%s is not kept: %s", self._folder, error.strerror)
            self._told = True


def _hash(directory: pathlib.Path) -> str:
    """Of all that a converted step depends on, but for the chunk."""
    hashed = hashlib.sha256()
    for package in ("tensorflow", "keras"):
        hashed.update(metadata.version(package).encode())
    code = sorted(pathlib.Path(waveunet_tf.__file__).parent.glob("*.py"))
    for path in [*code, directory / checkpoint.CONFIG, directory / checkpoint.WEIGHTS]:
        if path.exists():  # else loading will tell
            hashed.update(path.read_bytes())
    return hashed.hexdigest()[:16]


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
