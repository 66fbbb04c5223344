"""What of the training on JAX runs on any backend."""

import dataclasses
import json
import math
import pathlib

import numpy as np
import pytest
import soundfile
import tensorflow as tf

from examples.pretrained import coded_stems, jax_training
from examples.pretrained.stem_parts import read_stem_parts, write_stem_parts
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import augmentation, excerpts, prepared
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.system import files
from waveunet_tf.training.guard import Guard, Lost, Place

AUGMENTED = TrainingConfig(
    batch_size=6,
    seed=5,
    remix_probability=0.5,
    swap_probability=0.5,
    polarity_probability=0.5,
    dropout_probability=0.2,
    min_gain=0.5,
)


def snr_db(signal, noise):
    return 10 * np.log10(np.sum(np.square(signal)) / np.sum(np.square(noise)))


def uniform_draws(stems, training):
    """The draws of the data pipeline's first batch."""
    return tf.stack(
        [
            tf.random.stateless_uniform(
                [stems, augmentation.DRAWS], [training.seed, number], dtype=tf.float64
            )
            for number in range(training.batch_size)
        ]
    )


@pytest.mark.parametrize("parts", [1, 2])
def test_excerpts_cut_on_the_device_are_those_of_the_pipeline(
    stems_dir, tiny_config, tmp_path, parts
):
    if parts == 2:  # of the accompaniment
        for path in stems_dir.rglob("accompaniment.wav"):
            samples, rate_hz = soundfile.read(path)
            for name, stem in {"drums": 0.5 * samples, "bass": samples[::-1]}.items():
                soundfile.write(path.with_stem(name), stem, rate_hz, subtype="FLOAT")
            path.unlink()
    folders, weights = [stems_dir, stems_dir], [1, 3]
    write_stem_parts(
        folders, tmp_path / "a", part_bytes=10**6, weights=weights, format="flac"
    )
    tracks = prepared.load_all(folders, tiny_config, "train", weights=weights)
    mixture, sources = next(
        iter(excerpts.random_excerpts(tracks, tiny_config, AUGMENTED))
    )
    ours, targets = jax_training.cut_excerpts(
        uniform_draws(1 + parts, AUGMENTED),
        read_stem_parts(tmp_path / "a", "train", tiny_config),
        shapes.window_frames(tiny_config),
        AUGMENTED,
    )
    assert snr_db(mixture, ours - mixture) > 35
    for name, stem in sources.items():
        assert snr_db(stem, targets[name] - stem) > 35


def test_an_excerpt_of_a_track_shorter_than_the_window_is_silent_around_it(tiny_config):
    """A constant track: the mixture is constant within, and nothing leaks in beside."""
    training = TrainingConfig(batch_size=1, min_gain=1.0)
    window = shapes.window_frames(tiny_config)
    frames = 40
    codes = np.full((2 * frames, 2), coded_stems.encode_samples(np.array(0.5)))
    codes[frames:] = 127  # the next track
    stems = coded_stems.CodedStems(
        ["short", "next"],
        [frames, frames],
        {name: {name: codes} for name in tiny_config.sources},
    )
    draws = np.zeros((1, 2, augmentation.DRAWS))  # the first track, from its beginning
    draws[..., 3:] = 0.99  # no dropout, swap or change of polarity
    mixture, targets = jax_training.cut_excerpts(
        tf.constant(draws), stems, window, training
    )
    mixture = np.asarray(mixture)[0]
    first = window.context_frames
    level = float(coded_stems.decode_samples(codes[:1, :1])[0, 0])
    expected = np.zeros((window.input_frames, 2))
    expected[first : first + frames] = 2 * level
    np.testing.assert_allclose(mixture, expected, atol=1e-6)
    for target in targets.values():
        middle = expected[first : first + window.output_frames] / 2
        np.testing.assert_allclose(np.asarray(target)[0], middle, atol=1e-6)


def test_swapped_channels_and_gains_are_each_stems_own(tiny_config):
    training = TrainingConfig(
        batch_size=1, min_gain=0.5, swap_probability=0.5, polarity_probability=0.5
    )
    window = shapes.window_frames(tiny_config)
    left, right = (coded_stems.encode_samples(np.array(level)) for level in (0.2, 0.6))
    codes = np.tile(np.array([[left, right]], np.int8), (5000, 1))
    stems = coded_stems.CodedStems(
        ["one"], [5000], {name: {name: codes} for name in tiny_config.sources}
    )
    draws = np.full((1, 2, augmentation.DRAWS), 0.5)
    draws[0, :, 3] = 0.0, 1.0  # gains of 0.5 and 1
    draws[0, :, 4] = 0.9, 0.1  # the second one's polarity is turned
    draws[0, :, 6] = 0.1, 0.9  # the first one's channels are swapped
    _, targets = jax_training.cut_excerpts(tf.constant(draws), stems, window, training)
    decoded = np.asarray(coded_stems.decode_samples(codes[0]))
    first, second = (np.asarray(targets[name])[0, 0] for name in tiny_config.sources)
    np.testing.assert_allclose(first, 0.5 * decoded[::-1], atol=1e-6)
    np.testing.assert_allclose(second, -decoded, atol=1e-6)


