"""Scores of estimates during a training."""

from __future__ import annotations

import numpy as np

from waveunet_tf.errors import InputError


def median_sdr_db(
    sources: tuple[str, ...], energies: np.ndarray
) -> dict[str, float | None]:
    """Returns each source's median SDR over tracks, in dB.

    The SDR of a track is 10 log10(Σ s² / Σ (s - ŝ)²), as in the Music Demixing
    Challenge 2021 (Mitsufuji et al., section 3.2). Tracks in which the source is silent
    do not count.

    Args:
        sources: The sources' names.
        energies: `(sources, 2, tracks)`, the energy of each true source and of its
            estimate's error.

    Returns:
        source → dB, or None where the source is silent in all tracks.
    """
    medians = {}
    for source, (signal, error) in zip(sources, energies):
        heard = signal > 0
        ratios = signal[heard] / np.maximum(error[heard], np.finfo(np.float32).tiny)
        medians[source] = None
        if len(ratios):
            medians[source] = float(np.median(10 * np.log10(ratios)))
    return medians


def mean_sdr_db(sdr_db: dict[str, float | None]) -> float:
    """Returns the mean SDR of the sources that are heard, in dB.

    Args:
        sdr_db: What median_sdr_db returns.

    Raises:
        InputError: All sources are silent in all tracks.
    """
    heard = [level for level in sdr_db.values() if level is not None]
    if not heard:
        raise InputError(
            "`best_by` sdr needs a validation track with sound, but all sources are "
            "silent in all of them"
        )
    return sum(heard) / len(heard)
