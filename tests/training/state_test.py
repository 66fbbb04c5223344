import dataclasses
import shutil

import keras
import numpy as np
import pytest

from tests.training.trainings import MINI, MINI_U7, QUICK
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.training.guard import Lost
from waveunet_tf.training.optimizer import adam_of, build_optimizer, loss_scale_of
from waveunet_tf.training.progress import TrainingProgress
from waveunet_tf.training.state import StateStore
from waveunet_tf.training.weight_average import WeightAverage


class Training:
    """A network with its optimizer, averages and states, as the loop has them."""

    def __init__(self, workdir, config=MINI, training=QUICK, precision="float32"):
        self.network = build_network(config)
        compute = ComputeConfig(precision=precision)
        self.optimizer = build_optimizer(training, compute)
        self.optimizer.build(self.network.trainable_variables)
        self.average = WeightAverage(training.average_momentum)
        self.states = StateStore(
            workdir, config, training, self.network, self.optimizer, self.average
        )

    def step(self, progress):
        """Takes a step by gradients of ones."""
        weights = self.network.trainable_variables
        self.optimizer.apply([keras.ops.ones_like(one) for one in weights], weights)
        progress.end_step(0.5, 4)

    def arrays(self):
        """All that a state must bring back."""
        variables = [
            *self.network.variables,
            *adam_of(self.optimizer).variables,
            *loss_scale_of(self.optimizer),
        ]
        return [keras.ops.convert_to_numpy(variable) for variable in variables]


def saved(workdir, steps=1, **arguments):
    """A training that has saved its state after a number of steps."""
    training, progress = Training(workdir, **arguments), TrainingProgress()
    for _ in range(steps):
        training.step(progress)
        progress.mark_good()
        training.states.save(progress)
    return training, progress


@pytest.mark.parametrize(
    "arguments",
    [{}, {"config": MINI_U7}, {"precision": "mixed_float16"}],
    ids=["waveforms", "dropout", "float16"],
)
def test_a_state_brings_back_all_that_a_training_consists_of(tmp_path, arguments):
    training, progress = saved(tmp_path, **arguments)
    keras.utils.set_random_seed(99)
    other = Training(tmp_path, **arguments)
    loaded = other.states.load()
    assert loaded == progress
    assert loaded.step == 1
    for one, expected in zip(other.arrays(), training.arrays()):
        np.testing.assert_array_equal(one, expected)


def test_a_training_begins_without_a_state(tmp_path):
    assert Training(tmp_path).states.load() is None


def test_the_last_two_states_are_kept(tmp_path):
    saved(tmp_path, steps=4)
    names = sorted(path.name for path in (tmp_path / "state").iterdir())
    assert names == ["000000003-0-0", "000000004-0-0"]


def names_of(workdir):
    return {path.name for path in (workdir / "state").iterdir()}


def test_the_state_to_go_back_to_is_kept_and_loaded(tmp_path):
    training, progress = saved(tmp_path)
    expected = training.arrays()
    progress.guard.bad_steps = 1
    for _ in range(3):
        training.step(progress)
        training.states.save(progress)
    assert names_of(tmp_path) == {"000000001-0-0", "000000003-0-0", "000000004-0-0"}
    assert training.states.go_back(progress.good).step == 1
    for one, other in zip(training.arrays(), expected):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(InputError, match="missing: must be a checkpoint"):
        training.states.go_back("missing")


@pytest.mark.parametrize("epoch", [9, 99, 999])
def test_at_equal_steps_the_state_of_the_later_epoch_is_the_last(tmp_path, epoch):
    training, progress = Training(tmp_path), TrainingProgress(step=7)
    for progress.epoch in (epoch - 1, epoch, epoch + 1):
        training.states.save(progress)
    assert names_of(tmp_path) == {f"000000007-{n}-0" for n in (epoch, epoch + 1)}
    assert Training(tmp_path).states.load().epoch == epoch + 1


