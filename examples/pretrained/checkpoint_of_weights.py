r"""Writes a checkpoint of weights that were carried from a training on JAX.

    python -m examples.pretrained.checkpoint_of_weights --output work/best \
        --weights work/weights-0.npz --weights work/weights-1.npz \
        --variant M5 --num_levels 10 --base_filters 32 --output_activation linear

The flags of the network are those of the training.
"""

from __future__ import annotations

from absl import flags

from waveunet_tf.commands import app, config_flags
from waveunet_tf.system import files

_WEIGHTS = flags.DEFINE_multi_string(
    "weights", None, "A file of weights; once for each.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "The checkpoint to write.", required=True)
config_flags.define_network_flags()


def main(_):
    """Writes the checkpoint."""
    from examples.pretrained.weight_arrays import read_weights
    from waveunet_tf.checkpoints.checkpoint import save_checkpoint
    from waveunet_tf.networks.build import build_network

    files.require_new(_OUTPUT.value)
    config = config_flags.network_config_from_flags()
    network = build_network(config)
    shapes = [weight.shape for weight in network.trainable_weights]
    weights = read_weights(_WEIGHTS.value, shapes)
    for variable, value in zip(network.trainable_weights, weights):
        variable.assign(value)
    save_checkpoint(_OUTPUT.value, network, config, None)
    print(_OUTPUT.value)


if __name__ == "__main__":
    app.run(main)
