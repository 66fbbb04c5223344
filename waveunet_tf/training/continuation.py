"""Whether a training goes on with the flags that it began with."""

from __future__ import annotations

import os

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError, list_changes

# Fields of TrainingConfig that a later call may change.
_FREE = ("max_epochs", "patience")


def differences(
    then: tuple[NetworkConfig, TrainingConfig],
    now: tuple[NetworkConfig, TrainingConfig],
) -> list[str]:
    """Lists the fields in which two trainings differ, although they must not.

    Args:
        then: The configs that a state is of.
        now: The configs of the training that would go on from it.

    Returns:
        For each field its name and both values.
    """
    theirs, ours = _fields_of(*then), _fields_of(*now)
    free = set(_FREE)
    if now[1].learning_rate_schedule == "cosine":
        free -= {"max_epochs"}  # on which the schedule depends
    for name in free:
        theirs.pop(name, None)
        ours.pop(name, None)
    return list_changes(theirs, ours)


def another_training(workdir: str | os.PathLike, differences: list[str]) -> InputError:
    """Returns the error of a folder whose training is another one."""
    return InputError(
        f"{os.fspath(workdir)}: holds another training, to go on with the same flags "
        f"or to be left alone. What differs: {', '.join(differences)}"
    )


def _fields_of(config: NetworkConfig, training: TrainingConfig) -> dict:
    """Returns what must be the same where a training goes on."""
    # Earlier versions saved the number of what is now a default.
    second = {"fine_tuning_batch_size": training.second_batch_size}
    return {**config.to_dict(), **training.to_dict(), **second}
