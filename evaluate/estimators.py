"""The estimators that are scored: a network, a folder of stems, or a baseline."""

from __future__ import annotations

import abc
import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from absl import logging

from waveunet_tf.audio import io
from waveunet_tf.audio.formats import SUFFIXES
from waveunet_tf.checkpoints.checkpoint import CONFIG, WEIGHTS, Checkpoint
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import bss, ratio_mask
from waveunet_tf.evaluate.true_stems import TrueStems
from waveunet_tf.system import files

if TYPE_CHECKING:
    from waveunet_tf.separation.separator import Separator


@dataclasses.dataclass(frozen=True)
class Estimator(abc.ABC):
    """Estimates the sources of a track; can be sent to another process.

    Attributes:
        kind: The name of the kind of estimator in notes and flags.
        sources: The names of the sources that are estimated.
    """

    kind: ClassVar[str]
    sources: tuple[str, ...]

    @abc.abstractmethod
    def estimate(
        self,
        track: Track,
        stems: TrueStems,
        threads: int | None = None,
        *,
        on_warning: Callable[[str], None] = logging.warning,
    ) -> dict[str, np.ndarray]:
        """Estimates a track's sources.

        Args:
            track: The track.
            stems: The track's true stems.
            threads: The number of CPU threads of a network; None: all.
            on_warning: Called with a line for each estimate that had to be mended.

        Returns:
            Source → `(frames, channels)`.

        Raises:
            InputError: An estimate is missing, broken or of another rate, or the
                network cannot take the song.
            OSError: A file cannot be read.
        """

    def identity(self) -> dict[str, Any]:
        """Returns what distinguishes it from other estimators, for JSON or YAML."""
        return {"estimator": self.kind, "sources": list(self.sources)}

    def files_of(self, track: Track) -> list[pathlib.Path]:
        """Lists the files of a track's estimates.

        Args:
            track: The track.

        Raises:
            InputError: An estimate is missing.
            OSError: A folder cannot be read.
        """
        return []


class MixtureEstimator(Estimator):
    """The baseline that takes the mixture for every source."""

    kind = "mixture"

    def estimate(self, track, stems, threads=None, *, on_warning=logging.warning):
        """Returns the mixture for every source."""
        return dict.fromkeys(self.sources, stems.mixture)


class OracleEstimator(Estimator):
    """The baseline that masks the mixture and knows the true sources."""

    kind = "oracle_irm"

    def estimate(self, track, stems, threads=None, *, on_warning=logging.warning):
        """Returns the estimates of `ideal_ratio_mask`."""
        return ratio_mask.ideal_ratio_mask(stems)


# What needs neither a network nor files.
BASELINES = {cls.kind: cls for cls in (MixtureEstimator, OracleEstimator)}


@dataclasses.dataclass(frozen=True)
class FolderEstimator(Estimator):
    """Reads estimates from `<path>/[<subset>/]<track>/<source>.<wav|flac|…>`.

    Attributes:
        path: The folder.
    """

    kind = "estimates_dir"
    path: str

    def estimate(self, track, stems, threads=None, *, on_warning=logging.warning):
        """Reads the estimates of a track."""
        folder = _track_folder(pathlib.Path(self.path), track)
        rate_hz, estimates = stems.sample_rate_hz, {}
        for source in self.sources:
            path, estimate = _read_estimate(folder, source, rate_hz)
            frames = len(stems.sources[source])
            estimates[source] = bss.fit_length(
                path, estimate, frames, rate_hz, on_warning=on_warning
            )
        return estimates

    def identity(self) -> dict[str, Any]:
        """Returns what distinguishes it from other estimators, for JSON or YAML."""
        return {**super().identity(), "path": str(pathlib.Path(self.path).resolve())}

    def files_of(self, track: Track) -> list[pathlib.Path]:
        """Lists the files of a track's estimates."""
        folder = _track_folder(pathlib.Path(self.path), track)
        return [_file_of(folder, source) for source in self.sources]


@dataclasses.dataclass(frozen=True)
class NetworkEstimator(Estimator):
    """Separates the mixture with a network.

    Attributes:
        path: The checkpoint or the TFLite file, an absolute path.
        options: (name, value) pairs, arguments of separator.load_separator.
        sha256: The hash of the network's files when it was opened.
    """

    path: str
    options: tuple[tuple[str, Any], ...] = ()
    sha256: str = ""

    @abc.abstractmethod
    def load(self, threads: int | None) -> Separator:
        """Loads the network with this number of CPU threads; None: all."""

    @abc.abstractmethod
    def content(self) -> list[pathlib.Path]:
        """Returns the files that make up the network."""

    def estimate(self, track, stems, threads=None, *, on_warning=logging.warning):
        """Separates the track's mixture."""
        separator = _load_once(self, threads)
        return separator.separate(stems.mixture, stems.sample_rate_hz)

    def identity(self) -> dict[str, Any]:
        """Returns what distinguishes it from other estimators, for JSON or YAML."""
        identity = {
            **super().identity(),
            "path": str(pathlib.Path(self.path).resolve()),
        }
        if self.options:
            identity["options"] = dict(self.options)
        return {**identity, "sha256": self.sha256}

    def hashed(self):
        """Returns the estimator with the hash that its files have now."""
        hashed = hashlib.sha256()
        for path in self.content():
            hashed.update(path.read_bytes())
        return dataclasses.replace(self, sha256=hashed.hexdigest())


