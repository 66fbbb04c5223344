"""Energies of true and estimated sources in windows of a second, and what they tell.

SDR has no value where a source is silent, and runs to extremes where it nearly is. How
loud a source is in a frame, and what is left of it there, says what SDR cannot. It
stands in `<track>.energies.csv` beside museval's JSON, which has no place for it.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from evaluate import scores
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

SUFFIX = ".energies.csv"
# What they measure, and the series (see TrackEnergies) without which it cannot be.
METRICS = {"PES": "estimate", "wSDR": "reference", "nSDR": "error"}
_SERIES = ("reference", "estimate", "error")
_COLUMNS = ("source", "start_seconds", "window_seconds", "samples", *_SERIES)


@dataclasses.dataclass(frozen=True)
class TrackEnergies:
    """Energies of one track: the sum of squares over a window's frames and channels.

    museval's frames are the same windows, but for a last one that is shorter, which it
    does not score.

    Attributes:
        name: the track's name.
        window_seconds: how long a window is.
        samples: `(windows,)`, frames × channels of each window.
        reference: source → `(windows,)`, of the true source, full scale 1.
        estimate: source → `(windows,)`, of its estimate.
        error: source → `(windows,)`, of estimate − true source.
    """

    name: str
    window_seconds: float
    samples: np.ndarray
    reference: dict[str, np.ndarray]
    estimate: dict[str, np.ndarray]
    error: dict[str, np.ndarray]

    @property
    def frames(self) -> int:
        """How many of the windows museval scores: the whole ones, or else the first."""
        return max(int(np.sum(self.samples == self.samples[0])), 1)

    def levels_db(self, source: str) -> np.ndarray:
        """The true source's level in each of museval's frames, `(frames,)` in dBFS."""
        frames = self.frames
        return level_db(self.reference[source][:frames], self.samples[:frames])


def measure(
    name: str,
    references: dict[str, np.ndarray],
    estimates: dict[str, np.ndarray],
    sample_rate_hz: int,
    *,
    window_seconds: float = 1.0,
) -> TrackEnergies:
    """Measures the energies of a track.

    Args:
        name: the track's name.
        references: source → the true source, `(frames, channels)`.
        estimates: source → its estimate, of the same shape or mono.
        sample_rate_hz: sample rate in Hz.
        window_seconds: how long a window is.
    """
    window = int(window_seconds * sample_rate_hz)  # as museval has it
    frames, channels = next(iter(references.values())).shape
    starts = np.arange(0, frames, window)
    energies: dict[str, dict[str, np.ndarray]] = {series: {} for series in _SERIES}
    for source, reference in references.items():
        rows = [
            _window_energies(
                reference[start : start + window],
                estimates[source][start : start + window],
            )
            for start in starts
        ]
        for series, values in zip(_SERIES, np.array(rows).T):
            energies[series][source] = values
    samples = np.minimum(window, frames - starts) * channels
    return TrackEnergies(name, window_seconds, samples, **energies)


def _window_energies(reference, estimate) -> tuple[float, float, float]:
    reference = np.asarray(reference, np.float64)
    estimate = np.broadcast_to(np.asarray(estimate, np.float64), reference.shape)
    return tuple(
        float(np.sum(np.square(part)))
        for part in (reference, estimate, estimate - reference)
    )


def write_track(path: str | os.PathLike, energies: TrackEnergies) -> None:
    """Writes a track's energies; `path` ends in SUFFIX."""
    with files.atomic_file(path) as part:
        part.write_text(format_track(energies), encoding="utf-8")


