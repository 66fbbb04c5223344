"""Networks that several tests of the evaluation read."""

import dataclasses

import pytest


@pytest.fixture(scope="session")
def without_context(tiny_config, tmp_path_factory):
    """A checkpoint of a network without context, of random weights."""
    import keras

    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.networks.build import build_network

    config = dataclasses.replace(tiny_config, context=False, output_frames=1024)
    folder = tmp_path_factory.mktemp("without") / "checkpoint"
    keras.utils.set_random_seed(2)
    checkpoint.save_checkpoint(folder, build_network(config), config)
    return folder