def test_after_a_way_back_the_state_of_fewer_steps_is_the_last(tmp_path):
    training, lost = saved(tmp_path, steps=3)
    good = training.states.go_back("000000002-0-0")
    back = lost.go_back(good, Lost("x"), learning_rate=1.0)
    training.states.save(back)
    loaded = Training(tmp_path).states.load()
    assert (loaded.step, loaded) == (2, back)
    training.step(back)
    training.states.save(back)
    assert Training(tmp_path).states.load().step == 3
    assert names_of(tmp_path) == {"000000002-0-0-1", "000000003-0-0-1"}


def test_a_training_that_took_no_step_gives_way_to_another_one(tmp_path):
    training = Training(tmp_path)
    training.states.save(TrainingProgress())
    smaller = dataclasses.replace(QUICK, batch_size=2)
    other = Training(tmp_path, training=smaller)
    assert other.states.load() is None
    other.states.save(TrainingProgress())
    assert Training(tmp_path, training=smaller).states.load().step == 0
    (tmp_path / "best").mkdir()  # an epoch was done, but its state is not there yet
    with pytest.raises(InputError, match=r"batch_size \(2, now 4\)"):
        Training(tmp_path).states.load()


def test_a_broken_state_is_written_anew(tmp_path):
    training, progress = saved(tmp_path, steps=2)
    (tmp_path / "state" / "000000002-0-0" / "progress.json").unlink()
    again = Training(tmp_path)
    again.step(loaded := again.states.load())
    loaded.mark_good()
    again.states.save(loaded)
    assert Training(tmp_path).states.load() == progress


def test_a_state_is_not_written_twice(tmp_path):
    training, progress = saved(tmp_path)
    (path,) = (tmp_path / "state").iterdir()
    (path / "progress.json").write_text("{}")
    training.states.save(progress)
    assert (path / "progress.json").read_text() == "{}"


@pytest.mark.parametrize(
    "name", ["network.weights.h5", "optimizer.weights.h5", "progress.json"]
)
def test_a_state_without_one_of_its_files_gives_way_to_the_one_before(
    tmp_path, caplog, name
):
    saved(tmp_path, steps=2)
    (max((tmp_path / "state").iterdir()) / name).unlink()
    assert Training(tmp_path).states.load().step == 1
    assert "loading the state before" in caplog.text


@pytest.mark.parametrize("text", ["[", "{}[", '{"steps": 3}', "[1, 2]"])
def test_where_no_state_can_be_read_the_training_ends(tmp_path, text):
    saved(tmp_path)
    for state in (tmp_path / "state").iterdir():
        (state / "progress.json").write_text(text)
    with pytest.raises(InputError, match="must hold a whole state, but none is"):
        Training(tmp_path).states.load()


def test_a_state_of_another_training_is_refused_with_all_that_differs(tmp_path):
    saved(tmp_path)
    config = dataclasses.replace(MINI, output_activation="linear")
    training = dataclasses.replace(QUICK, seed=8)
    with pytest.raises(InputError) as error:
        Training(tmp_path, config=config, training=training).states.load()
    assert str(error.value).startswith(f"{tmp_path}: holds another training")
    assert "output_activation (tanh, now linear), seed (7, now 8)" in str(error.value)


def test_a_state_of_a_network_of_other_sizes_is_refused_not_loaded(tmp_path):
    saved(tmp_path)
    wider = dataclasses.replace(MINI, base_filters=3)
    with pytest.raises(InputError, match=r"base_filters \(2, now 3\)"):
        Training(tmp_path, config=wider).states.load()


def test_averages_are_part_of_a_state(tmp_path):
    averaging = dataclasses.replace(QUICK, average_momentum=0.9)
    training, progress = saved(tmp_path, training=averaging)
    training.average.end_step(10, training.network)
    training.step(progress)
    training.states.save(progress)
    other = Training(tmp_path, training=averaging)
    other.states.load()
    with training.average.within(training.network), other.average.within(other.network):
        for one, expected in zip(
            other.network.get_weights(), training.network.get_weights()
        ):
            np.testing.assert_array_equal(one, expected)
    shutil.copy(__file__, max((tmp_path / "state").iterdir()) / "averages.npz")
    assert Training(tmp_path, training=averaging).states.load().step == 1
