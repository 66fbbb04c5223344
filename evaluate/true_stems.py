"""The true stems of a track, sample for sample as the official scores take them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from evaluate import energies
from evaluate.energies import TrackEnergies
from waveunet_tf.data.tracks import Track

_LOSSLESS = frozenset((".wav", ".flac", ".aif", ".aiff"))


@dataclasses.dataclass(frozen=True)
class TrueStems:
    """A track's stems, float32 `(frames, channels)` each.

    Attributes:
        mixture: the song.
        sources: those asked for, by name.
        parts: what adds up to the mixture, by name.
        sample_rate_hz: sample rate in Hz.
    """

    mixture: np.ndarray
    sources: dict[str, np.ndarray]
    parts: dict[str, np.ndarray]
    sample_rate_hz: int


def read(track: Track, sources: Iterable[str]) -> TrueStems:
    """Reads a track.

    musdb, from which museval takes MUSDB18, rounds every stream to 16 bits before it
    sums them; so does this with those of lossy codecs. What a codec leaves of silence
    becomes silence thereby, and the second gets no score, as in the published ones. And
    above the codec's cut-off, where nothing at all would be left for museval's filters
    to hold on to, there is a floor of noise.

    Args:
        track: the track.
        sources: those wished for; accompaniment is the sum of all but the vocals where
            no stem has that name.

    Raises:
        InputError: see tracks.Track.read.
        OSError: a file cannot be read.
    """
    sources = tuple(sources)
    own = {name: None for name in (*track.part_names, *sources)}
    if "accompaniment" not in track.sources and "vocals" in track.sources:
        own.pop("accompaniment", None)  # summed below, of rounded stems
    stems, rate_hz = track.read(tuple(own))
    streams = {**track.sources, "mixture": track.mixture}
    for name, stem in stems.items():
        stream = streams[name]
        if stream and stream.path.suffix.lower() not in _LOSSLESS:
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


def _as_16_bit(stem: np.ndarray) -> np.ndarray:
    steps = np.float32(2**15)
    return np.rint(stem * steps).clip(-steps, steps - 1) / steps


def measure(track: Track, sources: Iterable[str]) -> TrackEnergies:
    """The energies of a track's true stems, without those of any estimate."""
    stems = read(track, sources)
    measured = energies.measure(
        track.name, stems.sources, stems.sources, stems.sample_rate_hz
    )
    return dataclasses.replace(measured, estimate={}, error={})
