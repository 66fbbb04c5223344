import json
import logging

import pytest

from tests.training.trainings import MINI, history
from waveunet_tf.training.guard import Guard, StepNumbers
from waveunet_tf.training.log import TrainingLog
from waveunet_tf.training.progress import TrainingProgress

RECORD = {
    "epoch": 1,
    "stage": 1,
    "step": 2,
    "learning_rate": 1e-4,
    "loss": 0.5,
    "validation_loss": None,
    "validation_sdr_db": None,
    "seconds": 3.0,
}


def log_of(workdir, **arguments):
    return TrainingLog(workdir, MINI, [], **{"illustrate": False, **arguments})


def run_steps(log, progress, losses):
    """Reports an epoch of steps with these losses."""
    with log.begin_epoch(progress, len(losses)) as bar:
        for loss in losses:
            progress.end_step(loss, 4)
            log.begin_steps()
            numbers = StepNumbers(loss, 1.0, 1.0, 0.0)
            log.end_step(bar, progress, numbers, excerpts=4, waited_seconds=0.0)
        return bar


def test_each_epoch_is_a_line_of_the_history(tmp_path):
    log = log_of(tmp_path / "work")
    for epoch in (1, 2):
        log.end_epoch({**RECORD, "epoch": epoch}, None, is_best=True)
    assert history(tmp_path / "work") == [RECORD, {**RECORD, "epoch": 2}]


def test_an_illustrated_epoch_draws_the_losses(tmp_path):
    log_of(tmp_path / "a").end_epoch(RECORD, None, is_best=False)
    assert not (tmp_path / "a" / "loss.png").exists()
    log_of(tmp_path / "b", illustrate=True).end_epoch(RECORD, None, is_best=False)
    assert (tmp_path / "b" / "loss.png").stat().st_size > 1000


def test_only_the_chief_writes(tmp_path):
    log = log_of(tmp_path / "work", enabled=False, illustrate=True, profile=True)
    progress = TrainingProgress()
    assert run_steps(log, progress, [1.0]).disable
    log.end_epoch(RECORD, None, is_best=False)
    log.go_on(progress)
    log.go_back(TrainingProgress(guard=Guard(rollbacks=[ROLLBACK])))
    assert not (tmp_path / "work").exists()


def test_epochs_that_the_state_does_not_contain_are_forgotten(tmp_path):
    lines = [json.dumps({**RECORD, "epoch": epoch}) + "\n" for epoch in (1, 2, 3)]
    (tmp_path / "history.jsonl").write_text("".join(lines))
    log_of(tmp_path).go_on(TrainingProgress(epoch=2))
    assert [record["epoch"] for record in history(tmp_path)] == [1, 2]


ROLLBACK = {
    "rollback": 2,
    "reason": "The loss must be low, at step 3 of epoch 2",
    "epoch": 2,
    "stage": 1,
    "step": 9,
    "to_step": 2,
    "learning_rate": 1e-4,
}


def test_a_way_back_is_told_in_the_history_the_log_and_tensorboard(tmp_path, caplog):
    log = log_of(tmp_path)
    log.end_epoch(RECORD, None, is_best=True)
    log.end_epoch({**RECORD, "epoch": 2}, None, is_best=False)
    log.go_back(TrainingProgress(epoch=1, guard=Guard(rollbacks=[ROLLBACK])))
    assert history(tmp_path) == [RECORD, ROLLBACK]
    assert caplog.messages[-1] == (
        "The loss must be low, at step 3 of epoch 2; back to step 2 at a learning rate "
        "of 0.0001 (2 of at most 3 times)"
    )
    written = b"".join(path.read_bytes() for path in tmp_path.glob("tensorboard/*"))
    for name in ("lost/rollback", "lost/learning_rate", "lost/reason", "must be low"):
        assert name.encode() in written


def test_the_progress_bar_goes_on_within_an_epoch(tmp_path):
    log = log_of(tmp_path)
    with log.begin_epoch(TrainingProgress(epoch=1, epoch_steps=7), 10) as bar:
        assert (bar.total, bar.n) == (10, 7)


def test_without_a_terminal_a_plain_line_tells_the_mean_loss(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    # Of the lines of one place in the code, one a minute is written.
    run_steps(log_of(tmp_path), TrainingProgress(epoch=4), [1.0, 3.0])
    lines = [line for line in caplog.messages if line.startswith("epoch 5: step")]
    for line in lines:
        assert "step 1 of 2, loss 1.000e+00" in line
        assert line.endswith(" left")


@pytest.mark.parametrize(
    ("record", "is_best", "text"),
    [
        ({}, True, "loss 5.000e-01, validation loss none, 3 s, the best so far"),
        (
            {"validation_loss": 0.25, "validation_sdr_db": {"a": 1.234, "b": None}},
            False,
            "loss 5.000e-01, validation loss 2.500e-01, a 1.23 dB, b none dB, 3 s",
        ),
    ],
)
def test_an_epochs_line_tells_its_scores(tmp_path, caplog, record, is_best, text):
    caplog.set_level(logging.INFO)
    log_of(tmp_path).end_epoch({**RECORD, **record}, None, is_best=is_best)
    assert caplog.messages[-1] == f"epoch 1: {text}"
