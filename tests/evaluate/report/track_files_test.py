"""The files of a track that the page loads."""

import math

import matplotlib.image
import numpy as np
import pytest

from tests.evaluate.made_up_scores import track
from tests.evaluate.report.report_songs import (
    RATE_HZ,
    decode,
    noise,
    read_peaks,
    read_track_script,
)
from waveunet_tf.evaluate.report import spectrogram_picture
from waveunet_tf.evaluate.report.selection import Excerpt
from waveunet_tf.evaluate.report.track_files import write_track_files


def excerpt_of(mixture, references, estimates=None, start_seconds=0.0):
    return Excerpt("song", RATE_HZ, start_seconds, mixture, references, estimates or {})


def written(folder, excerpt, scores, **options):
    write_track_files(folder / "tracks", 1, excerpt, scores, **options)
    return read_track_script(folder / "tracks" / "1.js")


def chart_of(folder, values, seconds=3.0, start_seconds=0.0):
    """The chart of these SDRs of vocals, one list a system, of a part of the song."""
    vocals = noise(seconds, seed=1, channels=1)
    excerpt = excerpt_of(vocals, {"vocals": vocals}, start_seconds=start_seconds)
    scores = {f"s{n}": track("song", vocals=own) for n, own in enumerate(values)}
    return written(folder, excerpt, scores)["groups"][1]["chart"]


def test_silence_makes_a_track_too(tmp_path):
    silence = np.zeros((RATE_HZ, 1), np.float32)
    made = written(tmp_path, excerpt_of(silence, {"vocals": silence}), {})
    assert np.abs(read_peaks(made)).max() == 0
    assert made["groups"][1]["chart"] is None


def test_each_lane_has_its_audio_and_a_spectrogram_to_a_common_scale(tmp_path):
    vocals, drums = noise(1, seed=1), noise(1, seed=2)
    excerpt = excerpt_of(
        vocals + drums,
        {"vocals": vocals, "drums": drums},
        {"y": {"vocals": 0.1 * vocals, "drums": drums}},
    )
    scores = {name: track("song", vocals=[1], drums=[2]) for name in "xy"}
    made = written(tmp_path, excerpt, scores, audio_format="flac")
    lanes = [lane for group in made["groups"] for lane in group["lanes"]]
    # A system is known by its place among all; one without estimates has no lane.
    assert [(lane["title"], lane["system"]) for lane in lanes] == [
        ("mixture", None),
        *2 * [("true stem", None), ("y", 1)],
    ]
    samples = [vocals + drums, vocals, 0.1 * vocals, drums, drums]
    brightness = []
    for lane, expected in zip(lanes, samples):
        heard, rate_hz = decode(lane)
        assert rate_hz == RATE_HZ
        np.testing.assert_allclose(heard, expected, atol=2 * 2**-15)
        picture = matplotlib.image.imread(tmp_path / lane["spectrogram"])
        brightness.append(picture[..., :3].mean())
    assert brightness[0] > brightness[1] > brightness[2]
    assert brightness[3] == brightness[4]


def test_the_waveform_has_the_extremes_of_equal_pieces(tmp_path):
    vocals = noise(1.2, seed=3)
    made = written(tmp_path, excerpt_of(2 * vocals, {"vocals": vocals}), {})
    count = len(vocals) // spectrogram_picture.COLUMNS
    pieces = vocals.reshape(spectrogram_picture.COLUMNS, -1) / np.abs(2 * vocals).max()
    assert pieces.shape[1] == 2 * count
    np.testing.assert_allclose(
        read_peaks(made, group=1), [pieces.max(1), pieces.min(1)], atol=6e-4
    )


def test_an_excerpt_shorter_than_the_picture_is_wide_has_a_point_a_frame(tmp_path):
    vocals = noise(0.1, seed=3, channels=1)
    made = written(tmp_path, excerpt_of(vocals, {"vocals": vocals}), {})
    assert read_peaks(made).shape == (2, 800)


def test_samples_beyond_full_scale_are_clipped_with_a_warning(tmp_path, caplog):
    loud = np.full((RATE_HZ, 1), 0.5)
    loud[100:110] = 1.5
    with caplog.at_level("WARNING", logger="absl"):
        made = written(
            tmp_path,
            excerpt_of(loud, {"vocals": 0.5 * loud}),
            {},
            audio_format="flac",
        )
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.startswith("song: mixture: mixture: 10 samples are beyond full sca")
    heard, _ = decode(made["groups"][0]["lanes"][0])
    assert heard.max() == pytest.approx(1, abs=2**-14)


def test_the_chart_has_gaps_for_nan_and_leaves_out_what_is_far_below(tmp_path):
    chart = chart_of(tmp_path, [[5.25, math.nan, -60.0], [6.0, 7.5, 8.0]])
    assert [series["sdr"] for series in chart["series"]] == [
        [5.25, None, -60],
        [6, 7.5, 8],
    ]
    assert [series["system"] for series in chart["series"]] == [0, 1]
    assert (chart["low"], chart["high"]) == (-26, 9)


def test_the_chart_has_the_frames_that_the_excerpt_touches(tmp_path):
    values = [[float(n) for n in range(6)]]
    (series,) = chart_of(tmp_path, values, seconds=2, start_seconds=1.5)["series"]
    assert series["times"] == series["sdr"] == [1, 2, 3]
    assert series["length"] == 1


@pytest.mark.parametrize("values", [[math.nan] * 3, [50.0] * 3, [-50.0] * 3])
def test_the_charts_axis_has_room_whatever_the_scores(values, tmp_path):
    chart = chart_of(tmp_path, [values])
    assert -27 <= chart["low"] < chart["high"] <= 42


def test_without_scores_in_the_excerpt_there_is_no_chart(tmp_path):
    assert chart_of(tmp_path, [[1.0, 2.0]], start_seconds=5) is None
