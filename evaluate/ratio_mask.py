"""The ideal ratio mask: an oracle, which knows the true stems."""

from __future__ import annotations

import numpy as np

from waveunet_tf.errors import InputError
from waveunet_tf.evaluate.true_stems import TrueStems

_FFT_FRAMES = 2048


def ideal_ratio_mask(stems: TrueStems) -> dict[str, np.ndarray]:
    """Estimates sources by an oracle, about the best masks of a spectrogram.

    In each bin of the STFT and each channel, a part's estimate is
    mixture × |part| / Σ |parts|. Where the accompaniment is no part, it is the sum of
    the estimates of all parts but the vocals. This is IRM1 of SiSEC 2018, with its
    settings: Hann windows of 2048 frames that overlap by half, and magnitudes, not
    powers (alpha = 1; reason: A. Liutkus and R. Badeau, "Generalized Wiener filtering
    with fractional power spectrograms", ICASSP 2015; F.-R. Stöter, A. Liutkus, N. Ito,
    "The 2018 Signal Separation Evaluation Campaign", LVA/ICA 2018).

    Args:
        stems: The true stems.

    Returns:
        Source → float32 `(frames, channels)`.

    Raises:
        InputError: A source is neither a part nor the accompaniment.
    """
    parts = {
        source: [source]
        if source in stems.parts
        else [name for name in stems.parts if name != "vocals"]
        for source in stems.sources
    }
    if unknown := set(parts) - {*stems.parts, "accompaniment"}:
        raise InputError(
            f"oracle_irm: sources must be of {', '.join(stems.parts)}, which add up to "
            f"the mixture, or accompaniment. Received: {min(unknown)}"
        )
    from scipy import signal  # takes a second to import

    mixture = _stft(stems.mixture)
    total = np.full(mixture.shape, np.finfo(np.float32).eps, np.float32)
    for part in stems.parts.values():
        total += np.abs(_stft(part))
    mixture /= total
    estimates = {source: np.zeros_like(stems.mixture) for source in parts}
    for name, part in stems.parts.items():
        wanted = [source for source in parts if name in parts[source]]
        if wanted:
            _, estimate = signal.istft(mixture * np.abs(_stft(part)))
        for source in wanted:
            estimates[source] += estimate.T[: len(stems.mixture)]
    return estimates


def _stft(stem: np.ndarray) -> np.ndarray:
    """Returns the spectrogram `(channels, bins, steps)` of `(frames, channels)`."""
    from scipy import signal

    missing = max(_FFT_FRAMES - len(stem), 0)  # else the window would be shorter
    stem = np.pad(stem, ((0, missing), (0, 0)))
    return signal.stft(stem.T, nperseg=_FFT_FRAMES)[2]
