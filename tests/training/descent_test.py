"""Steps that start before the numbers of those before are read, as on a GPU."""

import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf

from tests.training.lost_training_test import planted
from tests.training.trainings import MINI, QUICK, Enough, history, run
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.training import descent
from waveunet_tf.training.descent import Descent
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.guard import Guard
from waveunet_tf.training.loop import Stopped
from waveunet_tf.training.progress import TrainingProgress
from waveunet_tf.training.step import StepResult, TrainingStep

# Epochs of seven steps, four of which start together, and then three.
COURSE = dataclasses.replace(
    QUICK,
    steps_per_epoch=7,
    average_momentum=0.9,
    learning_rate_schedule="cosine",
    fine_tuning=False,
    dropout_probability=0.2,
)


@pytest.fixture
def four_at_once(monkeypatch):
    monkeypatch.setattr(Devices, "steps_at_once", 4)


class Lazy:
    """A number of a step that is computed when it is read."""

    def __init__(self, name, events, value):
        self.name, self.events, self.value = name, events, value

    def __array__(self, dtype=None, copy=None):
        if f"read {self.name}" not in self.events:
            self.events.append(f"read {self.name}")
        return np.asarray(self.value, dtype or np.float32)

    def __float__(self):
        return float(self.__array__())


class Fake(Descent):
    """A descent without data and network, whose steps tell the tenths 0.0, 0.1, …"""

    def __init__(self, workers=1, clock=None, waits=None, computes=0.0):
        self.events, self.rates, self.clock, self.waits = [], [], clock, waits
        self.computes = computes
        self._devices = Devices(tf.distribute.get_strategy(), 0, workers)
        self._optimizer = self
        self._average, self._network = self, None
        self._stage = QUICK
        self._batches = self._each_batch()

    def _each_batch(self):
        number = 0
        while True:
            if self.waits:
                self.clock.now += self.waits.pop(0)
            yield number
            number += 1

    def _step(self, batch, stops):
        if self.clock:
            self.clock.now += self.computes
        self.events.append(f"start {batch}")
        lazy = Lazy(batch, self.events, batch / 10)
        return StepResult(*[lazy] * 4, stops)

    def end_step(self, step, network):
        self.events.append(f"average {step}")

    def __setattr__(self, name, value):
        if name == "learning_rate":
            self.rates.append(float(value))
        else:
            super().__setattr__(name, value)


def run_fake(fake, count, should_stop=lambda: False):
    return fake.run(0, count, rate_factor=0.5, should_stop=should_stop)


def test_steps_start_before_the_numbers_of_those_before_are_read(four_at_once):
    fake = Fake()
    done = run_fake(fake, 7)
    assert fake.events == [
        *("start 0", "average 1", "start 1", "average 2"),
        *("start 2", "average 3", "start 3", "average 4"),
        *("read 0", "read 1", "read 2", "read 3"),
    ]
    losses = [numbers.loss for numbers in done.numbers]
    assert losses == pytest.approx([0, 0.1, 0.2, 0.3])
    assert fake.rates == pytest.approx([0.5e-3] * 4)
    assert not done.stops
    assert len(run_fake(Fake(), 3).numbers) == 3


def test_a_cpu_reads_each_step_at_once():
    assert len(run_fake(Fake(), 7).numbers) == 1


def test_a_gpu_runs_ahead(monkeypatch):
    monkeypatch.setattr(Devices, "kind", "GPU")
    assert len(run_fake(Fake(), 100).numbers) > 4


@pytest.mark.parametrize(("workers", "steps"), [(1, 2), (2, 4)])
def test_one_worker_stops_at_once_and_several_after_the_same_step(
    four_at_once, workers, steps
):
    done = run_fake(Fake(workers), 7, Enough(2))
    assert done.stops
    assert len(done.numbers) == steps


class Clock:
    """A clock that the test sets, in seconds."""

    now = 100.0

    def monotonic(self):
        return self.now


