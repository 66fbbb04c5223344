"""Energies of true and estimated sources in windows of a second, and their metrics.

SDR has no value where a source is silent, and takes extreme values where it is nearly
silent. The energies of the source and its estimate describe such frames. They are
written to `<track>.energies.csv` beside museval's JSON, which has no place for them.
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

from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import scores
from waveunet_tf.system import files

SUFFIX = ".energies.csv"
# Metric → the series of TrackEnergies that it needs.
METRICS = {"PES": "estimate", "wSDR": "reference", "nSDR": "error"}
_SERIES = ("reference", "estimate", "error")
_COLUMNS = ("source", "start_seconds", "window_seconds", "samples", *_SERIES)


@dataclasses.dataclass(frozen=True)
class TrackEnergies:
    """Energies of one track: sums of squares over a window's frames and channels.

    museval's frames are the same windows, except for a shorter last one, which museval
    does not score.

    Attributes:
        name: The track's name.
        window_seconds: The length of a window.
        samples: `(windows,)`, frames × channels of each window.
        reference: Source → `(windows,)`, energy of the true source (full scale 1).
        estimate: Source → `(windows,)`, energy of the estimate.
        error: Source → `(windows,)`, energy of estimate − true source.
    """

    name: str
    window_seconds: float
    samples: np.ndarray
    reference: dict[str, np.ndarray]
    estimate: dict[str, np.ndarray]
    error: dict[str, np.ndarray]

    @property
    def frames(self) -> int:
        """The number of windows that museval scores: all whole ones, or one alone."""
        return max(int(np.sum(self.samples == self.samples[0])), 1)

    def levels_db(self, source: str) -> np.ndarray:
        """Returns a true source's level in museval's frames, `(frames,)` in dBFS."""
        frames = self.frames
        return level_db(self.reference[source][:frames], self.samples[:frames])


def measure_energies(
    name: str,
    references: dict[str, np.ndarray],
    estimates: dict[str, np.ndarray],
    sample_rate_hz: int,
    *,
    window_seconds: float = 1.0,
) -> TrackEnergies:
    """Measures the energies of a track.

    Args:
        name: The track's name.
        references: Source → the true source, `(frames, channels)`.
        estimates: Source → the estimate, `(frames, channels)` or `(frames, 1)`.
        sample_rate_hz: The sample rate in Hz.
        window_seconds: The length of a window.
    """
    window = int(window_seconds * sample_rate_hz)  # as museval rounds
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


def write_track_energies(path: str | os.PathLike, energies: TrackEnergies) -> None:
    """Writes a track's energies.

    Args:
        path: A file whose name ends in SUFFIX.
        energies: The energies.
    """
    with files.atomic_file(path) as part:
        part.write_text(format_track_energies(energies), encoding="utf-8")


def format_track_energies(energies: TrackEnergies) -> str:
    """Returns the content of a track's file."""
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


def read_track_energies(path: str | os.PathLike) -> TrackEnergies:
    """Reads a track's energies.

    Args:
        path: A file that `write_track_energies` wrote.

    Raises:
        InputError: The file holds something else.
        OSError: The file cannot be read.
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
            f"{path}: must be energies as `waveunet score` writes them, but "
            f"is not: {error}"
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


def read_system_energies(
    scores_dir: str | os.PathLike,
    *,
    left_out: Callable[[InputError | OSError], Any] | None = None,
) -> dict[str, TrackEnergies]:
    """Reads all energies of a system.

    Args:
        scores_dir: A folder of the files, or of folders with them, such as `test/`.
        left_out: Called with the error of each file that cannot be read, which is then
            left out. By default the first error is raised.

    Returns:
        The track's name → its energies, sorted by name.

    Raises:
        InputError: The folder has no energies, a file holds something else, or two
            files have the same name.
    """
    return scores.read_track_files(
        scores_dir,
        SUFFIX,
        f"files *{SUFFIX} of `waveunet score`",
        read_track_energies,
        left_out,
    )


def level_db(energy: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """Returns levels in dBFS: a square wave of full scale has 0, a sine −3.01.

    Args:
        energy: `(windows,)`, sums of squares.
        samples: `(windows,)`, the number of samples in each sum.

    Returns:
        `(windows,)`, the mean square in dB; −inf for silence.
    """
    with np.errstate(divide="ignore"):
        return 10 * np.log10(np.asarray(energy, np.float64) / samples)


def predicted_energy_at_silence_db(
    track: TrackEnergies, source: str, *, silence_dbfs: float = -math.inf
) -> np.ndarray:
    """Returns PES: the energy of the estimate where the true source is silent.

    PES is 10 log10(Σ ŝ² + 1e-12) of each window of a second in which the source is
    silent, where SDR has no value. Lower is better; −120 dB means a silent estimate.
    The mean over all such windows is the number to report.

    Source: K. Schulze-Forster, C. Doire, G. Richard, R. Badeau, "Weakly informed audio
    source separation", WASPAA 2019, and the authors' code (schufo/wiass), for one
    channel. Here the sum also runs over channels, as museval's energies do.

    Args:
        track: The track's energies.
        source: The source's name.
        silence_dbfs: The highest level that counts as silence; by default, as in the
            paper, only zeros do.

    Returns:
        `(windows,)` in dB, of the silent windows alone.
    """
    silent = track.levels_db(source) <= silence_dbfs
    return 10 * np.log10(track.estimate[source][: track.frames][silent] + 1e-12)


def weighted_sdr_db(sdr_db: np.ndarray, reference: np.ndarray) -> float:
    """Returns wSDR: the mean of a track's SDR, weighted by the source's energy.

    wSDR is Σ e_t SDR_t / Σ e_t over the frames t that have a score, where e_t is the
    energy of the true source. A nearly silent frame has nearly no weight, however
    extreme its SDR. Source: no publication fixes this weight for museval's frames. It
    is the weighted mean of the global NSDR (C.-L. Hsu, J.-S. R. Jang, "On the
    improvement of singing voice separation for monaural recordings using the MIR-1K
    dataset", IEEE TASLP 18(2), 2010), which weights clips by their length, with energy
    in place of length.

    Args:
        sdr_db: `(frames,)`, SDR of museval's frames in dB; NaN: no score.
        reference: `(frames,)`, the true source's energy.

    Returns:
        The mean in dB; NaN where no frame with a score has energy.
    """
    scored = ~np.isnan(sdr_db)
    weights = reference[scored]
    if not weights.sum():
        return math.nan
    return float(np.sum(weights * sdr_db[scored]) / weights.sum())


def whole_track_sdr_db(track: TrackEnergies, source: str) -> float:
    """Returns nSDR: the SDR of the 2021 challenge, one value for the whole track.

    nSDR is 10 log10((Σ s² + 1e-7) / (Σ (ŝ − s)² + 1e-7)), with sums over all frames and
    channels. It has no distortion filter: a wrong gain counts as error. Silence has a
    value too: a silent estimate has 0 dB, and a silent source the less the louder its
    estimate. Source: Y. Mitsufuji et al., "Music Demixing Challenge 2021", Frontiers in
    Signal Processing 1, 2022 (arXiv 2108.13559); the constant is that of the
    challenge's evaluation code. The name is Demucs' ("new SDR").

    Args:
        track: The track's energies.
        source: The source's name.
    """
    signal, error = np.sum(track.reference[source]), np.sum(track.error[source])
    return float(10 * np.log10((signal + 1e-7) / (error + 1e-7)))
