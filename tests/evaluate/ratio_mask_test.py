import dataclasses

import numpy as np
import pytest
import scipy.signal

from tests.evaluate.estimators_test import RATE_HZ, stems, tones
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import ratio_mask
from waveunet_tf.evaluate.true_stems import TrueStems


@pytest.mark.parametrize("frames", [3 * RATE_HZ, 2047, 511, 2, 1])
def test_the_oracles_mask_is_the_ratio_of_magnitudes(frames):
    """One part twice as loud as the other takes two thirds of the mixture."""
    part = tones(440, frames=frames + 9)[9:]
    parts = {"vocals": 2 * part, "drums": part}
    true = TrueStems(3 * part, parts, parts, RATE_HZ)
    estimates = ratio_mask.ideal_ratio_mask(true)
    np.testing.assert_allclose(estimates["vocals"], 2 * part, atol=1e-4)
    np.testing.assert_allclose(estimates["drums"], part, atol=1e-4)


def test_the_oracle_is_sisecs_irm1_written_anew():
    generator = np.random.default_rng(0)
    parts = {
        name: generator.normal(0, 0.1, (9000, 2)).astype(np.float32)
        for name in ("vocals", "drums", "bass")
    }
    rest = parts["drums"] + parts["bass"]
    true = TrueStems(
        sum(parts.values()),
        {"accompaniment": rest, "vocals": parts["vocals"]},
        parts,
        RATE_HZ,
    )
    estimates = ratio_mask.ideal_ratio_mask(true)
    for channel in range(2):

        def spectrogram(stem, channel=channel):
            one = stem[:, channel].astype(np.float64)
            return scipy.signal.stft(one, window="hann", nperseg=2048, noverlap=1024)[2]

        magnitudes = {name: np.abs(spectrogram(part)) for name, part in parts.items()}
        masked = spectrogram(true.mixture) / sum(magnitudes.values())
        for source, names in {
            "vocals": ["vocals"],
            "accompaniment": ["drums", "bass"],
        }.items():
            mask = sum(magnitudes[name] for name in names)
            expected = scipy.signal.istft(masked * mask, window="hann")[1][:9000]
            np.testing.assert_allclose(
                estimates[source][:, channel], expected, atol=1e-5
            )


def test_the_oracle_refuses_what_the_mixture_does_not_consist_of():
    true = dataclasses.replace(stems(), sources={"piano": tones(440)})
    with pytest.raises(InputError, match="oracle_irm: sources must be of .*piano"):
        ratio_mask.ideal_ratio_mask(true)
