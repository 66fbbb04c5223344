"""The schedule of a training: its stages and their learning rates."""

from __future__ import annotations

import dataclasses
import math

from waveunet_tf.configs.training import TrainingConfig


def stages_of(training: TrainingConfig) -> list[TrainingConfig]:
    """Returns the config of each stage: the training, and its fine-tuning if any."""
    if not training.fine_tuning:
        return [training]
    second = dataclasses.replace(
        training,
        batch_size=training.second_batch_size,
        learning_rate=training.fine_tuning_learning_rate,
    )
    return [training, second]


def learning_rate(stage: TrainingConfig, step: int) -> float:
    """Returns the learning rate of a step.

    Args:
        stage: The config of the step's stage.
        step: The step's number, counted from 0 over the whole training.
    """
    rate = stage.learning_rate
    if step < stage.warmup_steps:
        rate *= (step + 1) / (stage.warmup_steps + 1)
    if stage.learning_rate_schedule == "constant":
        return rate
    share = step / (stage.max_epochs * stage.steps_per_epoch)
    return 0.5 * rate * (1 + math.cos(math.pi * share))