def format_track(energies: TrackEnergies) -> str:
    """The content of a track's file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for source in energies.reference:
        for window, samples in enumerate(energies.samples):
            values = [getattr(energies, series)[source][window] for series in _SERIES]
            writer.writerow(
                [
                    source,
                    f"{window * energies.window_seconds:g}",
                    f"{energies.window_seconds:g}",
                    int(samples),
                    *(f"{value:.9g}" for value in values),
                ]
            )
    return text.getvalue()


def read_track(path: str | os.PathLike) -> TrackEnergies:
    """Reads a track's energies.

    Raises:
        InputError: the file is not as `write_track` writes it.
        OSError: it cannot be read.
    """
    path = pathlib.Path(path)
    rows: dict[str, list[list[float]]] = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != _COLUMNS:
                raise ValueError(f"its first line must be {','.join(_COLUMNS)}")
            for row in reader:
                if len(row) != len(_COLUMNS):
                    raise ValueError(f"line {reader.line_num} must have all columns")
                values = [float(value) for value in row[1:]]
                if not all(math.isfinite(value) and value >= 0 for value in values):
                    raise ValueError(f"line {reader.line_num} must have energies")
                rows.setdefault(row[0], []).append(values)
        columns = {source: np.array(values).T for source, values in rows.items()}
        if not columns or len({column.shape for column in columns.values()}) > 1:
            raise ValueError("all sources must have the same windows")
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"{path}: must be energies as run_musdb writes them, but is not: {error}"
        ) from error
    _, seconds, samples, *_ = next(iter(columns.values()))
    return TrackEnergies(
        path.name[: -len(SUFFIX)],
        float(seconds[0]),
        samples.astype(np.int64),
        *(
            {source: column[3 + n] for source, column in columns.items()}
            for n in range(3)
        ),
    )


def read_system(
    scores_dir: str | os.PathLike,
    *,
    left_out: Callable[[InputError | OSError], Any] | None = None,
) -> dict[str, TrackEnergies]:
    """Reads all energies of a system; see scores.read_system."""
    return scores.read_files(
        scores_dir, SUFFIX, f"files *{SUFFIX} of run_musdb", read_track, left_out
    )


def level_db(energy, samples) -> np.ndarray:
    """The level of an energy in dBFS: a square wave of full scale has 0, a sine −3.01.

    Args:
        energy: sums of squares, of any shape.
        samples: of how many samples each.

    Returns:
        The mean square in dB; −inf for silence.
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.asarray(energy, np.float64) / samples)


def predicted_energy_at_silence_db(
    track: TrackEnergies, source: str, *, silence_dbfs: float = -math.inf
) -> np.ndarray:
    """PES: the energy of the estimate where the true source is silent.

    10 log10(Σ ŝ² + 1e-12) of every window of a second in which the source is silent,
    for which SDR has no value; the lower the better, -120 dB where the estimate is
    silent, too. Its mean over all such windows is the number to report.

    Source: K. Schulze-Forster, C. Doire, G. Richard, R. Badeau, "Weakly informed audio
    source separation", WASPAA 2019, and the code of the authors (schufo/wiass),
    for one channel; here the sum also runs over channels, as museval's energies do.

    Args:
        track: the track's energies.
        source: which.
        silence_dbfs: up to which level a source counts as silent; by default, as in
            the paper, it does where all samples are zero.

    Returns:
        `(silent windows,)` in dB.
    """
    silent = track.levels_db(source) <= silence_dbfs
    return 10 * np.log10(track.estimate[source][: track.frames][silent] + 1e-12)


def weighted_sdr_db(sdr_db: np.ndarray, reference: np.ndarray) -> float:
    """Energy-weighted SDR: the mean of a track's SDR, weighted by the source's energy.

    Σ e_t SDR_t / Σ e_t over the frames t that have a score, e_t being the energy of the
    true source: a nearly silent frame counts for next to nothing, however extreme its
    SDR. Source: no publication fixes this weight for museval's frames. It is the
    weighted mean of the global NSDR (C.-L. Hsu, J.-S. R. Jang, "On the improvement of
    singing voice separation for monaural recordings using the MIR-1K dataset", IEEE
    TASLP 18(2), 2010), which weights clips by their length, with energy in
    the place of length.

    Args:
        sdr_db: SDR of each of museval's frames, `(frames,)` in dB; NaN: no score.
        reference: the true source's energy in each of them, `(frames,)`.

    Returns:
        In dB; NaN if no frame that is scored has energy.
    """
    scored = ~np.isnan(sdr_db)
    weights = reference[scored]
    if not weights.sum():
        return math.nan
    return float(np.sum(weights * sdr_db[scored]) / weights.sum())


def whole_track_sdr_db(track: TrackEnergies, source: str) -> float:
    """nSDR: the SDR of the 2021 challenge, one value for the whole track.

    10 log10((Σ s² + 1e-7) / (Σ (ŝ − s)² + 1e-7)), sums over all frames and channels,
    without any distortion filter: a wrong gain counts as error. Silence has a value,
    too: 0 dB for a silent estimate of anything, and for a silent source less the more
    is left. Source: Y. Mitsufuji et al., "Music Demixing Challenge 2021", Frontiers in
    Signal Processing 1, 2022 (arXiv 2108.13559); the constant is that of
    the challenge's evaluation code. The name is Demucs' ("new SDR").
    """
    signal, error = np.sum(track.reference[source]), np.sum(track.error[source])
    return float(10 * np.log10((signal + 1e-7) / (error + 1e-7)))
