"""Shows what a prepared data set holds: a table, a picture, and files to listen to."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import pathlib
from typing import NamedTuple

import numpy as np
import tqdm

from waveunet_tf.audio import io
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data.manifest import read_manifest
from waveunet_tf.data.tracks import SUBSETS
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

# A piece whose level is below this is silence.
SILENCE_DBFS = -60.0
_PIECE_FRAMES = 1024
_MOST_FRAMES = 2**28  # which a network's output may have
# The most excerpts side by side, of 400 pixels each; pictures of lines have no end.
_DPI, _EXCERPT_INCHES = 100, 4
_MOST_PIXELS = dict.fromkeys(
    ("jpeg", "jpg", "png", "raw", "rgba", "tif", "tiff"), 65499
)
_MOST_PIXELS["webp"] = 16383


class StemLevels(NamedTuple):
    """The levels of a stem over some tracks.

    Attributes:
        seconds: The length of the audio.
        rms_dbfs: The level of all of it, in dB of full scale (a full sine has -3).
        peak_dbfs: The largest sample, in dB of full scale.
        silence: The share that is below SILENCE_DBFS, from 0 to 1.
    """

    seconds: float
    rms_dbfs: float
    peak_dbfs: float
    silence: float


class _Levels:
    """Sums the energy of audio block by block."""

    def __init__(self):
        self._frames, self._samples, self._energy, self._peak = 0, 0, 0.0, 0.0
        self._pieces, self._silent = 0, 0
        self._rest = None

    def add(self, block: np.ndarray) -> None:
        self._frames += len(block)
        self._samples += block.size
        self._energy += float(np.sum(np.square(block, dtype=np.float64)))
        self._peak = max(self._peak, float(np.abs(block).max(initial=0)))
        if self._rest is not None:
            block = np.concatenate([self._rest, block])
        count = len(block) // _PIECE_FRAMES
        pieces = block[: count * _PIECE_FRAMES].reshape(
            count, _PIECE_FRAMES * block.shape[1]
        )
        levels = np.mean(np.square(pieces, dtype=np.float64), axis=1)
        self._pieces += count
        self._silent += int(np.count_nonzero(levels < 10 ** (SILENCE_DBFS / 10)))
        self._rest = block[count * _PIECE_FRAMES :]

    def merge(self, other: _Levels) -> None:
        """Adds the sums of another."""
        self._frames += other._frames
        self._samples += other._samples
        self._energy += other._energy
        self._peak = max(self._peak, other._peak)
        self._pieces += other._pieces
        self._silent += other._silent

    def result(self, sample_rate_hz: int) -> StemLevels:
        return StemLevels(
            self._frames / sample_rate_hz,
            _db(math.sqrt(self._energy / max(self._samples, 1))),
            _db(self._peak),
            self._silent / max(self._pieces, 1),
        )


def _db(amplitude: float) -> float:
    return 20 * math.log10(max(amplitude, 1e-10))


def measure_levels(
    data_dir: str | os.PathLike,
) -> dict[tuple[str, str], tuple[int, StemLevels]]:
    """Measures a prepared data set, in constant memory.

    Returns:
        (subset, stem) → the number of tracks, and the levels over all of them.

    Raises:
        InputError: The manifest or a file is missing or broken.
    """
    manifest = read_manifest(data_dir)
    sums: dict[tuple[str, str], _Levels] = {}
    counts: dict[tuple[str, str], int] = {}
    for label in tqdm.tqdm(
        manifest["tracks"], "measure", unit="track", disable=None, leave=False
    ):
        for name in ("mixture", *manifest["sources"]):
            path = pathlib.Path(data_dir) / label / f"{name}.wav"
            levels = _Levels()
            try:
                with AudioReader(path) as reader:
                    for block in reader.blocks():
                        levels.add(block)
            except FileNotFoundError:
                raise InputError(f"{path}: is in the manifest, but missing") from None
            key = label.partition("/")[0], name
            sums.setdefault(key, _Levels()).merge(levels)
            counts[key] = counts.get(key, 0) + 1
    rate_hz = manifest["sample_rate_hz"]
    return {key: (counts[key], sums[key].result(rate_hz)) for key in sums}


def format_table(data_dir: str | os.PathLike) -> str:
    """Formats a prepared data set's levels, rate, residuals and clipped tracks.

    Raises:
        InputError: The manifest or a file is missing or broken.
    """
    manifest = read_manifest(data_dir)
    lines = [
        f"{'subset':<8}{'stem':<16}{'tracks':>7}{'hours':>8}{'level dBFS':>12}"
        f"{'peak dBFS':>11}{'silence':>9}"
    ]
    measured = measure_levels(data_dir)
    for subset in SUBSETS:
        for (of_subset, name), (count, levels) in measured.items():
            if of_subset == subset:
                lines.append(
                    f"{subset:<8}{name:<16}{count:>7}{levels.seconds / 3600:>8.2f}"
                    f"{levels.rms_dbfs:>12.1f}{levels.peak_dbfs:>11.1f}"
                    f"{levels.silence:>9.0%}"
                )
    entries = manifest["tracks"]
    residuals = np.array([entry["residual_db"] for entry in entries.values()])
    clipped = sum(entry["clipped_samples"] > 0 for entry in entries.values())
    lines += [
        "",
        f"{manifest['sample_rate_hz']} Hz, {manifest['bit_depth']} bits; validation: "
        f"{manifest['validation'] or 'as in the source'}",
        f"silence: pieces of {_PIECE_FRAMES} frames below {SILENCE_DBFS:.0f} dBFS",
    ]
    if len(residuals):
        worst = max(entries, key=lambda label: entries[label]["residual_db"])
        lines += [
            f"mixture - sum of sources: median {np.median(residuals):.1f} dB of the "
            f"mixture, worst {residuals.max():.1f} dB ({worst})",
            f"tracks with clipped samples: {clipped}",
        ]
    if estimated := sum("estimates" in entry for entry in entries.values()):
        lines.append(f"tracks whose stems are a teacher's estimates: {estimated}")
    return "\n".join(lines)


def draw_excerpts(
    data_dir: str | os.PathLike,
    subset: str,
    training: TrainingConfig,
    *,
    count: int,
    seconds: float,
) -> list[dict[str, np.ndarray]]:
    """Draws random excerpts as a training would, without audio around them.

    Args:
        data_dir: The prepared folder.
        subset: The subset to draw from: train, valid or test.
        training: The seed, how tracks are drawn, the augmentation.
        count: The number of excerpts.
        seconds: The length of an excerpt.

    Returns:
        For each excerpt `mixture` and each source → float32 `(frames, channels)`.

    Raises:
        InputError: The folder or the subset is missing; it holds one source alone; no
            track is long enough.
    """
    # Here, because they import TensorFlow, which a table does not need.
    from waveunet_tf.data import excerpts, prepared

    manifest = read_manifest(data_dir)
    rate_hz = manifest["sample_rate_hz"]
    if len(manifest["sources"]) < 2:
        raise InputError(
            f"{data_dir}: must hold two sources or more, as a network separates, to "
            f"draw excerpts. Received: {', '.join(manifest['sources'])}"
        )
    config = WaveUNetConfig(
        num_levels=1,
        context=False,
        sample_rate_hz=rate_hz,
        output_frames=2 * max(round(min(seconds * rate_hz, _MOST_FRAMES) / 2), 1),
        sources=tuple(manifest["sources"]),
        channels=min(
            (entry["channels"] for entry in manifest["tracks"].values()), default=2
        ),
    )
    tracks = prepared.load_prepared(data_dir, config, subset)
    longest = max(track.frames for track in tracks)
    if config.output_frames > longest:
        most = 10 * longest // rate_hz / 10  # rounded down, so that it is allowed
        raise InputError(
            f"`seconds` must be at most the longest track's {most}. Received: {seconds}"
        )
    training = dataclasses.replace(training, batch_size=1)
    batches = excerpts.random_excerpts(tracks, config, training).as_numpy_iterator()
    return [
        {"mixture": mixture[0], **{name: stem[0] for name, stem in sources.items()}}
        for mixture, sources in itertools.islice(batches, count)
    ]


def write_excerpts(
    folder: str | os.PathLike, excerpts: list[dict[str, np.ndarray]], rate_hz: int
) -> list[pathlib.Path]:
    """Writes excerpts as wav files `<number>_<name>.wav`.

    Args:
        folder: The folder to write into.
        excerpts: Dicts of name → `(frames, channels)`.
        rate_hz: The excerpts' sample rate in Hz.

    Returns:
        The paths of the files.
    """
    paths = []
    for number, excerpt in enumerate(excerpts):
        for name, stem in excerpt.items():
            path = pathlib.Path(folder) / f"{number}_{name}.wav"
            io.write_wav(path, stem, rate_hz)
            paths.append(path)
    return paths


def check_picture(path: str | os.PathLike, count: int) -> None:
    """Checks that a file's suffix is one of a picture, which holds so many excerpts.

    Raises:
        InputError: The suffix is unknown to matplotlib, or there are too many excerpts.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    suffix = pathlib.Path(path).suffix[1:].lower()
    if suffix not in FigureCanvasAgg.filetypes:
        known = ", ".join(sorted(FigureCanvasAgg.filetypes))
        raise InputError(f"{path}: a picture's suffix must be one of {known}")
    most = _MOST_PIXELS.get(suffix, math.inf) // (_DPI * _EXCERPT_INCHES)
    if count > most:
        raise InputError(
            f"{path}: a {suffix} must be of at most {most:.0f} excerpts. Received: "
            f"{count}"
        )


