"""The true stems of a track, sample for sample as the official scores take them."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterable

import numpy as np

from waveunet_tf.data.tracks import Track
from waveunet_tf.evaluate import energies
from waveunet_tf.evaluate.energies import TrackEnergies


@dataclasses.dataclass(frozen=True)
class TrueStems:
    """A track's stems, float32 `(frames, channels)` each.

    Attributes:
        mixture: The song.
        sources: Name → stem, of the sources that were asked for.
        parts: Name → stem, of the stems that add up to the mixture.
        sample_rate_hz: The sample rate in Hz.
    """

    mixture: np.ndarray
    sources: dict[str, np.ndarray]
    parts: dict[str, np.ndarray]
    sample_rate_hz: int


def read_true_stems(track: Track, sources: Iterable[str]) -> TrueStems:
    """Reads a track's stems.

    musdb, from which museval takes MUSDB18, rounds every stream to 16 bits before it
    sums them. So does this function with streams of lossy codecs. It turns the faint
    rest that a codec leaves of silence into silence, and such a second has no score, as
    in the published ones. It also leaves a floor of noise above the codec's cut-off
    frequency, which museval's filters need.

    Args:
        track: The track.
        sources: Names of the sources. Where no stem is called accompaniment, it is the
            sum of all parts but the vocals.

    Raises:
        InputError: The track lacks a source, or its stems do not fit together.
        OSError: A file cannot be read.
    """
    sources = tuple(sources)
    with track.open(_names_read(track, sources)) as reader:
        stems, rate_hz = reader.read(), reader.sample_rate_hz
    for name, stem in stems.items():
        is_sum = name == "mixture" and track.mixture is None
        if reader.bit_depths[name] == 16 and not is_sum:  # 16 bits stay what they are
            stems[name] = _as_16_bit(stem)
    mixture = stems.pop("mixture")
    if "accompaniment" in sources and "accompaniment" not in stems:
        stems["accompaniment"] = sum(
            stems[name] for name in track.part_names if name != "vocals"
        )
    return TrueStems(
        mixture,
        {name: stems[name] for name in sources},
        {name: stems[name] for name in track.part_names},
        rate_hz,
    )


def true_files(track: Track, sources: Iterable[str]) -> list[pathlib.Path]:
    """Lists the files that `read_true_stems` reads.

    Args:
        track: The track.
        sources: Names of the sources.

    Raises:
        InputError: The track lacks a source.
    """
    return sorted(track.paths(_names_read(track, sources)))


def _names_read(track: Track, sources: Iterable[str]) -> tuple[str, ...]:
    own = {name: None for name in (*track.part_names, *sources)}
    if "accompaniment" not in track.sources and {"vocals"} < set(track.sources):
        own.pop("accompaniment", None)  # summed later, of rounded stems
    return tuple(own)


def _as_16_bit(stem: np.ndarray) -> np.ndarray:
    steps = np.float32(2**15)
    return np.rint(stem * steps).clip(-steps, steps - 1) / steps


def measure_true_stems(track: Track, sources: Iterable[str]) -> TrackEnergies:
    """Measures the energies of a track's true stems, without those of any estimate.

    Args:
        track: The track.
        sources: Names of the sources.

    Raises:
        InputError: The track lacks a source, or its stems do not fit together.
        OSError: A file cannot be read.
    """
    stems = read_true_stems(track, sources)
    measured = energies.measure_energies(
        track.name, stems.sources, stems.sources, stems.sample_rate_hz
    )
    return dataclasses.replace(measured, estimate={}, error={})
