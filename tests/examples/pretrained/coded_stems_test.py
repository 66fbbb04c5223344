import numpy as np
import pytest

from examples.pretrained import coded_stems


def snr_db(signal, noise):
    return 10 * np.log10(np.sum(np.square(signal)) / np.sum(np.square(noise)))


@pytest.mark.parametrize("level", [0.01, 0.3])
def test_eight_bits_keep_music_at_35_db_or_more(level):
    signal = np.random.default_rng(0).normal(0, level, 10_000).clip(-1, 1)
    decoded = np.asarray(coded_stems.decode_samples(coded_stems.encode_samples(signal)))
    assert decoded.dtype == np.float32
    assert snr_db(signal, decoded - signal) > 35


def test_every_code_is_decoded_to_what_encodes_to_it():
    codes = np.arange(-127, 128, dtype=np.int8).reshape(5, 51)
    decoded = np.asarray(coded_stems.decode_samples(codes))
    np.testing.assert_array_equal(coded_stems.encode_samples(decoded), codes)
    assert decoded.shape == codes.shape


def test_codes_follow_the_mu_law_of_g_711():
    """sgn(x) ln(1 + 255 |x|) / ln 256, in steps of 1/127."""
    samples = np.array([0, 1, -1, 1 / 255, -15 / 255, 3, -3])
    expected = [0, 127, -127, round(127 / 8), -round(127 / 2), 127, -127]
    assert coded_stems.encode_samples(samples).tolist() == expected