def plot_excerpts(
    path: str | os.PathLike, excerpts: list[dict[str, np.ndarray]], rate_hz: int
) -> None:
    """Draws each excerpt in a column: the waveform and the spectrogram of each stem.

    Args:
        path: The picture's file, of a suffix that matplotlib knows.
        excerpts: Dicts of name → float32 `(frames, channels)`, with the same names in
            each.
        rate_hz: The excerpts' sample rate in Hz.

    Raises:
        InputError: The suffix is unknown to matplotlib, or there are too many excerpts.
        OSError: The picture cannot be written.
    """
    from matplotlib.figure import Figure

    check_picture(path, len(excerpts))
    names = list(excerpts[0])
    size = (_EXCERPT_INCHES * len(excerpts), 3 * len(names))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(2 * len(names), len(excerpts), squeeze=False, sharex="col")
    for column, excerpt in enumerate(excerpts):
        axes[0, column].set_title(f"excerpt {column}")
        axes[-1, column].set_xlabel("seconds")
        for row, name in enumerate(names):
            stem = excerpt[name]
            seconds = np.arange(len(stem)) / rate_hz
            above, below = axes[2 * row, column], axes[2 * row + 1, column]
            above.plot(seconds, stem, linewidth=0.3)
            above.set_ylim(-1, 1)
            _draw_spectrogram(below, stem, rate_hz)
            if not column:
                above.set_ylabel(name)
                below.set_ylabel("Hz")
    if excerpts[0][names[0]].shape[1] == 2:
        axes[0, 0].legend(("left", "right"), loc="upper right", fontsize="small")
    with files.atomic_file(path) as part:
        figure.savefig(part, dpi=_DPI)


def _draw_spectrogram(axes, stem: np.ndarray, rate_hz: int) -> None:
    """Draws the mean of the channels' powers; channels that cancel are heard, too."""
    from matplotlib import mlab

    frames = min(1024, len(stem) // 2)  # a single window would be a warning
    window = {"NFFT": frames, "noverlap": frames // 2, "Fs": rate_hz}
    spectra = [mlab.specgram(channel, **window)[0] for channel in stem.T]
    axes.imshow(
        10 * np.log10(np.mean(spectra, axis=0) + 1e-20),
        extent=(0, len(stem) / rate_hz, 0, rate_hz / 2),
        origin="lower",
        aspect="auto",
        vmin=-140,
        vmax=-30,
    )
