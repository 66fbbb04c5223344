import dataclasses
import json
import math

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.training.guard import LOST_STEPS, Guard, Lost, Place, StepNumbers

SOUND = StepNumbers(loss=0.5, mixture_loss=1.0, gradient_norm=1.0, saturated=0.0)
LATER = 10**6
"""A step long after the beginning."""


def run_steps(guard, losses, first=LATER, **arguments):
    """Checks steps of these losses, where the mixture's is 1."""
    for step, loss in enumerate(losses, first):
        guard.check(SOUND._replace(loss=loss), step, **arguments)


@pytest.mark.parametrize("field", ["loss", "gradient_norm"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_step_that_is_no_number_is_lost_at_once(field, value):
    guard = Guard()
    guard.check(SOUND, 0)
    with pytest.raises(Lost, match="loss must stay a finite number, but is"):
        guard.check(SOUND._replace(**{field: value}), 1, warmup_steps=100)


def test_the_loss_scale_of_float16_may_skip_gradients_that_are_not_finite():
    guard = Guard()
    infinite = SOUND._replace(gradient_norm=math.inf)
    guard.check(infinite, 0, gradients_count=False)
    with pytest.raises(Lost):
        guard.check(infinite, 0)
    with pytest.raises(Lost):
        guard.check(SOUND._replace(loss=math.nan), 0, gradients_count=False)


def test_excerpts_that_are_no_numbers_are_bad_input():
    """Half the learning rate would not help."""
    numbers = StepNumbers(math.nan, math.nan, math.nan, 0.0)
    with pytest.raises(InputError, match="excerpts must be finite .* of step 4 are no"):
        Guard().check(numbers, 3)


def test_twenty_saturated_steps_in_a_row_are_lost():
    guard = Guard()
    for saturated in [0.6] * 19 + [0.4] + [0.6] * 19:
        guard.check(SOUND._replace(saturated=saturated), 0)
    assert not guard.is_good
    with pytest.raises(Lost, match="within ±0.99, but for 20 steps 60% are not"):
        guard.check(SOUND._replace(saturated=0.6), 0)


def test_two_hundred_steps_in_a_row_worse_than_the_mixture_are_lost():
    guard = Guard()
    run_steps(guard, [1.1] * (LOST_STEPS - 1) + [0.9] + [1.1] * (LOST_STEPS - 1))
    assert not guard.is_good
    with pytest.raises(Lost, match=r"as every estimate \(1\), but for 200 .* now 1.1"):
        run_steps(guard, [1.1])


def test_a_loss_in_db_may_be_negative():
    guard = Guard()
    numbers = StepNumbers(-4.9, -5.0, 1.0, 0.0)
    with pytest.raises(Lost):
        for step in range(LATER, LATER + LOST_STEPS):
            guard.check(numbers, step)


def test_a_good_state_is_one_whose_last_step_was_good():
    guard = Guard()
    run_steps(guard, [0.5])
    assert guard.is_good
    run_steps(guard, [1.5])
    assert not guard.is_good


def test_steps_of_the_warm_up_do_not_count():
    guard = Guard(first_excess=0.0)
    run_steps(guard, [9.0] * 500, first=0, warmup_steps=500)
    assert guard.is_good
    with pytest.raises(Lost):
        run_steps(guard, [9.0] * LOST_STEPS, first=500, warmup_steps=500)


def falling(steps, first, last):
    return [first + (last - first) * step / steps for step in range(steps)]


def test_a_training_that_begins_worse_than_the_mixture_has_time_to_become_better():
    """As new output layers do, at a low learning rate."""
    run_steps(Guard(), falling(1800, 3.0, 1.05) + [0.9], first=0)
    with pytest.raises(Lost):  # but not for ever
        run_steps(Guard(), [1.5] * 2000, first=0)


def test_what_becomes_worse_than_it_began_is_lost_at_once():
    with pytest.raises(Lost):
        run_steps(Guard(), [3.0] + [3.5] * LOST_STEPS, first=0)


def test_a_way_back_halves_the_rate_and_forgets_the_bad_steps():
    good = Guard(first_excess=0.25)
    lost = Guard(bad_steps=200, saturated_steps=3, first_excess=0.25)
    place = Place(stage=1, epoch=2, step=14, epoch_step=4)
    for number, factor in enumerate((0.5, 0.25, 0.125), 1):
        arguments = {"to_step": 10, "learning_rate": 0.1}
        lost = lost.go_back(good, Lost("It is lost"), place, **arguments)
        assert lost.is_good
        assert (lost.rate_factor, lost.first_excess) == (factor, 0.25)
        assert len(lost.rollbacks) == number
        assert lost.rollbacks[-1] == {
            "rollback": number,
            "reason": "It is lost, at step 5 of epoch 3",
            "epoch": 3,
            "stage": 2,
            "step": 15,
            "to_step": 10,
            "learning_rate": 0.1 * factor,
        }
    with pytest.raises(InputError, match="It is lost, at step 5 of epoch 3; a lower"):
        lost.go_back(good, Lost("It is lost"), place, **arguments)


def test_a_guard_survives_json():
    guard = Guard(3, 2, 0.1, 0.5, [{"rollback": 1}])
    assert Guard(**json.loads(json.dumps(dataclasses.asdict(guard)))) == guard
