"""The frozen configs of training and of its devices, and how the paper trains.

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
    """Describes how a network is trained (paper, section 4.2).

    Raises:
        InputError: A field is out of its range, or two fields contradict each other.
    """

    batch_size: int = setting(16, "Number of excerpts in a step.", minimum=1)
    learning_rate: float = setting(1e-4, "Learning rate of Adam.", above=0)
    steps_per_epoch: int = setting(
        2000, "Number of training steps between two validations.", minimum=1
    )
    max_epochs: int | None = setting(
        None,
        "Largest number of epochs of all stages together. By default only `patience` "
        "ends a stage.",
        minimum=1,
    )
    patience: int = setting(
        20,
        "Number of epochs without a better validation result that end a stage.",
        minimum=1,
    )
    learning_rate_schedule: str = setting(
        "constant",
        "constant: the learning rate stays the same within a stage. cosine: it falls "
        "to 0 at the end of `max_epochs`, which needs --nofine_tuning.",
        choices=("constant", "cosine"),
    )
    warmup_steps: int = setting(
        0,
        "Number of first steps in which the learning rate rises linearly to its value. "
        "0 means that it begins there.",
        minimum=0,
    )
    first_weights: str = setting(
        "glorot",
        "glorot: the first weights are drawn as in the original. unit_variance: they "
        "are then scaled, layer by layer, until every layer's features have variance 1 "
        "on excerpts of the data. This shortens a training; U7 and U7a cannot use it.",
        choices=("glorot", "unit_variance"),
    )
    clip_norm: float = setting(
        0.0,
        "Largest Euclidean norm of the gradient over all weights; a larger gradient is "
        "scaled down to it. 0 means no limit.",
        minimum=0,
    )
    average_momentum: float = setting(
        0.0,
        "Share of a moving average of the weights that a step keeps, such as 0.999. "
        "Validation and the best checkpoint then use the average. 0 means no average.",
        minimum=0,
        below=1,
    )
    best_by: str = setting(
        "loss",
        "What makes an epoch the best. loss: the lowest validation loss. sdr: the "
        "highest SDR (each source's median over the validation tracks, then the mean "
        "over sources).",
        choices=("loss", "sdr"),
    )
    validation_mixture: str = setting(
        "sum",
        "What the network separates in validation. sum: the sum of the true sources. "
        "file: mixture.wav beside them, as in the original. The two differ where the "
        "music was coded lossily.",
        choices=("sum", "file"),
    )
    fine_tuning: bool = setting(
        True,
        "Whether a second stage follows. It starts from the best weights of the first "
        "and has its own batch size and learning rate.",
    )
    fine_tuning_batch_size: int | None = setting(
        None,
        "Number of excerpts in a step of the second stage. By default twice "
        "`batch_size`, as in the original.",
        minimum=1,
    )
    fine_tuning_learning_rate: float = setting(
        1e-5, "Learning rate of Adam in the second stage.", above=0
    )
    min_gain: float = setting(
        0.7,
        "Smallest gain: every stem of an excerpt is multiplied by a random factor "
        "between this and 1.",
        minimum=0,
        maximum=1,
    )
    remix_probability: float = setting(
        0.0,
        "Probability that each stem of an excerpt is from a different track.",
        minimum=0,
        maximum=1,
    )
    swap_probability: float = setting(
        0.0, "Probability that a stem's channels are swapped.", minimum=0, maximum=1
    )
    polarity_probability: float = setting(
        0.0, "Probability that a stem is multiplied by -1.", minimum=0, maximum=1
    )
    dropout_probability: float = setting(
        0.0, "Probability that a stem is made silent.", minimum=0, maximum=1
    )
    max_speed_change: float = setting(
        0.0,
        "Largest change of speed: every excerpt is played at a random speed from "
        "1 / (1 + this) to 1 + this, in steps of 1/256. Its pitch changes as well, as "
        "on a tape. Stems of different tracks have speeds of their own. 0 means no "
        "change.",
        minimum=0,
        maximum=1,
    )
    track_sampling: str = setting(
        "even",
        "How the track of an excerpt is drawn. even: all tracks are equally likely, as "
        "in the original. length: a track's probability is proportional to its length.",
        choices=("even", "length"),
    )
    loss: str = setting(
        "mse",
        "mse: the mean squared error of the waveforms. l1: their mean absolute error. "
        "sdr: the error's level in dB relative to the mixture, as a mean over "
        "excerpts. magnitude_l1: the mean absolute error of the magnitudes (U7, U7a).",
        choices=("mse", "l1", "sdr", "magnitude_l1"),
    )
    sdr_floor_db: float = setting(
        -30.0,
        "Level of the error, in dB relative to the mixture, below which the loss sdr "
        "rewards a smaller error less and less. A higher floor gives less weight to "
        "excerpts in which a source is silent.",
        below=0,
    )
    seed: int = setting(
        1337,
        "Seed of the first weights and of the excerpts, less than 2^32.",
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

    @property
    def second_batch_size(self) -> int:
        """The number of excerpts in a step of the second stage."""
        return self.fine_tuning_batch_size or 2 * self.batch_size

    @classmethod
    def from_dict(cls, values: dict[str, Any]):
        """Builds a config from JSON values, with defaults for fields that they lack.

        Args:
            values: Fields as `to_dict` gave them, perhaps of an earlier version.

        Raises:
            InputError: A field is unknown or out of its range.
        """
        if isinstance(values, dict):
            values = {**cls().to_dict(), **values}
        return super().from_dict(values)


@dataclasses.dataclass(frozen=True)
class ComputeConfig(Config):
    """Describes the devices and the precision that a training computes with.

    The result depends on them by rounding only.

    Raises:
        InputError: A field is out of its range.
    """

    strategy: str = setting(
        "none",
        "none: train on one device. mirrored: on all GPUs of this machine. "
        "multiworker: on all GPUs (or the CPU) of every machine that the environment "
        "variable TF_CONFIG names.",
        choices=("none", "mirrored", "multiworker"),
    )
    device: str = setting(
        "auto",
        "auto: use a GPU if there is one. cpu: use no GPU. gpu: end with an error if "
        "there is no GPU.",
        choices=("auto", "cpu", "gpu"),
    )
    precision: str = setting(
        "auto",
        "Number format that layers compute in. Weights and output layers stay float32. "
        "auto: float32 on a CPU. On a GPU mixed_bfloat16 from compute capability 8.0 "
        "on, mixed_float16 from 7.0 on, else float32. U7 and U7a: float32.",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
    )
    jit_compile: bool | None = setting(
        None,
        "Whether to compile training and validation steps with XLA. By default on a "
        "GPU under `precision` auto, if ptxas is there, but not U7 and U7a.",
        kind=bool,
    )
    num_threads: int | None = setting(
        None, "Number of CPU threads. By default one for each core.", minimum=1
    )
    accumulate_steps: int = setting(
        1,
        "Number of parts in which a device computes its batch, one after the other, to "
        "save memory. Their gradients are summed for one step of Adam.",
        minimum=1,
    )


_TRAINING = TrainingConfig()
_SMALL_BATCHES = dataclasses.replace(_TRAINING, batch_size=4)

VARIANT_TRAINING: dict[str, TrainingConfig] = {
    **dict.fromkeys(VARIANTS, _TRAINING),
    "M7": _SMALL_BATCHES,
    "U7": _SMALL_BATCHES,
    "U7a": dataclasses.replace(_SMALL_BATCHES, loss="magnitude_l1"),
}
"""How the paper trains its models, by their names in VARIANTS."""