def test_draws_depend_on_seed_and_step_alone(tiny_config):
    trainer = object.__new__(jax_training.Trainer)
    trainer.training = TrainingConfig(seed=3)
    codes = {"accompaniment": {"bass": None, "drums": None}, "vocals": {"vocals": None}}
    trainer.stems = coded_stems.CodedStems([], [], codes)
    first = trainer.draws(0, 50)
    assert first.shape == (50, 3, augmentation.DRAWS)
    assert (first.dtype, first.min() >= 0, first.max() < 1) == (np.float32, True, True)
    np.testing.assert_array_equal(first, trainer.draws(0, 50))
    assert np.any(first != trainer.draws(1, 50))
    trainer.training = dataclasses.replace(trainer.training, seed=4)
    assert np.any(first != trainer.draws(0, 50))


class FakeTrainer:
    """A trainer whose weights are the sum of the rates of its epochs."""

    def __init__(self, lost_in=(), good=True):
        self.training = TrainingConfig(
            steps_per_epoch=10, max_epochs=3, learning_rate=1.0, fine_tuning=False
        )
        self.guard, self.weights, self.budget = Guard(), 0.0, None
        self.lost_in, self.good = list(lost_in), good
        self.kill = None

    def rate(self, step):
        return self.guard.rate_factor

    def run_epoch(self, epoch):
        if self.lost_in and self.lost_in[0] == epoch:
            self.lost_in.pop(0)
            self.weights = math.nan
            raise jax_training.LostAt(
                Place(0, epoch, 10 * epoch + 4, 4), Lost("It is lost")
            )
        self.weights += self.rate(0)
        self.guard.bad_steps = 0 if self.good else 5
        return self.weights

    def validation_sdr_db(self, _):
        return {"a": self.weights}

    def save_best(self, directory):
        pathlib.Path(directory).write_text(str(self.weights))

    def save(self, path, epochs, best):
        values = [self.weights, dataclasses.asdict(self.guard), epochs, best]
        pathlib.Path(path).write_text(json.dumps(values))
        if self.kill == (pathlib.Path(path).name, epochs):
            raise KeyboardInterrupt

    def load(self, path):
        self.weights, guard, epochs, best = json.loads(pathlib.Path(path).read_text())
        self.guard = Guard(**guard)
        return epochs, best


def told(workdir):
    lines = (workdir / "history.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record.pop("seconds", None)
    return records


def test_a_lost_training_on_jax_goes_back_with_half_the_rate(tmp_path):
    jax_training.run_training(trainer := FakeTrainer([1]), None, tmp_path)
    first, back, *rest = told(tmp_path)
    assert (first["epoch"], [record["epoch"] for record in rest]) == (1, [2, 3])
    assert back["reason"] == "It is lost, at step 5 of epoch 2"
    assert (back["to_step"], back["learning_rate"]) == (10, 0.5)
    assert [record["learning_rate"] for record in rest] == [0.5, 0.5]
    assert trainer.weights == 2.0  # an epoch at 1, two at a half


def test_a_bad_epoch_is_none_to_go_back_to(tmp_path):
    jax_training.run_training(FakeTrainer([2], good=False), None, tmp_path)
    back, *epochs = told(tmp_path)
    assert (back["epoch"], back["to_step"]) == (3, 0)
    assert [record["epoch"] for record in epochs] == [1, 2, 3]


def test_a_training_on_jax_that_is_lost_four_times_ends(tmp_path):
    with pytest.raises(InputError, match="It is lost, at step 5 of epoch 2; a lower"):
        jax_training.run_training(FakeTrainer([1] * 4), None, tmp_path)
    assert [record.get("rollback") for record in told(tmp_path)] == [None, 1, 2, 3]
    assert (tmp_path / "best").read_text() == "1.0"


@pytest.mark.parametrize("name", ["state.npz", "good.npz"])
@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_a_training_on_jax_killed_at_a_state_ends_as_if_it_had_not_been(
    tmp_path, name, epochs
):
    jax_training.run_training(FakeTrainer([1]), None, tmp_path / "whole")
    killed = FakeTrainer([1])
    killed.kill = (name, epochs)
    with pytest.raises(KeyboardInterrupt):
        jax_training.run_training(killed, None, tmp_path / "killed")
    again = FakeTrainer(killed.lost_in)
    jax_training.run_training(again, None, tmp_path / "killed")
    assert told(tmp_path / "killed") == told(tmp_path / "whole")
    for file in ("best", "state.npz", "good.npz"):
        assert (tmp_path / "killed" / file).read_bytes() == (
            tmp_path / "whole" / file
        ).read_bytes()


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
    jax_training.run_training(trainer, None, tmp_path)
    first, back, last = told(tmp_path)
    assert (first["epoch"], back["rollback"], last["epoch"]) == (1, 1, 2)
    assert last["step"] == 25
    with pytest.raises(InputError, match="must be new for a training within a budget"):
        jax_training.run_training(trainer, None, tmp_path)


def test_two_runs_on_jax_refuse_each_other(tmp_path):
    with files.locked_folder(tmp_path):
        with pytest.raises(InputError, match="another run is at work in it"):
            jax_training.run_training(FakeTrainer(), None, tmp_path)
