"""What of a song is in a report: which tracks, which part, its spectrograms."""

import math

import matplotlib.image
import numpy as np
import pytest

from evaluate import scores
from evaluate.report import selection, spectrogram_picture
from tests.evaluate.report.report_songs import RATE_HZ, noise, write_scores, write_stems
from waveunet_tf.data.datasets import find_tracks


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


def test_spectrograms_have_the_power_of_white_noise_in_all_bands():
    # White noise of power p has p · 2 · 1.5 / window frames in a bin that would show a
    # full sine as 1 (two sides of the spectrum; 1.5: a Hann window's noise bandwidth).
    samples = np.random.default_rng(1).normal(0, 0.1, (20 * RATE_HZ, 1))
    rows = 10 ** (spectrogram_picture.power_db(samples, RATE_HZ) / 10)
    window = round(0.046 * RATE_HZ)
    expected = 0.1**2 * 4 * 1.5 / window
    np.testing.assert_allclose(rows.mean(axis=1)[5:-5], expected, rtol=0.3)
    assert rows.mean() == pytest.approx(expected, rel=0.05)


def test_an_excerpt_begins_where_the_quietest_source_is_loudest(tmp_path):
    stems = {
        "accompaniment": noise(10, seed=1),
        "vocals": noise(10, seed=2, level=0.01),
    }
    stems["vocals"][5 * RATE_HZ : 8 * RATE_HZ] *= 10
    write_stems(tmp_path, "song", stems)
    (track,) = find_tracks(tmp_path, subsets=("test",))
    excerpt = selection.read_excerpt(
        track, tuple(stems), {}, duration_seconds=3, left_out=pytest.fail
    )
    assert (excerpt.start_seconds, excerpt.duration_seconds) == (5, 3)
    whole = selection.read_excerpt(
        track, tuple(stems), {}, duration_seconds=99, left_out=pytest.fail
    )
    assert (whole.start_seconds, whole.duration_seconds) == (0, 10)


def test_typical_tracks_are_worst_median_and_best(tmp_path):
    for name, sdr in [("b", 3.0), ("c", 9.0), ("d", 1.0), ("e", 5.0), ("f", 7.0)]:
        write_scores(tmp_path, name, {"vocals": [sdr, sdr], "bass": [sdr, math.nan]})
    write_scores(tmp_path, "silent", {"vocals": [math.nan], "bass": [math.nan]})
    tracks = scores.read_system(tmp_path)
    assert selection.typical_tracks(tracks, set(tracks)) == ["d", "e", "c"]
    assert selection.typical_tracks(tracks, {"b", "f", "silent"}) == ["b", "f"]
    assert selection.typical_tracks(tracks, {"silent"}) == []
