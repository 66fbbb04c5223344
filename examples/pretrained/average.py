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
    from waveunet_tf.checkpoints.checkpoint import Checkpoint, save_checkpoint

    first, *others = _CHECKPOINT.value
    if not others:
        raise app.UsageError(
            f"--checkpoint must be given twice or more. Received: {first}"
        )
    output = pathlib.Path(_OUTPUT.value)
    if output.exists():
        raise InputError(f"{output}: must be new, but is there")
    checkpoints = [Checkpoint.open(path) for path in [first, *others]]
    config = checkpoints[0].config
    for other in checkpoints[1:]:
        if other.config != config:
            raise InputError(
                f"{other.directory}: must be of the same network as {first}"
            )
    networks = [checkpoint.load_network() for checkpoint in checkpoints]
    weights = zip(*(network.get_weights() for network in networks))
    networks[0].set_weights([np.mean(same, axis=0) for same in weights])
    # The last one's training is the one told of.
    save_checkpoint(output, networks[0], config, checkpoints[-1].training)
    print(f"{output}: the average of {len(networks)}")


if __name__ == "__main__":
    app.run(main)
