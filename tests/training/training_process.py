"""A training of a tiny network in a process of its own, for devices_test.py.

python -m tests.training_process DATA WORKDIR CPUS JSON
"""

import json
import sys

import tensorflow as tf

from tests.conftest import TINY
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.training import loop


def main(data_dir, workdir, cpus, fields):
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * int(cpus)
    tf.config.set_logical_device_configuration(cpu, logical)
    fields = json.loads(fields)
    training = TrainingConfig(
        **{
            "batch_size": 4,
            "fine_tuning_batch_size": 8,
            "steps_per_epoch": 3,
            "max_epochs": 3,
            "patience": 2,
            "learning_rate": 0.003,
            "remix_probability": 0.5,
            **fields.pop("training", {}),
        }
    )
    loop.train(
        TINY,
        training,
        data_dirs=[data_dir],
        workdir=workdir,
        compute=ComputeConfig(**fields),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
