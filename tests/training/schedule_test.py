import dataclasses

import numpy as np
import pytest

from tests.training.trainings import QUICK
from waveunet_tf.configs.training import VARIANT_TRAINING, TrainingConfig
from waveunet_tf.training.schedule import learning_rate, stages_of


def test_the_second_stage_has_its_own_batch_and_learning_rate():
    first, second = stages_of(QUICK)
    assert first == QUICK
    assert (second.batch_size, second.learning_rate) == (8, 1e-5)
    assert second.seed == first.seed
    alone = dataclasses.replace(QUICK, fine_tuning=False)
    assert stages_of(alone) == [alone]


@pytest.mark.parametrize("batch_size", [1, 6, 16])
def test_the_second_stage_doubles_the_batch_unless_told_otherwise(batch_size):
    training = TrainingConfig(batch_size=batch_size)
    assert stages_of(training)[1].batch_size == 2 * batch_size
    told = dataclasses.replace(training, fine_tuning_batch_size=5)
    assert stages_of(told)[1].batch_size == 5


def test_the_paper_doubles_the_batches_of_all_its_models():
    batches = {
        name: [stage.batch_size for stage in stages_of(training)]
        for name, training in VARIANT_TRAINING.items()
    }
    for small in ("M7", "U7", "U7a"):
        assert batches.pop(small) == [4, 8]
    assert set(map(tuple, batches.values())) == {(16, 32)}


def test_a_constant_learning_rate_stays():
    assert {learning_rate(QUICK, step) for step in (0, 5, 10**6)} == {1e-3}
    (_, second) = stages_of(QUICK)
    assert learning_rate(second, 4) == 1e-5


def test_a_warm_up_rises_in_equal_steps_to_the_learning_rate_of_its_schedule():
    warm = dataclasses.replace(QUICK, warmup_steps=4)
    rates = [learning_rate(warm, step) for step in range(7)]
    assert rates == pytest.approx([0.2e-3, 0.4e-3, 0.6e-3, 0.8e-3, 1e-3, 1e-3, 1e-3])
    cosine = dataclasses.replace(
        QUICK, fine_tuning=False, learning_rate_schedule="cosine", steps_per_epoch=9
    )
    warm = dataclasses.replace(cosine, warmup_steps=4)
    factors = [learning_rate(warm, n) / learning_rate(cosine, n) for n in range(6)]
    assert factors == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_a_cosine_falls_from_the_learning_rate_to_nothing_over_all_epochs():
    cosine = dataclasses.replace(
        QUICK,
        fine_tuning=False,
        learning_rate_schedule="cosine",
        steps_per_epoch=12,
        max_epochs=5,
    )
    rates = [learning_rate(cosine, step) for step in range(61)]
    assert rates[0] == 1e-3
    assert rates[30] == pytest.approx(0.5e-3)
    assert rates[60] == pytest.approx(0, abs=1e-12)
    assert (np.diff(rates) < 0).all()
    # A cosine is symmetric about its middle.
    np.testing.assert_allclose(np.add(rates, rates[::-1]), 1e-3)
