"""Small trainings, for the tests of training."""

import json

from waveunet_tf.configs.networks import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.training import loop

MINI = WaveUNetConfig(
    num_levels=2, base_filters=2, sample_rate_hz=8000, output_frames=128
)
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


def history(workdir):
    lines = (workdir / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def run(config, training, stems_dir, workdir, **arguments):
    """Trains without pictures, which take longer than the steps of these networks."""
    arguments = {"illustrate": False, **arguments}
    return loop.train(
        config, training, data_dirs=[stems_dir], workdir=workdir, **arguments
    )


class Enough:
    """Asks a training to stop after this number of calls."""

    def __init__(self, calls):
        self.calls = calls

    def __call__(self):
        self.calls -= 1
        return self.calls == 0
