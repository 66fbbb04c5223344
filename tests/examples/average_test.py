import dataclasses

import keras
import numpy as np

from tests.command_line import check_refusal, run
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.networks.build import build_network


def test_an_average_has_the_mean_of_all_weights(tiny_checkpoint, tiny_config, tmp_path):
    keras.utils.set_random_seed(2)
    checkpoint.save_checkpoint(
        tmp_path / "other", build_network(tiny_config), tiny_config
    )
    folders = [tiny_checkpoint, tmp_path / "other", tmp_path / "average"]
    command = ["examples.pretrained.average"]
    for folder in folders[:2]:
        command += ["--checkpoint", folder]
    command += ["--output", folders[2]]
    came = run(*command)
    assert came.returncode == 0, came.stderr
    one, other, average = (
        checkpoint.load_network(folder).get_weights() for folder in folders
    )
    for first, second, mean in zip(one, other, average):
        np.testing.assert_allclose(mean, (first + second) / 2, rtol=1e-6)
    check_refusal(run(*command), 1, "must be new, but is there")
    mono = dataclasses.replace(tiny_config, channels=1)
    checkpoint.save_checkpoint(tmp_path / "mono", build_network(mono), mono)
    refused = run(*command[:-1], tmp_path / "new", "--checkpoint", tmp_path / "mono")
    check_refusal(refused, 1, "mono: must be of the same network as")


def test_one_checkpoint_is_no_average(tiny_checkpoint, tmp_path):
    command = ["examples.pretrained.average", "--checkpoint", tiny_checkpoint]
    came = run(*command, "--output", tmp_path / "average")
    check_refusal(came, 2, "--checkpoint must be given twice or more")
    assert not (tmp_path / "average").exists()
