"""Where a separator comes from: what another process or machine needs to load it."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from typing import Any, Protocol

from waveunet_tf.checkpoints.checkpoint import CONFIG, WEIGHTS, Checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.separation.separator import (
    Separator,
    load_tflite_separator,
    separator_of,
)
from waveunet_tf.system.files import expand_home, file_sha256


class SeparatorSource(Protocol):
    """A network that can be loaded elsewhere; it can be pickled.

    Attributes:
        sources: The network's sources.
        sha256: The hash of what makes up the network.
    """

    sources: tuple[str, ...]
    sha256: str

    def load(self) -> Separator:
        """Loads the separator.

        Raises:
            InputError: There is no such network here, or another one.
            OSError: A file cannot be read.
        """


@dataclasses.dataclass(frozen=True)
class CheckpointSource:
    """A checkpoint or a model; implements `SeparatorSource`.

    Attributes:
        place: An absolute path, or the name of a model, which may lie elsewhere there.
        sources: The network's sources.
        sha256: The hash of the config and the weights.
        overrides: Pairs of name and value, for `Checkpoint.open`.
        options: Pairs of name and value, for `separator_of`.
    """

    place: str
    sources: tuple[str, ...]
    sha256: str
    overrides: tuple[tuple[str, Any], ...] = ()
    options: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def open(
        cls, place: str | os.PathLike, *, overrides: dict[str, Any], **options
    ) -> CheckpointSource:
        """Opens the checkpoint.

        Args:
            place: The checkpoint, or the name of a model.
            overrides: New values for fields of the config.
            **options: The arguments of `engines.load_engine`.

        Raises:
            InputError: There is no such checkpoint, or it is broken.
            OSError: A file cannot be read.
        """
        checkpoint = Checkpoint.open(place, **overrides)
        path = expand_home(place)
        return cls(
            os.path.abspath(path) if os.path.exists(path) else path,
            tuple(checkpoint.config.sources),
            _hash_of(checkpoint),
            tuple(overrides.items()),
            tuple(options.items()),
        )

    def load(self) -> Separator:
        """Loads the separator.

        Raises:
            InputError: There is no such checkpoint here, or another one.
            OSError: A file cannot be read.
        """
        checkpoint = Checkpoint.open(self.place, **dict(self.overrides))
        _check_hash(self.place, _hash_of(checkpoint), self.sha256)
        return separator_of(checkpoint, **dict(self.options))


@dataclasses.dataclass(frozen=True)
class TFLiteSource:
    """A TFLite file that `waveunet export` wrote; implements `SeparatorSource`.

    Attributes:
        path: An absolute path.
        sources: The network's sources.
        sha256: The file's hash.
        threads: Threads of the CPU; None: one for each core.
    """

    path: str
    sources: tuple[str, ...]
    sha256: str
    threads: int | None = None

    @classmethod
    def open(
        cls, path: str | os.PathLike, *, threads: int | None = None
    ) -> TFLiteSource:
        """Opens the file.

        Args:
            path: The file.
            threads: Threads of the CPU; None: one for each core.

        Raises:
            InputError: The file is broken, or this project did not write it.
            OSError: The file cannot be read.
        """
        path = os.path.abspath(path)
        sources = load_tflite_separator(path, threads=threads).config.sources
        return cls(path, tuple(sources), file_sha256(path), threads)

    def load(self) -> Separator:
        """Loads the separator.

        Raises:
            InputError: The file is another one, or is broken.
            OSError: The file cannot be read.
        """
        _check_hash(self.path, file_sha256(self.path), self.sha256)
        return load_tflite_separator(self.path, threads=self.threads)


def _hash_of(checkpoint: Checkpoint) -> str:
    """Hashes a checkpoint's config and weights."""
    hashes = (checkpoint.sha256(CONFIG), checkpoint.sha256(WEIGHTS))
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def _check_hash(what: str, received: str, expected: str) -> None:
    if received != expected:
        raise InputError(
            f"{what}: must be the network of hash {expected[:12]}, as where the songs "
            f"are named. Received: {received[:12]}"
        )
