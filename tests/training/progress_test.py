import dataclasses
import json
import math

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.training.guard import Guard, Lost
from waveunet_tf.training.progress import TrainingProgress


def test_progress_counts_steps_excerpts_and_epochs():
    progress = TrainingProgress()
    for loss in (3.0, 1.0):
        progress.end_step(loss, 16)
    assert (progress.step, progress.epoch_steps, progress.excerpt) == (2, 2, 32)
    assert progress.epoch_loss == 4
    assert progress.end_epoch(2.0)
    assert (progress.epoch, progress.epoch_steps, progress.epoch_loss) == (1, 0, 0)
    assert progress.step == 2


def test_only_a_lower_score_is_the_best():
    progress = TrainingProgress()
    assert progress.best_loss == math.inf
    better = [progress.end_epoch(score) for score in (2.0, 2.0, -1.0, 0.0)]
    assert better == [True, False, True, False]
    assert (progress.best_loss, progress.best_epoch) == (-1.0, 3)


def test_patience_counts_from_the_best_epoch_or_the_stages_begin():
    progress = TrainingProgress(epoch=7, best_epoch=3)
    assert progress.has_stalled(4)
    assert not progress.has_stalled(5)
    progress.stage_began = 6
    assert not progress.has_stalled(2)
    assert progress.has_stalled(1)


def test_progress_survives_json_also_before_the_first_epoch():
    progress = TrainingProgress(random_state=[[1, 2]], loss_scale=[32768.0, 3])
    text = json.dumps(dataclasses.asdict(progress))
    assert TrainingProgress.from_dict(json.loads(text)) == progress


def test_progress_of_an_earlier_version_has_not_been_watched():
    values = dataclasses.asdict(TrainingProgress(step=5))
    del values["guard"], values["good"]
    assert TrainingProgress.from_dict(values) == TrainingProgress(step=5)


@pytest.mark.parametrize(
    "values",
    [{"step": "5"}, {"steps": 5}, {"guard": 1}, {"guard": {"bad_steps": None}}, [1]],
)
def test_progress_of_other_types_is_refused(values):
    with pytest.raises((TypeError, ValueError)):
        TrainingProgress.from_dict(values)


def test_only_a_good_moment_is_one_to_go_back_to():
    progress = TrainingProgress(step=6, epoch=2)
    progress.mark_good()
    assert progress.good == progress.name
    progress.step, progress.guard.bad_steps = 9, 1
    progress.mark_good()
    assert progress.good != progress.name


def test_a_second_stage_begins_with_its_own_learning_rate():
    progress = TrainingProgress(epoch=4, guard=Guard(bad_steps=3, rate_factor=0.25))
    progress.begin_stage(1)
    assert (progress.stage, progress.stage_began) == (1, 4)
    assert (progress.guard.rate_factor, progress.guard.is_good) == (1, True)


def test_going_back_keeps_the_best_epoch_and_the_data_but_nothing_else():
    good = TrainingProgress(step=6, epoch=2, excerpt=24, best_loss=3.0, best_epoch=1)
    lost = dataclasses.replace(
        good, step=11, epoch=3, epoch_steps=2, best_loss=2.0, best_epoch=3, data=["a"]
    )
    back = lost.go_back(good, Lost("It is lost"), learning_rate=1.0)
    assert (back.step, back.epoch, back.excerpt, back.epoch_steps) == (6, 2, 24, 0)
    assert (back.best_loss, back.best_epoch, back.data) == (2.0, 3, ["a"])
    assert back.guard.rate_factor == 0.5
    (record,) = back.guard.rollbacks
    assert record["reason"] == "It is lost, at step 3 of epoch 4"
    assert (record["step"], record["to_step"], record["stage"]) == (12, 6, 1)
    # The state has a name of its own, and is itself one to go back to.
    assert back.name != good.name
    assert back.good == back.name


def test_epochs_that_are_done_again_up_to_the_best_do_not_count_for_patience():
    good = TrainingProgress(step=6, epoch=2, best_loss=3.0, best_epoch=1)
    lost = dataclasses.replace(good, step=11, epoch=4, best_loss=2.0, best_epoch=4)
    back = lost.go_back(good, Lost("It is lost"), learning_rate=1.0)
    stalled = []
    for _ in range(3):
        back.end_epoch(2.5)
        stalled.append((back.epoch, back.has_stalled(1)))
    assert stalled == [(3, False), (4, False), (5, True)]


def test_an_error_after_three_ways_back_names_the_best_checkpoint():
    progress = TrainingProgress(guard=Guard(rollbacks=[{}] * 3))
    with pytest.raises(InputError) as error:
        progress.go_back(TrainingProgress(), Lost("x"), learning_rate=1, best="; see y")
    assert str(error.value).startswith("x, at step 1 of epoch 1; a lower `learning_ra")
    assert str(error.value).endswith("; see y")
