import numpy as np
import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.training import metrics


def test_the_sdr_is_the_median_over_whole_tracks():
    energies = np.zeros((2, 2, 4))
    energies[0, 0], energies[0, 1] = [100, 10, 1, 1], [1, 1, 1, 1]  # 20, 10, 0, 0 dB
    energies[1, 0], energies[1, 1] = [0, 10, 0, 0], [5, 1, 2, 1]  # silent in three
    medians = metrics.median_sdr_db(("a", "b"), energies)
    assert medians["a"] == pytest.approx(5)
    assert medians["b"] == pytest.approx(10)


def test_a_source_that_is_silent_in_all_tracks_has_no_sdr():
    energies = np.ones((2, 2, 3))
    energies[1, 0] = 0
    assert metrics.median_sdr_db(("a", "b"), energies) == {"a": 0, "b": None}


def test_a_perfect_estimate_has_a_finite_sdr():
    energies = np.array([[[1.0], [0.0]]])
    assert 300 < metrics.median_sdr_db(("a",), energies)["a"] < np.inf


def test_the_mean_is_of_the_sources_that_are_heard():
    assert metrics.mean_sdr_db({"a": 5.0, "b": None, "c": 1.0}) == 3
    with pytest.raises(InputError, match="all sources are silent in all of them"):
        metrics.mean_sdr_db({"a": None, "b": None})
