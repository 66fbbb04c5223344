r"""Averages the weights of checkpoints of one network.

    python -m examples.pretrained.average --checkpoint work/a/best \
        --checkpoint work/b/best --output work/average

Of trainings that share their beginning, the average often separates better than each
("model soups", Wortsman et al., 2022, arXiv 2203.05482).
"""

from __future__ import annotations

import pathlib

import numpy as np
from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError

_CHECKPOINT = flags.DEFINE_multi_string(
    "checkpoint", None, "A checkpoint, or a model's name. Two or more.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The checkpoint to write, a new folder.", required=True
)


def main(_):
    from waveunet_tf.checkpoints import checkpoint

    first, *others = _CHECKPOINT.value
    if not others:
        raise app.UsageError(
            f"--checkpoint must be given twice or more. Received: {first}"
        )
    output = pathlib.Path(_OUTPUT.value)
    if output.exists():
        raise InputError(f"{output}: must be new, but is there")
    config = checkpoint.read_config(first)
    for other in others:
        if checkpoint.read_config(other) != config:
            raise InputError(f"{other}: must be of the same network as {first}")
    networks = [checkpoint.load_network(path) for path in [first, *others]]
    weights = zip(*(network.get_weights() for network in networks))
    networks[0].set_weights([np.mean(same, axis=0) for same in weights])
    # The last one's training is the one told of.
    training = checkpoint.read_training(others[-1])
    checkpoint.save_checkpoint(output, networks[0], config, training)
    print(f"{output}: the average of {len(networks)}")


if __name__ == "__main__":
    app.run(main)
