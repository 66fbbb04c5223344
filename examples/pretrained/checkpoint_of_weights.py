r"""Puts the weights that train_on_jax left in small files into a checkpoint.

    python -m examples.pretrained.checkpoint_of_weights --checkpoint best \
        --weights weights-0.npz --weights weights-1.npz

The folder `best` holds the training's best/config.json.
"""

from __future__ import annotations

import pathlib

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A checkpoint's folder, without its weights.", required=True
)
_WEIGHTS = flags.DEFINE_multi_string(
    "weights", None, "A file of weights; once for each.", required=True
)


def main(_):
    """Writes the weights."""
    from examples.pretrained.weight_arrays import read_weights
    from waveunet_tf.checkpoints.checkpoint import (
        WEIGHTS,
        Checkpoint,
        save_checkpoint,
    )
    from waveunet_tf.networks.build import build_network

    folder = pathlib.Path(_CHECKPOINT.value)
    checkpoint = Checkpoint.open(folder)
    files.require_new(folder / WEIGHTS, overwrite=None)
    network = build_network(checkpoint.config)
    shapes = [weight.shape for weight in network.trainable_weights]
    for variable, value in zip(
        network.trainable_weights, read_weights(_WEIGHTS.value, shapes)
    ):
        variable.assign(value)
    save_checkpoint(folder, network, checkpoint.config, checkpoint.training)
    print(folder)


if __name__ == "__main__":
    app.run(main)
