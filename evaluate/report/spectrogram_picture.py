"""Draws spectrograms of audio as small pictures, on a mel scale of frequencies."""

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
    """Returns the edges of the bands, `(bins + 1,)` in Hz, evenly in mel."""
    edges = np.linspace(_mel(_MIN_HZ), _mel(rate_hz / 2), _ROWS + 1)
    return 700 * (10 ** (edges / 2595) - 1)


def power_db(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Returns the mean power of bands over time.

    A sine of full scale has about 0 dB in a band as narrow as the window's bins, and
    less the wider its band is: -5.5 dB at 3 kHz of 44.1 kHz.

    Args:
        samples: `(frames, channels)`; the mean of the channels' powers is taken.
        rate_hz: The sample rate in Hz.

    Returns:
        `(bins, steps)` in dB, the lowest band first; there are COLUMNS steps.
    """
    window = np.hanning(max(round(_WINDOW_SECONDS * rate_hz), 16))
    before = len(window) // 2
    # A window of odd length needs one frame more.
    padded = np.pad(samples, ((before, before + 1), (0, 0)))
    centres = np.linspace(0, len(samples), COLUMNS, endpoint=False).astype(int)
    pieces = np.lib.stride_tricks.sliding_window_view(padded, len(window), axis=0)
    spectra = np.fft.rfft(pieces[centres] * window, axis=-1) * (2 / window.sum())
    power = np.square(np.abs(spectra)).mean(axis=1)
    # Bin k spans k ± ½. A row is the mean over its span, which may be less than a bin.
    below = np.pad(np.cumsum(power, axis=1), ((0, 0), (1, 1)), mode="constant")
    below[:, -1] = below[:, -2]
    bins = _edges_hz(rate_hz) * len(window) / rate_hz + 0.5
    whole = np.minimum(bins.astype(int), power.shape[1])
    rest = np.minimum(bins - whole, 1)
    at_edges = below[:, whole] * (1 - rest) + below[:, whole + 1] * rest
    rows = np.diff(at_edges, axis=1) / np.diff(bins)
    return 10 * np.log10(np.maximum(rows.T, 1e-20))


def write_picture(path: str | os.PathLike, levels_db: np.ndarray) -> None:
    """Writes a picture: 0 dB and more is bright, far less is dark.

    Args:
        path: A png file.
        levels_db: `(bins, steps)` in dB, the lowest band first.
    """
    import matplotlib
    import PIL.Image

    shades = np.clip(1 + levels_db / _RANGE_DB, 0, 1) * 255
    image = PIL.Image.fromarray(shades[::-1].astype(np.uint8))
    colours = matplotlib.colormaps["magma"](np.arange(256))[:, :3] * 255
    image.putpalette(colours.astype(np.uint8).tobytes())
    image.save(path, optimize=True)


def frequency_marks(rate_hz: int) -> list[tuple[str, float]]:
    """Returns labels of frequencies in Hz, and the height of each in the picture.

    Args:
        rate_hz: The audio's sample rate in Hz.

    Returns:
        Pairs of label and height, from 0 (bottom) to 1 (top).
    """
    low, high = _mel(_MIN_HZ), _mel(rate_hz / 2)
    return [
        (label, round(float((_mel(hz) - low) / (high - low)), 4))
        for hz, label in _MARKS_HZ.items()
        if hz < 0.9 * rate_hz / 2
    ]
