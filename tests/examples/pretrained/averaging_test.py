import dataclasses

import keras
import numpy as np
import pytest

from examples.pretrained.averaging import average_checkpoints
from tests.command_line import check_refusal, run_here
from waveunet_tf.checkpoints.checkpoint import Checkpoint, save_checkpoint
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network

AVERAGE = "examples.pretrained.average"


@pytest.fixture(scope="module")
def folders(tiny_config, tmp_path_factory):
    """Three checkpoints of one network, of other weights and trainings."""
    root = tmp_path_factory.mktemp("average")
    for number in range(3):
        keras.utils.set_random_seed(number)
        training = TrainingConfig(seed=number)
        network = build_network(tiny_config)
        save_checkpoint(root / str(number), network, tiny_config, training)
    return [root / str(number) for number in range(3)]


@pytest.mark.parametrize("count", [2, 3])
def test_an_average_has_the_mean_of_all_weights(folders, tmp_path, count):
    average_checkpoints(folders[:count], tmp_path / "average")
    weights = [
        Checkpoint.open(folder).load_network().get_weights()
        for folder in folders[:count]
    ]
    average = Checkpoint.open(tmp_path / "average")
    for mean, *same in zip(average.load_network().get_weights(), *weights):
        np.testing.assert_allclose(mean, np.mean(same, axis=0), atol=1e-7)
    assert average.training == TrainingConfig(seed=count - 1)  # the last one's


def test_the_average_of_a_checkpoint_with_itself_is_the_checkpoint(folders, tmp_path):
    result = run_here(
        AVERAGE,
        *("--checkpoint", folders[0], "--checkpoint", folders[0]),
        *("--output", tmp_path / "same"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"{tmp_path}/same: the average of 2\n"
    ours, theirs = (
        Checkpoint.open(folder).load_network().get_weights()
        for folder in (tmp_path / "same", folders[0])
    )
    for one, other in zip(ours, theirs):
        np.testing.assert_array_equal(one, other)


def test_other_networks_and_existing_outputs_are_refused(
    folders, tiny_config, tmp_path
):
    mono = dataclasses.replace(tiny_config, channels=1)
    save_checkpoint(tmp_path / "mono", build_network(mono), mono)
    with pytest.raises(InputError, match="mono: must be of the same network as .*/0$"):
        average_checkpoints([*folders, tmp_path / "mono"], tmp_path / "new")
    with pytest.raises(InputError, match="nowhere: must be a checkpoint"):
        average_checkpoints([folders[0], tmp_path / "nowhere"], tmp_path / "new")
    assert not (tmp_path / "new").exists()
    with pytest.raises(InputError, match="mono: must be new, but exists"):
        average_checkpoints(folders, tmp_path / "mono")


def test_one_checkpoint_is_no_average(folders, tmp_path):
    result = run_here(
        AVERAGE, "--checkpoint", folders[0], "--output", tmp_path / "average"
    )
    check_refusal(result, 2, "--checkpoint must be given twice or more")
    assert not (tmp_path / "average").exists()
