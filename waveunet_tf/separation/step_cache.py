"""Keeps the converted step of a checkpoint, so that it is converted once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from importlib import metadata

from absl import logging

import waveunet_tf
from waveunet_tf.checkpoints.checkpoint import CONFIG, WEIGHTS, Checkpoint
from waveunet_tf.system import files, user_folders

_MAX_BYTES = 1_000_000_000


class StepCache:
    """The TFLite model of a checkpoint's step, kept in the user's cache folder.

    The file's name holds a hash of all that the step depends on, so that it is never
    the step of another network. Files appear whole: two processes may do the same work,
    but cannot harm each other. If the folder cannot be written, nothing is kept. The
    models that were used least recently go where all take more than `_MAX_BYTES`.
    """

    def __init__(self, checkpoint: Checkpoint, chunk_frames: int):
        """Names the files.

        Args:
            checkpoint: The checkpoint.
            chunk_frames: The chunk that the step is made for, in frames.
        """
        self._folder = user_folders.cache_folder() / "steps"
        self._warned = False
        name = f"{step_hash(checkpoint)}-{chunk_frames}"
        self._model = self._folder / f"{name}.tflite"
        self._notes = self._folder / f"{name}.json"

    def model(self, convert: Callable[[], bytes]) -> bytes:
        """Returns the model's content, from the cache or converted.

        Args:
            convert: Makes the content.
        """
        with contextlib.suppress(OSError):
            content = self._model.read_bytes()
            if self.note("sha256") == hashlib.sha256(content).hexdigest():
                with contextlib.suppress(OSError):
                    os.utime(self._model)
                return content
        content = convert()
        with self._writing():
            with files.atomic_file(self._model) as part:
                part.write_bytes(content)
            self._make_room()
        self.write_note("sha256", hashlib.sha256(content).hexdigest())
        return content

    def note(self, name: str) -> str | None:
        """Reads a note beside the model; None if there is none."""
        return self._read_notes().get(name)

    def write_note(self, name: str, value: str) -> None:
        """Writes a note beside the model."""
        with self._writing(), files.atomic_file(self._notes) as part:
            notes = {**self._read_notes(), name: value}
            part.write_text(json.dumps(notes), encoding="utf-8")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lets one process at a time into the body, where the folder allows it.

        Several workers that begin on one machine would convert the same at once.
        """
        with contextlib.ExitStack() as stack:
            with self._writing():
                stack.enter_context(files.locked_folder(self._folder, wait=True))
            yield

    def _read_notes(self) -> dict:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def _make_room(self) -> None:
        """Removes what was used least recently, but never this model."""
        used = [(path.stat().st_mtime, path) for path in self._folder.glob("*.tflite")]
        left = _MAX_BYTES
        for _, path in sorted(used, reverse=True):
            left -= path.stat().st_size
            if left < 0 and path != self._model:
                path.unlink(missing_ok=True)
                path.with_suffix(".json").unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not self._warned:
                logging.info("%s is not kept: %s", self._folder, error.strerror)
            self._warned = True


def step_hash(checkpoint: Checkpoint, package: str | os.PathLike | None = None) -> str:
    """Computes a hash of all that a converted step depends on, but for its chunk.

    Args:
        checkpoint: The checkpoint, of which the config and the weights count.
        package: The folder of the project's code; by default this package's.

    Returns:
        16 hexadecimal digits.
    """
    package = pathlib.Path(package or pathlib.Path(waveunet_tf.__file__).parent)
    hashed = hashlib.sha256()
    for library in ("tensorflow", "keras"):
        hashed.update(_version(library).encode())
    for path in code_files(package):
        hashed.update(path.relative_to(package).as_posix().encode() + b"\0")
        hashed.update(files.file_sha256(path).encode())
    for name in (CONFIG, WEIGHTS):
        # Loading the network refuses a checkpoint without them.
        if (checkpoint.directory / name).exists():
            hashed.update(checkpoint.sha256(name).encode())
    return hashed.hexdigest()[:16]


def _version(library: str) -> str:
    """Returns a library's version; nothing where it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return ""


def code_files(package: pathlib.Path) -> list[pathlib.Path]:
    """Lists the code that may change a step: every room of a package.

    A list of the rooms that count today would be wrong once a step used another.
    """
    return sorted(package.rglob("*.py"))
