import matplotlib.image
import numpy as np
import pytest

from tests.evaluate.report.report_songs import RATE_HZ
from waveunet_tf.evaluate.report import spectrogram_picture


@pytest.mark.parametrize("rate_hz", [8000, 44100])
@pytest.mark.parametrize("tone_hz", [200, 1000])
def test_a_tone_is_where_the_spectrogram_marks_its_frequency(
    tone_hz, rate_hz, tmp_path
):
    seconds = np.arange(2 * rate_hz) / rate_hz
    tone = np.sin(2 * np.pi * tone_hz * seconds)[:, None].repeat(2, axis=1)
    levels_db = spectrogram_picture.power_db(tone, rate_hz)
    spectrogram_picture.write_picture(
        tmp_path / "tone.png", levels_db - levels_db.max()
    )
    picture = matplotlib.image.imread(tmp_path / "tone.png")[..., :3].sum(axis=2)
    rows, columns = picture.shape
    height = dict(
        (float(label.replace("k", "000")), height)
        for label, height in spectrogram_picture.frequency_marks(rate_hz)
    )[tone_hz]
    brightest = rows - 0.5 - np.argmax(picture[:, columns // 2])
    assert brightest == pytest.approx(height * rows, abs=1.5)


def test_channels_that_cancel_are_seen_like_equal_ones():
    noise = np.random.default_rng(2).normal(0, 0.1, (RATE_HZ, 1))
    expected = spectrogram_picture.power_db(noise, RATE_HZ)
    for right in (1, -1):
        levels_db = spectrogram_picture.power_db(noise * [1, right], RATE_HZ)
        np.testing.assert_allclose(levels_db, expected, atol=1e-9)


def test_spectrograms_have_the_power_of_white_noise_in_all_bands():
    # White noise of power p has p · 2 · 1.5 / window frames in a bin that would show a
    # full sine as 1 (two sides of the spectrum; 1.5: a Hann window's noise bandwidth).
    samples = np.random.default_rng(1).normal(0, 0.1, (20 * RATE_HZ, 1))
    rows = 10 ** (spectrogram_picture.power_db(samples, RATE_HZ) / 10)
    window = round(0.046 * RATE_HZ)
    expected = 0.1**2 * 4 * 1.5 / window
    np.testing.assert_allclose(rows.mean(axis=1)[5:-5], expected, rtol=0.3)
    assert rows.mean() == pytest.approx(expected, rel=0.05)
