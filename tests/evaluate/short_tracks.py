"""Tracks of some seconds, and the sources and estimator of tests that score them."""

import numpy as np
import soundfile

from waveunet_tf.evaluate.estimators import MixtureEstimator

RATE_HZ = 4000
HALVES = ("accompaniment", "vocals")
MIXTURE = MixtureEstimator(HALVES)


def noise(seed, frames):
    """Mono, which museval scores eight times as fast as stereo."""
    return np.random.default_rng(seed).uniform(-0.3, 0.3, (frames, 1))


def write_stems(folder, seed=0, frames=2 * RATE_HZ, names=HALVES, subtype="PCM_16"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        stem = noise(seed + number, frames)
        soundfile.write(folder / f"{name}.wav", stem, RATE_HZ, subtype=subtype)
