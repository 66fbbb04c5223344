"""The frozen configurations of training and of what computes it, and the paper's.

A field's help text is also the help of the flag of the same name.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from waveunet_tf.configs.fields import Config, setting
from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Config):
    """How a network is trained (paper, section 4.2)."""

    batch_size: int = setting(16, "Excerpts a step.", minimum=1)
    learning_rate: float = setting(1e-4, "Adam's learning rate.", above=0)
    steps_per_epoch: int = setting(
        2000, "Optimiser steps between two validations.", minimum=1
    )
    max_epochs: int | None = setting(
        None, "Epochs at most; by default only `patience` ends the stages.", minimum=1
    )
    patience: int = setting(
        20, "Epochs without a better validation loss that end a stage.", minimum=1
    )
    learning_rate_schedule: str = setting(
        "constant",
        "constant: within a stage; cosine: down to nothing at the end of `max_epochs`, "
        "in one stage.",
        choices=("constant", "cosine"),
    )
    first_weights: str = setting(
        "glorot",
        "glorot: drawn as the original draws them; unit_variance: and scaled, layer by "
        "layer, until each gives features of variance 1 for excerpts of the data, "
        "which shortens a training. For networks of waveforms.",
        choices=("glorot", "unit_variance"),
    )
    clip_norm: float = setting(
        0.0,
        "Gradients are scaled down to this Euclidean norm over all weights, if theirs "
        "is greater; 0: never.",
        minimum=0,
    )
    average_momentum: float = setting(
        0.0,
        "What is validated and kept as best are moving averages of the weights, of "
        "which a step replaces one minus this share; 0: the weights themselves.",
        minimum=0,
        below=1,
    )
    best_by: str = setting(
        "loss",
        "What makes an epoch the best: the lowest validation loss, or the highest sdr, "
        "the mean over sources of the validation tracks' median SDR.",
        choices=("loss", "sdr"),
    )
    fine_tuning: bool = setting(
        True,
        "Whether a second stage follows, from the best weights, with a batch and a "
        "learning rate of its own.",
    )
    fine_tuning_batch_size: int = setting(
        32, "Excerpts a step of the second stage.", minimum=1
    )
    fine_tuning_learning_rate: float = setting(
        1e-5, "Adam's learning rate in the second stage.", above=0
    )
    min_gain: float = setting(
        0.7,
        "Each stem of an excerpt is multiplied by a random gain between this and 1.",
        minimum=0,
        maximum=1,
    )
    remix_probability: float = setting(
        0.0,
        "Probability of an excerpt whose stems are each from a track of its own.",
        minimum=0,
        maximum=1,
    )
    swap_probability: float = setting(
        0.0, "Probability of a stem whose channels are swapped.", minimum=0, maximum=1
    )
    polarity_probability: float = setting(
        0.0, "Probability of a stem that is multiplied by -1.", minimum=0, maximum=1
    )
    dropout_probability: float = setting(
        0.0, "Probability of a stem that is made silent.", minimum=0, maximum=1
    )
    track_sampling: str = setting(
        "even",
        "How tracks are drawn: even, as in the original, or by their length.",
        choices=("even", "length"),
    )
    loss: str = setting(
        "mse",
        "mse: mean squared error of the waveform; l1: its mean absolute error; sdr: "
        "the error's level below the mixture in dB, excerpt by excerpt; magnitude_l1: "
        "mean absolute error of the magnitudes, for U7 and U7a.",
        choices=("mse", "l1", "sdr", "magnitude_l1"),
    )
    sdr_floor_db: float = setting(
        -30.0,
        "Loss sdr: an excerpt whose error is below this level, in dB of the mixture, "
        "counts less the lower it is; the higher the floor, the less those count in "
        "which a source is silent.",
        below=0,
    )
    seed: int = setting(
        1337,
        "Seed of the first weights and of the excerpts, below 2^32.",
        minimum=0,
        below=2**32,
    )

    def __post_init__(self):
        super().__post_init__()
        if self.learning_rate_schedule == "cosine" and (
            self.max_epochs is None or self.fine_tuning
        ):
            raise InputError(
                "`learning_rate_schedule` cosine needs `max_epochs`, and no "
                f"`fine_tuning`. Received: {self.max_epochs}, {self.fine_tuning}"
            )

    @classmethod
    def from_dict(cls, values: dict[str, Any]):
        """Builds a config from JSON values; those of an earlier version lack fields.

        Raises:
            InputError: a field is unknown or out of its range.
        """
        if isinstance(values, dict):
            values = {**cls().to_dict(), **values}
        return super().from_dict(values)


@dataclasses.dataclass(frozen=True)
class ComputeConfig(Config):
    """On what a training computes, and how; what it learns depends on it by rounding.

    Raises:
        InputError: a field is out of its range.
    """

    strategy: str = setting(
        "none",
        "none: one device; mirrored: all GPUs of this machine; multiworker: all GPUs "
        "(or the CPU) of each of the machines that the variable TF_CONFIG names.",
        choices=("none", "mirrored", "multiworker"),
    )
    device: str = setting(
        "auto",
        "auto: GPUs if there are any; cpu: none; gpu: refuse to go on without one.",
        choices=("auto", "cpu", "gpu"),
    )
    precision: str = setting(
        "float32",
        "Numbers that layers compute with; weights and the output layers stay float32.",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    jit_compile: bool = setting(
        False, "Whether XLA compiles the forward and the backward pass."
    )
    num_threads: int | None = setting(
        None, "Threads of the CPU; by default one a core.", minimum=1
    )
    accumulate_steps: int = setting(
        1,
        "Parts that a device's batch is computed in, one after the other, to take less "
        "memory; their gradients are summed for one step of the optimiser.",
        minimum=1,
    )


_TRAINING = TrainingConfig()
_SMALL_BATCHES = dataclasses.replace(_TRAINING, batch_size=4, fine_tuning_batch_size=8)

VARIANT_TRAINING: dict[str, TrainingConfig] = {
    **dict.fromkeys(VARIANTS, _TRAINING),
    "M7": _SMALL_BATCHES,
    "U7": _SMALL_BATCHES,
    "U7a": dataclasses.replace(_SMALL_BATCHES, loss="magnitude_l1"),
}
"""How the paper trains its models, by name."""
