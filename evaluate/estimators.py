"""The estimators that are scored: a network, a folder of stems, or a baseline."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from typing import Any

import numpy as np
import scipy.signal

from evaluate.true_stems import TrueStems
from waveunet_tf.audio import io
from waveunet_tf.audio.formats import SUFFIXES
from waveunet_tf.checkpoints.checkpoint import CONFIG, WEIGHTS, Checkpoint
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError

BASELINES = ("mixture", "oracle_irm")
KINDS = ("checkpoint", "tflite", "estimates_dir", *BASELINES)
_FFT_FRAMES = 2048


@dataclasses.dataclass(frozen=True)
class Estimator:
    """Estimates the sources of a track; can be sent to another process.

    Attributes:
        kind: One of KINDS.
        sources: The names of the sources that are estimated.
        path: The checkpoint, the TFLite file or the folder; None for a baseline.
        options: (name, value) pairs, arguments of separator.load_separator.
    """

    kind: str
    sources: tuple[str, ...]
    path: str | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def estimate(
        self, track: Track, stems: TrueStems, threads: int | None = None
    ) -> dict[str, np.ndarray]:
        """Estimates a track's sources.

        Args:
            track: The track.
            stems: The track's true stems.
            threads: The number of CPU threads of a network; None: all.

        Returns:
            Source → `(frames, channels)`.

        Raises:
            InputError: An estimate is missing, broken or of another rate, or the
                network cannot take the song.
            OSError: A file cannot be read.
        """
        if self.kind == "mixture":
            return dict.fromkeys(self.sources, stems.mixture)
        if self.kind == "oracle_irm":
            return ideal_ratio_mask(stems)
        if self.kind == "estimates_dir":
            folder = _track_folder(pathlib.Path(self.path), track)
            return {
                source: _read_estimate(folder, source, stems.sample_rate_hz)
                for source in self.sources
            }
        separator = _separator(self, threads)
        return separator.separate(stems.mixture, stems.sample_rate_hz)

    def identity(self) -> dict[str, Any]:
        """Returns what distinguishes it from other estimators, for JSON or YAML."""
        identity = {"estimator": self.kind, "sources": list(self.sources)}
        if self.path is not None:
            identity["path"] = str(pathlib.Path(self.path).resolve())
        if self.options:
            identity["options"] = dict(self.options)
        if self.kind in ("checkpoint", "tflite"):
            identity["sha256"] = self._hash()
        return identity

    def _hash(self) -> str:
        paths = [pathlib.Path(self.path)]
        if self.kind == "checkpoint":
            paths = [paths[0] / CONFIG, paths[0] / WEIGHTS]
        hashed = hashlib.sha256()
        for path in paths:
            hashed.update(path.read_bytes())
        return hashed.hexdigest()


def of_network(kind: str, path: str, **options) -> Estimator:
    """Returns the estimator of a checkpoint or a TFLite file, with all its sources.

    Args:
        kind: "checkpoint" or "tflite".
        path: The checkpoint, a model's name, or the TFLite file.
        **options: Arguments of separator.load_separator.

    Raises:
        InputError: The path holds no such network, or an option does not fit it.
        OSError: The network cannot be read.
    """
    if kind == "checkpoint":
        checkpoint = Checkpoint.open(path, **options)
        path, sources = checkpoint.directory, checkpoint.config.sources
    else:
        from waveunet_tf.separation.separator import load_tflite_separator

        sources = load_tflite_separator(path).config.sources
    # Beam's workers may run in other folders.
    path = os.path.abspath(path)
    return Estimator(kind, tuple(sources), path, tuple(options.items()))


@functools.lru_cache(maxsize=1)
def _separator(estimator: Estimator, threads: int | None):
    """Loads a network, once a process."""
    if threads:  # Several processes share the GPU.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    from waveunet_tf.separation.separator import load_separator, load_tflite_separator

    if estimator.kind == "tflite":
        return load_tflite_separator(estimator.path, threads=threads)
    return load_separator(estimator.path, threads=threads, **dict(estimator.options))


def _track_folder(root: pathlib.Path, track: Track) -> pathlib.Path:
    """Returns `<root>/<subset>/<track>`, or `<root>/<track>` without subsets."""
    folder = root / track.subset / track.name
    if not (root / track.subset).is_dir() and (root / track.name).is_dir():
        folder = root / track.name
    if not folder.is_dir():
        raise InputError(f"{folder}: must be a folder of estimates, but is none")
    return folder


def _read_estimate(
    folder: pathlib.Path, source: str, sample_rate_hz: int
) -> np.ndarray:
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
    estimate, rate_hz = io.read(paths[0])
    if rate_hz != sample_rate_hz:
        raise InputError(
            f"{paths[0]}: an estimate must have its target's rate, {sample_rate_hz} "
            f"Hz. Received: {rate_hz} Hz"
        )
    return estimate


def ideal_ratio_mask(stems: TrueStems) -> dict[str, np.ndarray]:
    """Estimates sources by an oracle, about the best masks of a spectrogram.

    In each bin of the STFT and each channel, a part's estimate is
    mixture × |part| / Σ |parts|. Where the accompaniment is no part, it is the sum of
    the estimates of all parts but the vocals. This is IRM1 of SiSEC 2018, with its
    settings: Hann windows of 2048 frames that overlap by half, and magnitudes, not
    powers (alpha = 1; reason: A. Liutkus and R. Badeau, "Generalized Wiener filtering
    with fractional power spectrograms", ICASSP 2015; F.-R. Stöter, A. Liutkus, N. Ito,
    "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018).

    Args:
        stems: The true stems.

    Returns:
        Source → float32 `(frames, channels)`.

    Raises:
        InputError: A source is neither a part nor the accompaniment.
    """
    parts = {
        source: [source]
        if source in stems.parts
        else [name for name in stems.parts if name != "vocals"]
        for source in stems.sources
    }
    if unknown := set(parts) - {*stems.parts, "accompaniment"}:
        raise InputError(
            f"oracle_irm: sources must be of {', '.join(stems.parts)}, which add up to "
            f"the mixture, or accompaniment. Received: {min(unknown)}"
        )
    mixture = _stft(stems.mixture)
    total = np.full(mixture.shape, np.finfo(np.float32).eps, np.float32)
    for part in stems.parts.values():
        total += np.abs(_stft(part))
    mixture /= total
    estimates = {source: np.zeros_like(stems.mixture) for source in parts}
    for name, part in stems.parts.items():
        wanted = [source for source in parts if name in parts[source]]
        if wanted:
            _, estimate = scipy.signal.istft(mixture * np.abs(_stft(part)))
        for source in wanted:
            estimates[source] += estimate.T[: len(stems.mixture)]
    return estimates


def _stft(stem: np.ndarray) -> np.ndarray:
    """Returns the spectrogram `(channels, bins, steps)` of `(frames, channels)`."""
    return scipy.signal.stft(stem.T, nperseg=_FFT_FRAMES)[2]
