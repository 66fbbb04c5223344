r"""A training of a tiny network in a process of its own, for devices_test.py.

python -m tests.training.training_process \
    DATA WORKDIR CPUS COMPUTE TRAINING LEVELS AHEAD CALLS
"""

import dataclasses
import json
import sys

import tensorflow as tf

from tests.training.trainings import MINI, MINI_U7, QUICK, Enough, run
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.training.devices import Devices


def main(data_dir, workdir, cpus, compute, training, levels, ahead, calls):
    """Trains by QUICK; COMPUTE and TRAINING are the JSON of other fields.

    With LEVELS, which may be 0, it trains a spectrogram network of as many levels.
    AHEAD steps start at once. After CALLS, which may be 0, it asks to stop.
    """
    Devices.steps_at_once = int(ahead)
    config = MINI
    if int(levels):
        config = dataclasses.replace(MINI_U7, num_levels=int(levels))
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * int(cpus)
    tf.config.set_logical_device_configuration(cpu, logical)
    run(
        config,
        dataclasses.replace(QUICK, **json.loads(training)),
        data_dir,
        workdir,
        compute=ComputeConfig(**json.loads(compute)),
        should_stop=Enough(int(calls)),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
