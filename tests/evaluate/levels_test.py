import dataclasses
import math

import numpy as np
import pytest

from tests.evaluate.made_up_scores import track, track_energies
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies, levels


def test_levels_pair_each_scored_frame_with_the_true_sources_level():
    scores = {"a": track("a", vocals=[1, math.nan, 3]), "b": track("b", vocals=[4])}
    # A last window that is shorter than a frame has energy, but no score.
    measured = track_energies("a", [-10, -20, -30, -40])
    measured.samples[-1] = 50
    level, values = levels.levels_and_values(scores, {"a": measured}, "vocals")
    assert level == pytest.approx([-10, -30])
    assert list(values) == [1, 3]


@pytest.mark.parametrize("windows", [1, 2, 5])
def test_energies_of_other_windows_are_refused(windows):
    scores = {"a": track("a", vocals=[1, 2, 3])}
    with pytest.raises(InputError, match="a: energies must be of the 3 frames"):
        levels.levels_and_values(
            scores, {"a": track_energies("a", [-10] * windows)}, "vocals"
        )


def test_ranges_of_level_hold_each_frame_once():
    generator = np.random.default_rng(2)
    level, values = generator.uniform(-60, 0, 500), generator.normal(0, 5, 500)
    bins = levels.bin_by_level(level, values)
    assert sum(each.frames for each in bins) == 500
    for each in bins:
        inside = values[(level >= each.from_dbfs) & (level < each.to_dbfs)]
        assert each.frames == len(inside)
        assert each.median == pytest.approx(np.median(inside))
        assert each.mean == pytest.approx(np.mean(inside))
        assert each.quartiles == pytest.approx(np.quantile(inside, [0.25, 0.75]))


def test_means_and_medians_without_the_quietest_are_those_of_the_rest():
    level = np.array([-10.0, -60, -20, -50, -30])
    values = np.array([4.0, -50, 3, -10, 2])
    left = levels.leave_out_quietest(level, values, np.array([0, 20, 40, 79, 80]))
    rests = [[-50, -10, 2, 3, 4], [-10, 2, 3, 4], [2, 3, 4], [3, 4], [4]]
    assert left.means == pytest.approx([np.mean(rest) for rest in rests])
    assert left.medians == pytest.approx([np.median(rest) for rest in rests])
    assert list(left.from_dbfs) == [-60, -50, -30, -20, -10]


def test_whole_percents_of_a_hundred_frames_are_as_many_frames():
    percents = np.arange(100)
    left = levels.leave_out_quietest(np.arange(100.0), np.arange(100.0), percents)
    np.testing.assert_array_equal(left.from_dbfs, percents)


def test_rows_by_level_are_of_each_system_metric_and_source():
    stem = {"vocals": np.repeat([[0.1], [0.1], [0.001]], 1000, axis=0)}
    measured = energies.measure_energies("a", stem, stem, 1000)
    tracks = {"a": track("a", vocals=[0, 1, 2])}
    nothing = dataclasses.replace(tracks["a"], name="b")
    rows = levels.level_rows(
        {"x": {**tracks, "b": nothing}},
        {"x": {"a": measured}},
        ["SDR", "SAR"],
        bin_db=15,
    )
    assert [
        tuple(row[column] for column in levels.LEVEL_COLUMNS[:7]) for row in rows
    ] == [
        ("x", "vocals", "SDR", -60, -45, 1, 2),
        ("x", "vocals", "SDR", -30, -15, 2, 0.5),
        ("x", "vocals", "SAR", -60, -45, 1, 2),
        ("x", "vocals", "SAR", -30, -15, 2, 0.5),
    ]


def test_frames_of_digital_silence_have_no_level_and_are_in_no_range():
    """A score of another's file may stand where our true source is silent."""
    scores = {"a": track("a", vocals=[1, 2, 3])}
    measured = track_energies("a", [-10, -math.inf, -30])
    level, values = levels.levels_and_values(scores, {"a": measured}, "vocals")
    assert level == pytest.approx([-10, -30])
    assert list(values) == [1, 3]


def test_a_silent_source_has_no_rows_by_level_and_the_others_have_theirs():
    nan = math.nan
    scores = {"x": {"a": track("a", vocals=[nan, nan], drums=[1, 3])}}
    measured = track_energies("a", [-math.inf] * 2, drums=[-12, -11])
    (row,) = levels.level_rows(scores, {"x": {"a": measured}}, ["SDR"])
    assert (row["source"], row["frames"], row["median"]) == ("drums", 2, 2)
    assert (row["from_dbfs"], row["to_dbfs"]) == (-15, -10)
    assert (row["low_quartile"], row["high_quartile"]) == (1.5, 2.5)


def test_without_energies_there_are_no_rows_by_level():
    assert (
        levels.level_rows({"x": {"a": track("a", vocals=[1])}}, {"x": {}}, ["SDR"])
        == []
    )
    level, values = levels.levels_and_values({}, {}, "vocals")
    assert level.shape == values.shape == (0,)
    assert levels.bin_by_level(level, values) == []
