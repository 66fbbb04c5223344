"""Epochs of a training on JAX, with a trainer that costs nothing."""

import dataclasses
import json
import math
import os
import pathlib

import numpy as np
import pytest

from examples.pretrained import jax_epochs
from examples.pretrained.jax_training import LostAt
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.system import files
from waveunet_tf.training.guard import Guard, Lost, Place


class FakeTrainer:
    """A trainer whose only weight is the sum of the rates of its epochs."""

    def __init__(self, lost_in=(), good=True):
        self.config = WaveUNetConfig()
        self.training = TrainingConfig(
            steps_per_epoch=10, max_epochs=3, learning_rate=1.0, fine_tuning=False
        )
        self.guard, self.state, self.budget = Guard(), {"weights": [0.0]}, None
        self.lost_in, self.good = list(lost_in), good

    @property
    def weight(self):
        return float(self.state["weights"][0])

    def rate(self, step):
        return self.guard.rate_factor

    def run_epoch(self, epoch):
        if self.lost_in and self.lost_in[0] == epoch:
            self.lost_in.pop(0)
            self.state["weights"] = [math.nan]
            raise LostAt(Place(0, epoch, 10 * epoch + 4, 4), Lost("It is lost"))
        self.state["weights"] = [self.weight + self.rate(0)]
        self.guard.bad_steps = 0 if self.good else 5
        return self.weight

    def validation_sdr_db(self, _):
        return {"a": self.weight}

    def save_best(self, directory):
        pathlib.Path(directory).write_text(str(self.weight))


def told(workdir):
    lines = (workdir / "history.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record.pop("seconds", None)
    return records


def test_a_lost_training_on_jax_goes_back_with_half_the_rate(tmp_path):
    jax_epochs.run_training(trainer := FakeTrainer([1]), None, tmp_path)
    first, back, *rest = told(tmp_path)
    assert (first["epoch"], [record["epoch"] for record in rest]) == (1, [2, 3])
    assert back["reason"] == "It is lost, at step 5 of epoch 2"
    assert (back["to_step"], back["learning_rate"]) == (10, 0.5)
    assert [record["learning_rate"] for record in rest] == [0.5, 0.5]
    assert trainer.weight == 2.0  # an epoch at 1, two at a half


def test_a_bad_epoch_is_none_to_go_back_to(tmp_path):
    jax_epochs.run_training(FakeTrainer([2], good=False), None, tmp_path)
    back, *epochs = told(tmp_path)
    assert (back["epoch"], back["to_step"]) == (3, 0)
    assert [record["epoch"] for record in epochs] == [1, 2, 3]


def test_a_training_on_jax_that_is_lost_four_times_ends(tmp_path):
    with pytest.raises(InputError, match="It is lost, at step 5 of epoch 2; a lower"):
        jax_epochs.run_training(FakeTrainer([1] * 4), None, tmp_path)
    assert [record.get("rollback") for record in told(tmp_path)] == [None, 1, 2, 3]
    assert (tmp_path / "best").read_text() == "1.0"


@pytest.mark.parametrize("is_good_made", [True, False])
@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_a_training_on_jax_killed_at_a_state_ends_as_if_it_had_not_been(
    tmp_path, monkeypatch, is_good_made, epochs
):
    jax_epochs.run_training(FakeTrainer([1]), None, tmp_path / "whole")
    link, killed = os.link, FakeTrainer([1])

    def link_and_kill(source, target):
        is_the_moment = np.load(source)["epoch"] == epochs
        if is_good_made or not is_the_moment:
            link(source, target)
        if is_the_moment:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", link_and_kill)
    with pytest.raises(KeyboardInterrupt):
        jax_epochs.run_training(killed, None, tmp_path / "killed")
    monkeypatch.undo()
    again = FakeTrainer(killed.lost_in)
    jax_epochs.run_training(again, None, tmp_path / "killed")
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    for file in ("state.npz", "good.npz"):
        one, other = (np.load(tmp_path / name / file) for name in ("killed", "whole"))
        assert dict(one) == dict(other)
    best = [tmp_path / name / "best" for name in ("killed", "whole")]
    assert best[0].read_text() == best[1].read_text()


def test_where_there_are_no_links_the_good_state_is_a_copy(tmp_path, monkeypatch):
    def link(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", link)
    jax_epochs.run_training(trainer := FakeTrainer([2]), None, tmp_path)
    assert trainer.weight == 2.5
    good, last = ((tmp_path / name) for name in ("good.npz", "state.npz"))
    assert good.read_bytes() == last.read_bytes()


def test_silent_validation_tracks_end_a_training_on_jax(tmp_path):
    trainer = FakeTrainer()
    trainer.validation_sdr_db = lambda _: {"a": None}
    with pytest.raises(InputError, match="all sources are silent in all of them"):
        jax_epochs.run_training(trainer, None, tmp_path)


class Budget:
    """A budget of some looks at the clock."""

    steps, looks = 25, 3

    @property
    def is_over(self):
        self.looks -= 1
        return self.looks < 0


def test_a_budget_ends_a_training_on_jax_and_is_for_a_new_folder(tmp_path):
    trainer = FakeTrainer([1])  # going back takes time, too
    trainer.budget = Budget()
    trainer.training = dataclasses.replace(trainer.training, max_epochs=None)
    jax_epochs.run_training(trainer, None, tmp_path)
    first, back, last = told(tmp_path)
    assert (first["epoch"], back["rollback"], last["epoch"]) == (1, 1, 2)
    assert last["step"] == 25
    with pytest.raises(InputError, match="must be new for a training within a budget"):
        jax_epochs.run_training(trainer, None, tmp_path)


def test_two_runs_on_jax_refuse_each_other(tmp_path):
    with files.locked_folder(tmp_path):
        with pytest.raises(InputError, match="another run is at work in it"):
            jax_epochs.run_training(FakeTrainer(), None, tmp_path)
