"""Trainings that are killed where a checkpoint is written and its state is not."""

import dataclasses
import os
import signal
import sys

import numpy as np
import pytest

from tests.command_line import run_python
from tests.training.trainings import MINI, QUICK, history, run
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.training.state import StateStore

# Its states: the first, two epochs (the second no better), stage two, its epochs.
TWO_STAGES = dataclasses.replace(
    QUICK,
    patience=1,
    steps_per_epoch=2,
    learning_rate=1e-30,  # too small to change a weight
    fine_tuning_learning_rate=0.02,
    max_epochs=4,
    fine_tuning_batch_size=4,
)


class Killed(BaseException):
    """Stands for a kill: nothing of ours catches it."""


def killing_at(epoch, stage, kill):
    """A StateStore.save that kills instead of saving the state of this moment."""
    save = StateStore.save

    def save_or_die(self, progress):
        if (progress.epoch, progress.stage) == (epoch, stage):
            kill()
        save(self, progress)

    return save_or_die


def raise_killed():
    raise Killed


@pytest.fixture(scope="module")
def whole_dir(kept_stems_dir, tmp_path_factory):
    """The workdir of the training that was never killed."""
    workdir = tmp_path_factory.mktemp("never killed") / "work"
    run(MINI, TWO_STAGES, kept_stems_dir, workdir)
    stages = [record["stage"] for record in history(workdir)]
    # The kills below are where they should be.
    assert stages == [1, 1, 2, 2]
    best = checkpoint.Checkpoint.open(workdir / "best")
    assert best.training == TWO_STAGES
    return workdir


def check_equal(workdir, expected):
    records, others = history(workdir), history(expected)
    for record in [*records, *others]:
        del record["seconds"]
    assert records == others
    for name in ("best", "state"):
        folders = [workdir / name, expected / name]
        if name == "state":
            folders = [max(folder.iterdir()) for folder in folders]
        one, other = (checkpoint.load_network(folder) for folder in folders)
        for weight, same in zip(one.get_weights(), other.get_weights()):
            np.testing.assert_array_equal(weight, same)


@pytest.mark.xdist_group("killed_training")
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param((1, 0), marks=pytest.mark.slow),  # after the first epoch
        pytest.param((2, 0), marks=pytest.mark.slow),
        pytest.param((2, 1), marks=pytest.mark.slow),  # before the second stage
        pytest.param((3, 1), marks=pytest.mark.slow),  # after its first epoch
    ],
)
def test_a_training_killed_before_a_state_ends_as_if_it_had_not_been(
    kept_stems_dir, tmp_path, whole_dir, moment
):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(StateStore, "save", killing_at(*moment, raise_killed))
        with pytest.raises(Killed):
            run(MINI, TWO_STAGES, kept_stems_dir, tmp_path / "work")
    assert (tmp_path / "work" / "best" / "config.json").exists()
    run(MINI, TWO_STAGES, kept_stems_dir, tmp_path / "work")
    check_equal(tmp_path / "work", whole_dir)


@pytest.mark.slow
@pytest.mark.parametrize("moment", [(0, 0), (1, 0), (2, 0), (2, 1), (3, 1), (4, 1)])
def test_a_kill_minus_9_before_any_state_changes_nothing(
    kept_stems_dir, tmp_path, moment
):
    """In processes of their own, as all the training that it is compared with."""

    def train(name, *moment):
        words = (kept_stems_dir, tmp_path / name, *moment)
        return run_python("-m", "tests.training.killed_training_test", *words)

    assert train("killed", *moment).returncode == -signal.SIGKILL
    for name in ("killed", "whole"):
        result = train(name)
        assert result.returncode == 0, result.stderr
    check_equal(tmp_path / "killed", tmp_path / "whole")
    assert not list((tmp_path / "killed").rglob(".part*/config.json"))


def main(data_dir, workdir, *moment):
    """Trains, and kills this process before a state."""
    if moment:
        StateStore.save = killing_at(
            *map(int, moment), lambda: os.kill(os.getpid(), signal.SIGKILL)
        )
    run(MINI, TWO_STAGES, data_dir, workdir)


if __name__ == "__main__":
    main(*sys.argv[1:])
