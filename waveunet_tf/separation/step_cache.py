"""The converted step of a checkpoint, kept in a cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterator
from importlib import metadata

from absl import logging

import waveunet_tf
from waveunet_tf.checkpoints.checkpoint import CONFIG, WEIGHTS, Checkpoint
from waveunet_tf.system import files


class StepCache:
    """The TFLite model of a checkpoint's step, kept in the checkpoint's `cache`.

    Its name has a hash of the checkpoint and the code, so that it is never of another
    network. Files appear whole: two processes may do the same work, but cannot harm
    each other. Where the folder cannot be written, nothing is kept.
    """

    def __init__(self, checkpoint: Checkpoint, chunk_frames: int):
        """Names the files; hashes the checkpoint, unless it was hashed already."""
        self._folder = checkpoint.directory / "cache"
        self._told = False
        self._hash = _hash(checkpoint)
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


def _hash(checkpoint: Checkpoint) -> str:
    """Of all that a converted step depends on, but for the chunk."""
    hashed = hashlib.sha256()
    for package in ("tensorflow", "keras"):
        hashed.update(metadata.version(package).encode())
    code = sorted(pathlib.Path(waveunet_tf.__file__).parent.rglob("*.py"))
    for path in code:
        hashed.update(path.read_bytes())
    for name in (CONFIG, WEIGHTS):
        if (checkpoint.directory / name).exists():  # else loading will tell
            hashed.update(checkpoint.sha256(name).encode())
    return hashed.hexdigest()[:16]
