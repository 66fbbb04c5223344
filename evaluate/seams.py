"""Steps in the output where windows of a network without context meet.

Such a network does not know the song beyond its window. So its estimates do not fit
together at the windows' borders, which clicks (paper, section 3.2.2, and its figure of
a spectrogram of vocals with these borders). A network with context has no such steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import figures
from waveunet_tf.networks import shapes

# A step at a seam is compared with the steps up to this distance from it.
NEAR_SECONDS = 0.01
# Steps between two seams are measured here: from an eighth to seven eighths.
_BETWEEN_64THS = range(8, 57)
# The figure shows this much on each side of a seam.
_SPECTROGRAM_SECONDS = 0.15
_WAVEFORM_SECONDS = 0.004
_FFT_FRAMES, _FFT_HOP = 256, 16
_RANGE_DB = 80


@dataclasses.dataclass(frozen=True)
class SeamEnergy:
    """How much the steps at seams stand out (`measure_seams`).

    Attributes:
        seams: The number of seams.
        seam_db: The energy of the steps at seams over that of the steps near them.
        between_db: The same for 49 places between each two seams, all together.
        highest_between_db: The highest of the 49 values that each place has alone, from
            as many steps as there are seams. Chance gives as much.
    """

    seams: int
    seam_db: float
    between_db: float
    highest_between_db: float


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A network's estimate of a stem.

    Attributes:
        name: The network's name.
        audio: `(frames, channels)`, at the network's rate.
        sample_rate_hz: The network's rate in Hz.
        seams: The frames at which windows meet; for a network without windows, those
            of another network.
        has_seams: Whether the seams are the network's own.
    """

    name: str
    audio: np.ndarray
    sample_rate_hz: int
    seams: Sequence[int]
    has_seams: bool

    def measure(self) -> SeamEnergy:
        """Measures how much the steps at the seams stand out."""
        return measure_seams(self.audio, self.seams, self.sample_rate_hz)


def find_seams(
    configs: dict[str, NetworkConfig], song_seconds: float
) -> dict[str, tuple[list[int], bool]]:
    """Finds the places to measure in the networks' estimates of a song.

    A network without seams is measured at the seams of the first network that has some.
    If none has any, all are measured where windows of the first network's training
    would meet.

    Args:
        configs: Name → the network's config.
        song_seconds: The song's length.

    Returns:
        Name → frames at the network's rate, and whether they are its own seams.

    Raises:
        InputError: The song is not longer than a window.
    """
    own = {
        name: shapes.seam_frames(config, int(song_seconds * config.sample_rate_hz))
        for name, config in configs.items()
    }
    model = configs[next((name for name in own if own[name]), next(iter(own)))]
    hop = model.output_frames
    end = int(song_seconds * model.sample_rate_hz)
    places = shapes.seam_frames(model, end) or range(hop, end, hop)
    if not places:
        raise InputError(
            "a song must be longer than a window to have seams, "
            f"{hop / model.sample_rate_hz:.2f} s. Received: {song_seconds:.2f} s"
        )
    return {
        name: (
            list(own[name])
            or [
                place * configs[name].sample_rate_hz // model.sample_rate_hz
                for place in places
            ],
            bool(own[name]),
        )
        for name in configs
    }


