import math

import pytest

from examples.pretrained.budget import Budget


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_budget_leaves_the_reserve_for_the_end():
    budget = Budget(60, reserve_seconds=10, clock=(clock := Clock()))
    for now, is_over in [(100, False), (149.9, False), (150, True), (170, True)]:
        clock.now = now
        assert budget.is_over == is_over


def test_the_rate_falls_as_a_cosine_over_the_time_that_is_left_after_the_warm_up():
    budget = Budget(60, reserve_seconds=10, clock=(clock := Clock()))
    for now, share in [(110, 0), (120, 0.25), (130, 0.5), (140, 0.75), (150, 1)]:
        clock.now = now
        expected = (1 + math.cos(math.pi * share)) / 2
        assert budget.rate_factor() == pytest.approx(expected)
    clock.now = 200
    assert budget.rate_factor() == 0


def test_a_budget_that_is_over_before_the_warm_up_has_no_rate():
    budget = Budget(5, reserve_seconds=10, clock=Clock())
    assert budget.is_over
    assert budget.rate_factor() == 0
