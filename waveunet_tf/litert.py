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

import numpy as np
from absl import logging

import waveunet_tf
from waveunet_tf import checkpoint, files
from waveunet_tf.errors import InputError

STEP, SILENCE = "separate", "silence"
# Of an exported file: JSON, the config and the window's frames.
METADATA_NAME = "waveunet_config"


class ConversionError(Exception):
    """A network could not be converted, such as for want of space."""


def convert(signatures: dict[str, tuple[Callable, dict]], variables: list) -> bytes:
    """Converts functions to one TFLite model in float32.

    Args:
        signatures: name → a function of arrays by name, which gives arrays by name, and
            the shape of each array that it takes.
        variables: Keras variables that the functions read.

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


def read_metadata(path: str | os.PathLike, content: bytes) -> dict:
    """What a TFLite file of this project carries about itself.

    Args:
        path: the file's name, for errors.
        content: of the file.

    Raises:
        InputError: it is no TFLite model, or not one of this project's.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    if content[4:8] != b"TFL3":
        raise InputError(f"{path}: must be a TFLite file, but has no TFLite identifier")
    try:
        model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    except (struct.error, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{path}: must be a whole TFLite file, but is broken"
        ) from error
    for entry in model.metadata or []:
        if entry.name.decode() == METADATA_NAME:
            return json.loads(bytes(model.buffers[entry.buffer].data))
    raise InputError(
        f"{path}: must carry the metadata {METADATA_NAME}, which run_export writes"
    )


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
        name, chunk_frames, input_shapes, silence: see engines.TensorFlowEngine.
    """

    name = "litert"

    def __init__(self, content: bytes, *, chunk_frames: int, threads: int):
        """Loads a model.

        Args:
            content: what `convert_program` gave.
            chunk_frames: for which it was made.
            threads: of the CPU.
        """
        from ai_edge_litert.interpreter import Interpreter

        self.chunk_frames = chunk_frames
        self._lock = threading.Lock()
        with quiet():
            interpreter = Interpreter(model_content=content, num_threads=threads)
            self._step = interpreter.get_signature_runner(STEP)
            self.silence: dict[str, np.ndarray] = {}
            if SILENCE in interpreter.get_signature_list():
                self.silence = interpreter.get_signature_runner(SILENCE)()
        self.input_shapes = {
            name: tuple(details["shape"])
            for name, details in self._step.get_input_details().items()
        }

    def __call__(self, **inputs) -> dict:
        with self._lock:  # an interpreter runs one step at a time
            return self._step(**inputs)