def step_excess(
    audio: np.ndarray, places: Sequence[int], sample_rate_hz: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the energies of the steps at some frames, and of the steps near them.

    The step at frame n is x[n] − x[n − 1], and its energy the sum of squares over
    channels.

    Args:
        audio: `(frames, channels)`.
        places: `(places,)`, frames from 1 on.
        sample_rate_hz: The sample rate in Hz.

    Returns:
        `(places,)`, the energy of each step, and `(places,)`, the mean energy of the
        other steps within NEAR_SECONDS.
    """
    steps = np.diff(np.asarray(audio, np.float64), axis=0, prepend=audio[:1])
    energies = np.square(steps).sum(axis=1)
    places = np.asarray(places)
    reach = max(round(NEAR_SECONDS * sample_rate_hz), 1)
    near = [
        np.concatenate(
            [energies[max(place - reach, 1) : place], energies[place + 1 :][:reach]]
        ).mean()
        for place in places
    ]
    return energies[places], np.array(near)


def measure_seams(
    audio: np.ndarray, seams: Sequence[int], sample_rate_hz: int
) -> SeamEnergy:
    """Measures how much steps at seams stand out.

    The measure is 10 log10(Σ e(s) / Σ ē(s)) dB over all seams s, where e(s) is the
    energy of the step at s, and ē(s) the mean energy of the other steps within 10 ms.
    It does not depend on the level. A place like its surroundings has 0 dB; a jump of
    height h in white noise of variance σ² has 10 log10(1 + h² / 2σ²).

    Args:
        audio: `(frames, channels)`.
        seams: `(seams,)`, one or more frames, as shapes.seam_frames returns them.
        sample_rate_hz: The sample rate in Hz.

    Returns:
        The measures; NaN where the audio around the seams is silent.
    """
    shifts = seams[0] * np.array(_BETWEEN_64THS) // 64
    places = np.maximum(np.array(seams) - np.array([0, *shifts])[:, None], 1)
    at, near = (
        energies.reshape(places.shape)
        for energies in step_excess(audio, places.ravel(), sample_rate_hz)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        excesses_db = 10 * np.log10(at.sum(axis=1) / near.sum(axis=1))
        between_db = 10 * np.log10(at[1:].sum() / near[1:].sum())
    return SeamEnergy(
        len(seams),
        float(excesses_db[0]),
        float(between_db),
        float(excesses_db[1:].max()),
    )


def outstanding_seam(estimate: Estimate) -> float:
    """Returns the time in seconds of the seam whose step stands out most."""
    at, near = step_excess(estimate.audio, estimate.seams, estimate.sample_rate_hz)
    # The floor keeps out nearly silent places, and zeros from the division.
    ratios = at / np.maximum(near, max(near.max() * 1e-3, 1e-20))
    return estimate.seams[int(np.argmax(ratios))] / estimate.sample_rate_hz


@matplotlib.rc_context(figures.STYLE)
def plot_seam(estimates: Sequence[Estimate], seconds: float, source: str) -> Figure:
    """Draws a spectrogram and a waveform around a seam, one row a network.

    Args:
        estimates: The networks' estimates of the same source of a song.
        seconds: A time in the song; each row shows its seam nearest to it.
        source: The source's name, for the title.
    """
    figure = Figure(figsize=(11, 2.9 * len(estimates) + 0.5), layout="constrained")
    grid = figure.subplots(len(estimates), 2, squeeze=False, width_ratios=(3, 2))
    spectra = [_spectrogram(estimate, seconds) for estimate in estimates]
    loudest = max(power.max() for power, _ in spectra)
    for row, estimate, (power, extent) in zip(grid, estimates, spectra):
        place = _nearest(estimate, seconds)
        image = row[0].imshow(
            power,
            extent=extent,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            cmap="magma",
            vmin=loudest - _RANGE_DB,
            vmax=loudest,
        )
        _draw_waveform(row[1], estimate, place)
        measured = estimate.measure()
        name, where = estimate.name, "at its seams"
        if not estimate.has_seams:
            name, where = f"{name}: no seams", "there"
        numbers = f"{measured.seam_db:+.1f} dB, between {measured.between_db:+.1f} dB"
        for axes, title in zip(row, (name, f"{where} {numbers}")):
            axes.set_title(title, loc="left", fontsize=11, pad=8)
        row[0].set_ylabel("frequency (kHz)")
        row[1].set_ylabel("amplitude (full scale 1)")
        row[1].sharey(grid[0, 1])
        edges = [0, estimate.sample_rate_hz / 2000]
        row[0].plot([0, 0], edges, "rd", ms=7, clip_on=False, gid="seam")
        row[1].axvline(0, color="red", lw=1, ls=":", gid="seam")
        for axes in row:
            axes.set_xlabel(f"time after {place / estimate.sample_rate_hz:.3f} s (ms)")
    bar = figure.colorbar(image, ax=grid[:, 0].tolist(), pad=0.01)
    bar.set_label("power (dB)")
    figure.suptitle(
        f"{source}; on the right the energy of steps over that of the steps near them",
        fontsize=11,
    )
    return figure


def _nearest(estimate: Estimate, seconds: float) -> int:
    distances = np.abs(np.array(estimate.seams) - seconds * estimate.sample_rate_hz)
    return estimate.seams[int(np.argmin(distances))]


def _spectrogram(estimate: Estimate, seconds: float) -> tuple[np.ndarray, list[float]]:
    """Returns power in dB `(bins, steps)` around a seam, and its ends in ms and kHz."""
    from scipy import signal  # takes a second to import

    place, rate = _nearest(estimate, seconds), estimate.sample_rate_hz
    reach = round(_SPECTROGRAM_SECONDS * rate)
    around = _around(estimate.audio, place, reach + _FFT_FRAMES // 2)
    _, _, powers = signal.spectrogram(
        around.T, rate, "hann", _FFT_FRAMES, _FFT_FRAMES - _FFT_HOP, detrend=False
    )
    ends_ms = 1000 * reach / rate
    levels_db = 10 * np.log10(powers.mean(axis=0) + 1e-20)
    return levels_db, [-ends_ms, ends_ms, 0, rate / 2000]


def _draw_waveform(axes, estimate: Estimate, place: int) -> None:
    reach = round(_WAVEFORM_SECONDS * estimate.sample_rate_hz)
    times_ms = 1000 * np.arange(-reach, reach) / estimate.sample_rate_hz
    for channel, color in zip(_around(estimate.audio, place, reach).T, figures.COLORS):
        axes.plot(times_ms, channel, lw=1, marker=".", ms=3, color=color)
    if estimate.audio.shape[1] == 2:
        axes.legend(("left", "right"), loc="upper right", fontsize="small")
    axes.grid(alpha=0.3)
    axes.margins(x=0)


def _around(audio: np.ndarray, place: int, reach: int) -> np.ndarray:
    """Returns the audio around a frame, `(2 · reach, channels)`, zeros beyond the ends.

    Args:
        audio: `(frames, channels)`.
        place: The frame.
        reach: The number of frames on each side.
    """
    padded = np.pad(audio, ((reach, reach), (0, 0)))
    return padded[place : place + 2 * reach]
