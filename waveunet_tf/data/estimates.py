"""Tracks whose stems are a teacher's estimates: who made them, and whether they fit."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from waveunet_tf.errors import InputError
from waveunet_tf.system import files

# True stems are at most some dB louder than their mixture, where they cancel.
_MAX_LEVEL_DB = 6.0
_SILENCE = 1e-20


@dataclasses.dataclass(frozen=True)
class Estimates:
    """Stems of a track that a separator estimated, a teacher.

    Attributes:
        stems: The names of the stems.
        teacher: The teacher's kind, such as checkpoint, its name, and its SHA-256.
    """

    stems: tuple[str, ...]
    teacher: Mapping[str, str]

    def __str__(self) -> str:
        name, sha256 = self.teacher["name"], self.teacher["sha256"]
        return f"estimates of the teacher {name} (hash {sha256[:12]})"

    def to_dict(self) -> dict[str, Any]:
        """Returns what a manifest holds of them."""
        return {"stems": list(self.stems), "teacher": dict(self.teacher)}

    @classmethod
    def from_dict(cls, values: Any, place: object) -> Estimates:
        """Takes what `to_dict` gave.

        Args:
            values: What a manifest holds.
            place: Where it holds it, for errors.

        Raises:
            InputError: These are no such values.
        """
        stems, teacher = None, None
        if isinstance(values, dict):
            stems, teacher = values.get("stems"), values.get("teacher")
        if not (
            isinstance(stems, list)
            and all(isinstance(stem, str) for stem in stems)
            and isinstance(teacher, dict)
            and set(teacher) == {"kind", "name", "sha256"}
            and all(isinstance(text, str) for text in teacher.values())
        ):
            raise InputError(
                f"{place} `estimates` must tell stems and a teacher's kind, name and "
                f"sha256. Received: {values!r}"
            )
        return cls(tuple(stems), teacher)

    def among(self, sources: Sequence[str], own: Collection[str]) -> Estimates:
        """Returns the estimates among sources that are made of the track's stems.

        Args:
            sources: The names of the sources.
            own: The names of the track's stems. Other sources are sums or rests of
                them, and so estimates, too.
        """
        stems = (name for name in sources if name in self.stems or name not in own)
        return dataclasses.replace(self, stems=tuple(stems))


def read_estimates(path: str | os.PathLike) -> dict[str, Estimates]:
    """Reads which tracks of a folder have estimates for stems.

    Args:
        path: The manifest of `teach` or `prepare`; it need not exist.

    Returns:
        Label, and the track's name alone → its estimates. So a track that was moved to
        another subset keeps them.

    Raises:
        InputError: The manifest is broken.
        OSError: It cannot be read.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        return {}
    text = path.read_text("utf-8", errors="surrogateescape")  # as `prepare` writes it
    manifest = files.parse_json(text, path)
    tracks = manifest.get("tracks") if isinstance(manifest, dict) else None
    found = {}
    for label, entry in tracks.items() if isinstance(tracks, dict) else ():
        if isinstance(entry, dict) and "estimates" in entry:
            place = f"{path}: {label}:"
            found[label] = Estimates.from_dict(entry["estimates"], place)
    return {label.partition("/")[2]: found[label] for label in found} | found


class EstimateLevels:
    """Sums a mixture's energy and its stems', to find estimates that cannot be its."""

    def __init__(self):
        """Begins a track."""
        self._energies: dict[str, float] = {}

    def add(self, block: Mapping[str, np.ndarray]) -> None:
        """Adds the next frames: `mixture` and each stem → `(frames, channels)`."""
        for name, samples in block.items():
            energy = float(np.sum(np.square(samples, dtype=np.float64)))
            self._energies[name] = self._energies.get(name, 0.0) + energy

    def level_db(self, stem: str) -> float:
        """Returns a stem's energy over the mixture's, in dB, at least -200."""
        ratio = self._energies[stem] / max(self._energies["mixture"], _SILENCE)
        return float(10 * np.log10(max(ratio, _SILENCE)))

    def is_silent(self, name: str) -> bool:
        """Returns whether the mixture or a stem has no sound at all."""
        return self._energies.get(name, 0.0) <= _SILENCE

    def check(self, place: object) -> None:
        """Checks that the stems may be estimates of the mixture's sources.

        Args:
            place: The song or track, for errors.

        Raises:
            InputError: The mixture is silent, a stem is louder than it by far, or one
                is not finite.
        """
        for name, energy in self._energies.items():
            if not np.isfinite(energy):
                raise InputError(
                    f"{place}: the mixture and its estimates must be finite. "
                    f"Received: NaN or infinity in {name}"
                )
        if self.is_silent("mixture"):
            raise InputError(
                f"{place}: the mixture of estimates must have sound. "
                "Received: silence throughout"
            )
        for stem in self._energies:
            if (level_db := self.level_db(stem)) > _MAX_LEVEL_DB:
                raise InputError(
                    f"{place}: an estimate must be at most {_MAX_LEVEL_DB:g} dB louder "
                    f"than its mixture. Received: {stem}, {level_db:.1f} dB louder"
                )
