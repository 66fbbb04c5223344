"""Scores of estimates that a training watches."""

from __future__ import annotations

import numpy as np


def median_sdr_db(
    sources: tuple[str, ...], energies: np.ndarray
) -> dict[str, float | None]:
    """The median over tracks of their SDR, 10 log10(Σ s² / Σ (s - ŝ)²), in dB.

    As the Music Demixing Challenge 2021 scores a track (Mitsufuji et al., section 3.2),
    but by the median, and without tracks in which the source is silent.

    Args:
        sources: their names.
        energies: `(sources, 2, tracks)`, of each true source and of its estimate's
            error.

    Returns:
        source → dB, None where it is silent in all tracks.
    """
    medians = {}
    for source, (signal, error) in zip(sources, energies):
        heard = signal > 0
        ratios = signal[heard] / np.maximum(error[heard], np.finfo(np.float32).tiny)
        medians[source] = None
        if len(ratios):
            medians[source] = float(np.median(10 * np.log10(ratios)))
    return medians