@pytest.mark.parametrize(
    ("waits", "waited"),
    [
        ([0, 0, 0, 0], 0),
        # The steps take 2 s each; the GPU has nothing to do before the first batch.
        ([5, 0, 0, 0], 5),
        # The host waits while the GPU computes: the last step ends 2 s after its start.
        ([0, 2, 2, 2], 0),
        # Each batch comes a second after the step before is over.
        ([1, 3, 3, 3], 4),
    ],
)
def test_waiting_is_what_a_gpu_cannot_have_computed(
    four_at_once, monkeypatch, waits, waited
):
    clock = Clock()
    monkeypatch.setattr(descent, "time", clock)
    fake = Fake(clock=clock, waits=[*waits])
    starts = [sum(waits[: number + 1]) for number in range(4)]
    end = 0.0
    for start in starts:
        end = max(end, start) + 2
    read = descent.read_results

    def read_late(results):
        clock.now = 100 + end
        return read(results)

    monkeypatch.setattr(descent, "read_results", read_late)
    assert run_fake(fake, 4).waited_seconds == pytest.approx(waited)


def test_without_steps_ahead_waiting_is_what_the_host_waits(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(descent, "time", clock)
    fake = Fake(clock=clock, waits=[3], computes=2)
    assert run_fake(fake, 1).waited_seconds == pytest.approx(3)


@pytest.fixture(scope="module")
def step_by_step(kept_stems_dir, tmp_path_factory):
    """The workdir of a training whose steps are read one by one."""
    workdir = tmp_path_factory.mktemp("step by step") / "work"
    run(MINI, COURSE, kept_stems_dir, workdir)
    return workdir


def check_equal(workdir, expected):
    """Number for number, the last state included."""
    records, others = history(workdir), history(expected)
    for record in [*records, *others]:
        record.pop("seconds", None)
    assert records == others
    folders = [max((folder / "state").iterdir()) for folder in (workdir, expected)]
    progress, other = (
        json.loads((folder / "progress.json").read_text()) for folder in folders
    )
    for values in (progress, other):
        del values["epoch_seconds"]
    assert progress == other
    pairs = [folders, (workdir / "best", expected / "best")]
    for one, two in pairs:
        weights, same = (
            checkpoint.load_network(path).get_weights() for path in (one, two)
        )
        for weight, other in zip(weights, same, strict=True):
            np.testing.assert_array_equal(weight, other)
    with np.load(folders[0] / "averages.npz") as one:
        with np.load(folders[1] / "averages.npz") as two:
            for name in two.files:
                np.testing.assert_array_equal(one[name], two[name])


@pytest.mark.slow
def test_a_training_that_runs_ahead_and_stops_is_the_same(
    kept_stems_dir, tmp_path, step_by_step, four_at_once
):
    workdir = tmp_path / "work"
    for calls in (2, 11):  # within four steps, and in the second epoch
        with pytest.raises(Stopped):
            arguments = {"save_seconds": 0.0, "should_stop": Enough(calls)}
            run(MINI, COURSE, kept_stems_dir, workdir, **arguments)
    run(MINI, COURSE, kept_stems_dir, workdir)
    check_equal(workdir, step_by_step)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_training_that_runs_ahead_is_lost_at_the_same_step(
    kept_stems_dir, tmp_path, monkeypatch, precision
):
    """And goes back to the same state, though later steps were computed."""
    compute = ComputeConfig(precision=precision)
    for name, ahead in (("one", 1), ("four", 4)):
        with pytest.MonkeyPatch.context() as context:
            context.setattr(Devices, "steps_at_once", ahead)
            planted(context, 9, loss=math.nan)
            run(MINI, COURSE, kept_stems_dir, tmp_path / name, compute=compute)
    _, back, _ = history(tmp_path / "four")
    assert (back["step"], back["to_step"]) == (9, 7)
    check_equal(tmp_path / "four", tmp_path / "one")


@pytest.mark.slow
def test_a_training_starts_steps_ahead_and_checks_them_before_a_state_is_good(
    kept_stems_dir, tmp_path, monkeypatch
):
    """The last step of an epoch is lost, which ran together with those before."""
    monkeypatch.setattr(Devices, "steps_at_once", 3)
    planted(monkeypatch, 6, loss=math.nan)
    events = []
    for owner, name in (
        (TrainingStep, "__call__"),
        (Guard, "check"),
        (TrainingProgress, "mark_good"),
    ):
        method = getattr(owner, name)

        def note(self, *args, method=method, **kwargs):
            events.append(method.__name__)
            return method(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, note)
    run(MINI, QUICK, kept_stems_dir, tmp_path)
    together = ["call"] * 3 + ["check"] * 3
    good = ["mark_good"]
    assert events == good + together + good + together + good + together + good
    _, back, _ = history(tmp_path)
    assert (back["step"], back["to_step"]) == (6, 3)