class CheckpointEstimator(NetworkEstimator):
    """Separates the mixture with a checkpoint's network."""

    kind = "checkpoint"

    @classmethod
    def open(cls, path: str, **options) -> CheckpointEstimator:
        """Finds a checkpoint, whose sources it estimates.

        Args:
            path: The checkpoint, or a model's name.
            **options: Arguments of separator.load_separator.

        Raises:
            InputError: The path holds no checkpoint, or an option does not fit it.
            OSError: The checkpoint cannot be read.
        """
        checkpoint = Checkpoint.open(path, **options)
        # Beam's workers may run in other folders.
        path = os.path.abspath(checkpoint.directory)
        sources = tuple(checkpoint.config.sources)
        return cls(sources, path, tuple(options.items())).hashed()

    def load(self, threads: int | None) -> Separator:
        """Loads the network with this number of CPU threads; None: all."""
        from waveunet_tf.separation.separator import load_separator

        return load_separator(self.path, threads=threads, **dict(self.options))

    def content(self) -> list[pathlib.Path]:
        """Returns the config and the weights."""
        return [pathlib.Path(self.path) / name for name in (CONFIG, WEIGHTS)]


class TFLiteEstimator(NetworkEstimator):
    """Separates the mixture with the network of a TFLite file."""

    kind = "tflite"

    @classmethod
    def open(cls, path: str) -> TFLiteEstimator:
        """Reads a TFLite file, whose sources it estimates.

        Args:
            path: A file that `waveunet export` wrote.

        Raises:
            InputError: The file holds no such network.
            OSError: The file cannot be read.
        """
        from waveunet_tf.separation.separator import load_tflite_separator

        sources = load_tflite_separator(path).config.sources
        # Beam's workers may run in other folders.
        return cls(tuple(sources), os.path.abspath(path)).hashed()

    def load(self, threads: int | None) -> Separator:
        """Loads the network with this number of CPU threads; None: all."""
        from waveunet_tf.separation.separator import load_tflite_separator

        return load_tflite_separator(self.path, threads=threads)

    def content(self) -> list[pathlib.Path]:
        """Returns the file."""
        return [pathlib.Path(self.path)]


@functools.lru_cache(maxsize=1)
def _load_once(estimator: NetworkEstimator, threads: int | None) -> Separator:
    """Loads a network, once a process."""
    if threads:  # Several processes share the GPU.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    separator = estimator.load(threads)
    if estimator.hashed() != estimator:  # Its scores would be told of the other.
        raise InputError(f"{estimator.path}: has changed since it was opened")
    return separator


def _track_folder(root: pathlib.Path, track: Track) -> pathlib.Path:
    """Returns `<root>/<subset>/<track>`, or `<root>/<track>` without subsets."""
    folder = root / track.subset / track.name
    above = folder.parent if folder.parent.is_dir() else root
    if above.is_dir() and (found := files.find_name(track.name, os.listdir(above))):
        folder = above / found
    if not folder.is_dir():
        raise InputError(f"{folder}: must be a folder of estimates, but is none")
    return folder


def _file_of(folder: pathlib.Path, source: str) -> pathlib.Path:
    """Finds a source's estimate."""
    paths = [
        path
        for path in sorted(folder.iterdir())
        if path.stem == source and path.suffix.lower() in SUFFIXES
    ]
    if len(paths) != 1:
        names = ", ".join(path.name for path in paths) or "none"
        raise InputError(
            f"{folder}: must have one estimate {source}.<wav|flac|mp3|…>. "
            f"Received: {names}"
        )
    return paths[0]


def _read_estimate(
    folder: pathlib.Path, source: str, sample_rate_hz: int
) -> tuple[pathlib.Path, np.ndarray]:
    """Finds and reads a source's estimate; returns its file and its samples."""
    path = _file_of(folder, source)
    estimate, rate_hz = io.read(path)
    if rate_hz != sample_rate_hz:
        raise InputError(
            f"{path}: an estimate must have its target's rate, {sample_rate_hz} "
            f"Hz. Received: {rate_hz} Hz"
        )
    return path, estimate
