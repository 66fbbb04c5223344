import math
import tarfile

import numpy as np
import pytest
import scipy.stats

from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies, scores, summary
from waveunet_tf.evaluate.scores import TrackScores


def system(*tracks, source="vocals"):
    """Tracks of these values of SDR, named a, b, …"""
    return {
        name: TrackScores(
            name,
            np.arange(len(values), dtype=float),
            {
                source: {
                    metric: np.array(values, float) + number
                    for number, metric in enumerate(scores.METRICS)
                }
            },
        )
        for name, values in zip("abcdefghijklmnopqrstuvwxyz", tracks)
    }


def test_the_originals_published_statistics_come_out(shared_data, tmp_path):
    archive = shared_data / "sisec2018-stl1" / "stl1-test-json.tar.gz"
    with tarfile.open(archive) as file:
        file.extractall(tmp_path)
    result = summary.summarize(scores.read_system(tmp_path))
    published = {  # median, MAD, mean, SD, median of track medians
        "vocals": (4.46, 3.21, 0.65, 13.67, 4.97),
        "accompaniment": (10.69, 3.15, 11.85, 7.03, 11.11),
    }
    for source, values in published.items():
        ours = result[source]
        assert (ours.median, ours.mad, ours.mean, ours.sd, ours.track_median) == (
            pytest.approx(values, abs=0.0051)
        )
        assert ours.track_median_low < ours.track_median < ours.track_median_high
        assert (ours.frames, ours.nan_frames, ours.tracks) == (12439, 2799, 50)


def test_nan_frames_are_counted_and_left_out():
    nan = math.nan
    vocals = summary.summarize(system([1, 2, nan, 9], [nan, nan], [4]))["vocals"]
    assert vocals.median == 3
    assert vocals.mad == 1.5
    assert vocals.mean == 4
    assert vocals.sd == pytest.approx(math.sqrt((9 + 4 + 25 + 0) / 4))
    assert vocals.track_median == 3
    assert (vocals.frames, vocals.nan_frames, vocals.tracks) == (7, 3, 3)


def test_each_metric_is_summarized_for_itself():
    medians = {
        metric: summary.summarize(system([1, 2, 9]), metric)["vocals"].median
        for metric in scores.METRICS
    }
    assert medians == {"SDR": 2, "ISR": 3, "SIR": 4, "SAR": 5}


def test_a_source_without_any_score_is_nan():
    vocals = summary.summarize(system([math.nan]))["vocals"]
    assert math.isnan(vocals.median) and math.isnan(vocals.track_median)
    assert math.isnan(vocals.track_median_low)


def test_the_interval_covers_the_median_of_a_known_distribution_19_times_in_20():
    """In 80 draws of 30 tracks it has to be there in some 76."""
    generator = np.random.default_rng(0)
    inside = 0
    for _ in range(80):
        medians = generator.normal(5, 2, 30)
        low, high = summary._median_interval(medians)
        inside += low <= 5 <= high
    assert 70 <= inside <= 79


def test_the_interval_is_the_same_each_time():
    tracks = system(*([value] for value in (3, 1, 4, 1, 5, 9, 2, 6)))
    assert summary.summarize(tracks) == summary.summarize(tracks)


def test_two_systems_are_tested_on_the_tracks_that_both_have():
    generator = np.random.default_rng(1)
    first = {name: generator.normal(5, 1, 7) for name in "abcdefghij"}
    second = {name: values - 0.5 - generator.random() for name, values in first.items()}
    second["only here"] = np.ones(3)
    second["b"] = np.full(7, math.nan)
    (result,) = summary.compare_systems(
        {"x": {"bass": first}, "y": {"bass": second}}, "SDR"
    )
    names = "acdefghij"
    medians = [[np.median(own[name]) for name in names] for own in (first, second)]
    expected = scipy.stats.wilcoxon(*medians)
    assert (result.first, result.second, result.source) == ("x", "y", "bass")
    assert result.tracks == 9
    assert result.p_value == expected.pvalue == pytest.approx(2 / 2**9)
    assert result.difference == pytest.approx(np.median(np.subtract(*medians)))


def test_systems_that_do_not_differ_or_share_nothing_are_no_error():
    values = {"a": np.ones(3), "b": np.zeros(2)}
    (same,) = summary.compare_systems(
        {"x": {"bass": values}, "y": {"bass": values}}, "SDR"
    )
    assert (same.p_value, same.tracks, same.difference) == (1, 2, 0)
    apart = {"x": {"bass": values}, "y": {"bass": {"c": np.ones(1)}}}
    (none,) = summary.compare_systems(apart, "SDR")
    assert none.tracks == 0 and math.isnan(none.p_value)
    assert not summary.compare_systems(
        {"x": {"bass": values}, "y": {"drums": values}}, "SDR"
    )


def test_metrics_of_energies_take_their_tracks_energies():
    true = np.zeros((3000, 2))
    true[1000:] = 0.5
    measured = energies.measure_energies(
        "a", {"vocals": true}, {"vocals": 0.5 * true}, 1000
    )
    tracks = system([math.nan, 2, 6])
    options = {"energies": {"a": measured}}
    weighted = summary.summarize(tracks, "wSDR", **options)["vocals"]
    assert (weighted.median, weighted.frames) == (4, 1)
    whole = summary.summarize(tracks, "nSDR", **options)["vocals"]
    assert whole.median == pytest.approx(20 * np.log10(2), abs=1e-4)
    silence = summary.summarize(tracks, "PES", **options)["vocals"]
    assert (silence.mean, silence.frames) == (-120, 1)
    loud = {
        "a": energies.measure_energies(
            "a", {"vocals": true + 1}, {"vocals": true}, 1000
        )
    }
    nowhere = summary.summarize(tracks, "PES", energies=loud)["vocals"]
    assert math.isnan(nowhere.mean) and nowhere.frames == 0


def test_energies_that_are_missing_or_of_another_song_are_refused():
    true = np.ones((3000, 2))
    measured = energies.measure_energies("a", {"vocals": true}, {"vocals": true}, 1000)
    with pytest.raises(InputError, match="b: has no energies, as `waveunet score`"):
        summary.summarize(
            system([1, 2, 3], [1, 2, 3]), "nSDR", energies={"a": measured}
        )
    with pytest.raises(InputError, match="same frames. Received: 5 and 3"):
        summary.summarize(system([1] * 5), "wSDR", energies={"a": measured})
    with pytest.raises(InputError, match="no energies of the estimate of bass"):
        summary.summarize(
            system([1, 2, 3], source="bass"), "PES", energies={"a": measured}
        )
    with pytest.raises(InputError, match="`metric` must be one of SDR"):
        summary.summarize(system([1]), "SNR")
