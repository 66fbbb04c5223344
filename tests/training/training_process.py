"""A training of a tiny network in a process of its own, for devices_test.py.

python -m tests.training.training_process DATA WORKDIR CPUS COMPUTE TRAINING
"""

import dataclasses
import json
import sys

import tensorflow as tf

from tests.training.trainings import MINI, QUICK, run
from waveunet_tf.configs.training import ComputeConfig


def main(data_dir, workdir, cpus, compute, training):
    """Trains by QUICK; COMPUTE and TRAINING are the JSON of other fields."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * int(cpus)
    tf.config.set_logical_device_configuration(cpu, logical)
    run(
        MINI,
        dataclasses.replace(QUICK, **json.loads(training)),
        data_dir,
        workdir,
        compute=ComputeConfig(**json.loads(compute)),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
