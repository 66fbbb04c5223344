"""Small trainings, for the tests of training."""

import dataclasses
import json
from unittest import mock

import numpy as np
import pytest

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.system import cpus
from waveunet_tf.training import loop

# As small as networks can be: most of the time goes into their graphs.
MINI = WaveUNetConfig(
    num_levels=1, base_filters=2, sample_rate_hz=8000, output_frames=128
)
# Two levels have dropout, which one level has not.
MINI_U7 = SpectrogramUNetConfig(
    num_levels=2,
    base_filters=2,
    sample_rate_hz=8000,
    fft_frames=32,
    hop_frames=24,
    output_frames=392,
)

QUICK = TrainingConfig(
    batch_size=4,
    learning_rate=1e-3,
    steps_per_epoch=3,
    max_epochs=2,
    seed=7,
    fine_tuning_batch_size=8,
    remix_probability=0.5,
)

U7 = dataclasses.replace(QUICK, steps_per_epoch=20, learning_rate=3e-3)

COSINE = dataclasses.replace(
    QUICK,
    fine_tuning=False,
    learning_rate_schedule="cosine",
    average_momentum=0.9,
    best_by="sdr",
    learning_rate=5e-3,
    steps_per_epoch=25,
)


def history(workdir):
    lines = (workdir / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def run(config, training, stems_dir, workdir, **arguments):
    """Trains without pictures, which take longer than the steps of these networks.

    Excerpts are read one at a time: reading two side by side takes two graphs.
    """
    arguments = {"illustrate": False, "data_dirs": [stems_dir], **arguments}
    with mock.patch.object(cpus, "cores", return_value=1):
        return loop.train(config, training, workdir=workdir, **arguments)


def weights_of(directory):
    return checkpoint.load_network(directory).get_weights()


def check_same_weights(directory, other, tolerance):
    for one, two in zip(weights_of(directory), weights_of(other)):
        np.testing.assert_allclose(one, two, atol=tolerance)


def check_same_history(workdir, other):
    records, others = history(workdir), history(other)
    assert len(records) == len(others)
    for one, two in zip(records, others):
        del one["seconds"], two["seconds"]
        one.update(one.pop("validation_sdr_db"))
        two.update(two.pop("validation_sdr_db"))
        assert one == pytest.approx(two, rel=1e-5)


class Begun(Exception):
    """Ends a training before its first step, whose graph takes most of a start."""


class Enough:
    """Asks a training to stop after this number of calls."""

    def __init__(self, calls):
        self.calls = calls

    def __call__(self):
        self.calls -= 1
        return self.calls == 0
