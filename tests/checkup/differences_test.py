import numpy as np
import pytest

from waveunet_tf.checkup.differences import (
    farthest_loss,
    greatest_difference,
    relative_distance,
)


def test_the_greatest_difference_is_that_of_any_array():
    expected = [np.zeros((2, 1)), np.ones(3)]
    assert greatest_difference([[[0.0], [-0.5]], [1.0, 1.0, 1.25]], expected) == 0.5
    for bad in (0, 1):
        values = [array.copy() for array in expected]
        values[bad][-1] = np.nan
        assert np.isnan(greatest_difference(values, expected))


def test_differences_are_relative_and_nothing_is_infinitely_far():
    assert farthest_loss([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert farthest_loss([1.0, np.nan], [1.0, 2.0]) == np.inf
    assert relative_distance(np.array([3.0, 5.0]), np.array([3.0, 4.0])) == 0.2
    assert relative_distance(np.array([np.nan]), np.ones(1)) == np.inf
    assert relative_distance(np.ones(1), np.zeros(1)) == np.inf
