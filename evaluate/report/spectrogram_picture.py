"""Spectrograms of audio as small pictures, on a mel scale of frequencies."""

from __future__ import annotations

import os

import numpy as np

COLUMNS = 1200
_ROWS = 128
_WINDOW_SECONDS = 0.046  # 2048 frames of 44.1 kHz
_MIN_HZ = 40.0
_RANGE_DB = 80.0
_MARKS_HZ = {200: "200", 1000: "1k", 4000: "4k", 16000: "16k"}


def _mel(hz):
    return 2595 * np.log10(1 + np.asarray(hz) / 700)  # O'Shaughnessy's formula


def _edges_hz(rate_hz: int) -> np.ndarray:
    """The frequencies between rows, `(rows + 1,)`, evenly in mel, lowest first."""
    edges = np.linspace(_mel(_MIN_HZ), _mel(rate_hz / 2), _ROWS + 1)
    return 700 * (10 ** (edges / 2595) - 1)


def power_db(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Mean power of the bands, over time; a sine of full scale has about 0 dB.

    Args:
        samples: `(frames, channels)`, of which the mean over channels is taken.
        rate_hz: the sample rate in Hz.

    Returns:
        `(rows, COLUMNS)` in dB, the lowest band first.
    """
    mono = samples.mean(axis=1)
    window = np.hanning(max(round(_WINDOW_SECONDS * rate_hz), 16))
    padded = np.pad(mono, len(window) // 2)
    padded = np.pad(padded, (0, 1))  # for windows of odd length
    centres = np.linspace(0, len(mono), COLUMNS, endpoint=False).astype(int)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, len(window))[centres]
    power = np.abs(np.fft.rfft(pieces * window, axis=1) * (2 / window.sum())) ** 2
    # Bin k spans k ± ½; a row is the mean over what it spans, be it less than a bin.
    below = np.pad(np.cumsum(power, axis=1), ((0, 0), (1, 1)), mode="constant")
    below[:, -1] = below[:, -2]
    bins = _edges_hz(rate_hz) * len(window) / rate_hz + 0.5
    whole = np.minimum(bins.astype(int), power.shape[1])
    rest = np.minimum(bins - whole, 1)
    at_edges = below[:, whole] * (1 - rest) + below[:, whole + 1] * rest
    rows = np.diff(at_edges, axis=1) / np.diff(bins)
    return 10 * np.log10(np.maximum(rows.T, 1e-20))


def write(path: str | os.PathLike, levels_db: np.ndarray) -> None:
    """Writes a picture: 0 dB and above is bright, and dark what is far below.

    Args:
        path: a png file.
        levels_db: `(rows, columns)` in dB, the lowest band first.
    """
    import matplotlib
    import PIL.Image

    shades = np.clip(1 + levels_db / _RANGE_DB, 0, 1) * 255
    image = PIL.Image.fromarray(shades[::-1].astype(np.uint8))
    colours = matplotlib.colormaps["magma"](np.arange(256))[:, :3] * 255
    image.putpalette(colours.astype(np.uint8).tobytes())
    image.save(path, optimize=True)


def frequency_marks(rate_hz: int) -> list[tuple[str, float]]:
    """Labels of some frequencies in Hz, and how high each stands: 0 to 1."""
    low, high = _mel(_MIN_HZ), _mel(rate_hz / 2)
    return [
        (label, round(float((_mel(hz) - low) / (high - low)), 4))
        for hz, label in _MARKS_HZ.items()
        if hz < 0.9 * rate_hz / 2
    ]
