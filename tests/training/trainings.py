"""Small trainings, for the tests of training."""

import json

from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.training import loop

QUICK = TrainingConfig(
    batch_size=4,
    learning_rate=1e-3,
    steps_per_epoch=3,
    max_epochs=2,
    seed=7,
    fine_tuning_batch_size=6,
)


TINY_U7 = SpectrogramUNetConfig(
    num_levels=3,
    base_filters=4,
    sample_rate_hz=8000,
    fft_frames=64,
    hop_frames=48,
    output_frames=784,
)


def history(workdir):
    lines = (workdir / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def run(config, training, stems_dir, workdir):
    return loop.train(config, training, data_dirs=[stems_dir], workdir=workdir)


class Enough:
    """Asks a training to stop after so many steps."""

    def __init__(self, steps):
        self.steps = steps

    def __call__(self):
        self.steps -= 1
        return self.steps == 0
