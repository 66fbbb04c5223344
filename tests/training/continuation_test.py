import dataclasses

import pytest

from tests.training.trainings import MINI, QUICK
from waveunet_tf.training import continuation

COSINE = dataclasses.replace(QUICK, fine_tuning=False, learning_rate_schedule="cosine")


def differences(begun, **changes):
    """What differs where a training goes on with changed flags."""
    changed = dataclasses.replace(begun, **changes)
    return continuation.differences((MINI, begun), (MINI, changed))


def test_the_same_training_goes_on():
    assert differences(QUICK) == []


def test_all_that_differs_is_named_with_both_values():
    then, now = (MINI, QUICK), (dataclasses.replace(MINI, base_filters=3), COSINE)
    assert continuation.differences(then, now) == [
        "base_filters (2, now 3)",
        "fine_tuning (True, now False)",
        "learning_rate_schedule (constant, now cosine)",
    ]
    error = continuation.another_training("work", ["seed (7, now 8)"])
    assert str(error).startswith("work: holds another training, to go on with the same")
    assert str(error).endswith("What differs: seed (7, now 8)")


@pytest.mark.parametrize("begun", [QUICK, COSINE])
def test_epochs_and_patience_may_change_but_not_the_end_of_a_cosine(begun):
    assert differences(begun, patience=3) == []
    expected = [] if begun is QUICK else ["max_epochs (2, now 30)"]
    assert differences(begun, max_epochs=30) == expected


def test_a_state_may_name_the_second_batch_that_is_the_default():
    """As states of earlier versions do."""
    named = dataclasses.replace(QUICK, fine_tuning_batch_size=8)
    assert differences(named, fine_tuning_batch_size=None) == []
    assert differences(named, fine_tuning_batch_size=9) == [
        "fine_tuning_batch_size (8, now 9)"
    ]
