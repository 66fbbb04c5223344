"""Averages of the weights of several checkpoints."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from waveunet_tf.checkpoints.checkpoint import Checkpoint, save_checkpoint
from waveunet_tf.errors import InputError


def average_checkpoints(
    directories: Sequence[str | os.PathLike], output: str | os.PathLike
) -> None:
    """Writes a checkpoint whose weights are the mean of those of other checkpoints.

    Its config says how the last of them was trained.

    Args:
        directories: The checkpoints, of one network.
        output: The checkpoint to write, a new folder.

    Raises:
        InputError: A checkpoint is missing, broken or of another network, or the output
            exists.
        OSError: A file cannot be read or written.
    """
    if pathlib.Path(output).exists():
        raise InputError(f"{output}: must be new, but exists")
    checkpoints = [Checkpoint.open(directory) for directory in directories]
    first, *_, last = checkpoints
    for other in checkpoints:
        if other.config != first.config:
            raise InputError(
                f"{other.directory}: must be of the same network as {first.directory}"
            )
    networks = [checkpoint.load_network() for checkpoint in checkpoints]
    weights = zip(*(network.get_weights() for network in networks))
    networks[0].set_weights([np.mean(same, axis=0) for same in weights])
    save_checkpoint(output, networks[0], first.config, last.training)
