"""The frozen configurations of networks and of training, and the paper's presets.

A field's help text is also the help of the flag of the same name (cli.py).
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, ClassVar, Union

from waveunet_tf.errors import InputError


def _setting(
    default,
    help_text: str,
    *,
    choices=(),
    minimum=None,
    maximum=None,
    above=None,
    below=None,
):
    return dataclasses.field(
        default=default,
        metadata={
            "help": help_text,
            "choices": choices,
            "minimum": minimum,
            "maximum": maximum,
            "above": above,
            "below": below,
        },
    )


class _Config:
    """Checks every field against its declaration; subclasses add what spans fields."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if isinstance(field.default, tuple):
                value = tuple(value) if isinstance(value, (list, tuple)) else value
                object.__setattr__(self, field.name, value)
            self._check(field, value)

    @staticmethod
    def _check(field: dataclasses.Field, value) -> None:
        kind = int if field.default is None else type(field.default)
        if kind is float and type(value) is int:
            value = float(value)
        rule = None
        if type(value) is not kind:
            rule = f"must be of type {kind.__name__}"
        elif field.metadata["choices"] and value not in field.metadata["choices"]:
            rule = f"must be one of {', '.join(map(str, field.metadata['choices']))}"
        elif (low := field.metadata["minimum"]) is not None and not value >= low:
            rule = f"must be at least {low}"
        elif (high := field.metadata["maximum"]) is not None and not value <= high:
            rule = f"must be at most {high}"
        elif (low := field.metadata["above"]) is not None and not value > low:
            rule = f"must be greater than {low}"
        elif (high := field.metadata["below"]) is not None and not value < high:
            rule = f"must be less than {high}"
        if rule:
            raise InputError(f"`{field.name}` {rule}. Received: {value!r}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]):
        """Builds a config from JSON values.

        Raises:
            InputError: a field is missing, unknown or out of its range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or set(values) != known:
            came = sorted(values) if isinstance(values, dict) else values
            raise InputError(
                f"{cls.__name__} has the fields {sorted(known)}. Received: {came}"
            )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }


class _NetworkConfig(_Config):
    """What every network has: sources, channels, a rate, a wish of output frames."""

    def __post_init__(self):
        super().__post_init__()
        for name in self.sources:
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise InputError(
                    "`sources` must be names of letters, digits, _ and - (they name "
                    f"files and layers). Received: {name!r}"
                )
            if name == "mixture":
                raise InputError("`sources` cannot contain the mixture itself")
        if len(self.sources) < 2 or len(set(self.sources)) < len(self.sources):
            raise InputError(
                "`sources` must be at least two different names. "
                f"Received: {', '.join(self.sources)}"
            )


def _sources(*names: str):
    return _setting(names, "Names of the sources, comma separated.")


def _sample_rate(hz: int):
    return _setting(hz, "Sample rate of the audio, in Hz.", minimum=1)


def _output_frames(frames: int):
    return _setting(
        frames,
        "Output frames wished for in training. With context the network gives the "
        "nearest possible number that is not smaller. U7 takes only fft_frames + "
        "hop_frames * (n * 2^num_levels - 1).",
        minimum=1,
    )


@dataclasses.dataclass(frozen=True)
class WaveUNetConfig(_NetworkConfig):
    """A Wave-U-Net (paper, section 3; the original's Config.py).

    Raises:
        InputError: a field is out of its range, or fields contradict each other.
    """

    architecture: ClassVar[str] = "wave_u_net"

    num_levels: int = _setting(
        12, "Levels of decimation, and of upsampling.", minimum=1
    )
    base_filters: int = _setting(
        24,
        "Filters of the first level; level i has (i + 1) times as many (U7: 2^i "
        "times).",
        minimum=1,
    )
    down_kernel_size: int = _setting(
        15, "Width of the convolutions of the downward path, in taps.", minimum=1
    )
    up_kernel_size: int = _setting(
        5, "Width of the convolutions of the upward path, in taps.", minimum=1
    )
    output_kernel_size: int = _setting(
        1, "Width of the output convolutions, in taps.", minimum=1
    )
    upsampling: str = _setting(
        "linear",
        "How the upward path doubles its rate: linear interpolation; one learned "
        "weight a feature; or a strided transposed convolution, which the paper "
        "rejects.",
        choices=("linear", "learned", "transposed"),
    )
    output_type: str = _setting(
        "difference",
        "direct: every source has an output layer; difference: the last source is the "
        "mixture less the others.",
        choices=("direct", "difference"),
    )
    output_activation: str = _setting(
        "tanh",
        "Activation of the output layers; linear is clipped to [-1, 1] at inference.",
        choices=("tanh", "linear"),
    )
    context: bool = _setting(
        True,
        "Whether the input has real audio around the output (convolutions without "
        "padding), instead of zero padding.",
    )
    channels: int = _setting(
        2, "Audio channels: 1 (mono) or 2 (stereo).", choices=(1, 2)
    )
    sources: tuple[str, ...] = _sources("accompaniment", "vocals")
    sample_rate_hz: int = _sample_rate(22050)
    output_frames: int = _output_frames(16384)

    def __post_init__(self):
        super().__post_init__()
        if self.context:
            for name in ("down_kernel_size", "up_kernel_size", "output_kernel_size"):
                if getattr(self, name) % 2 == 0:
                    raise InputError(
                        f"`{name}` must be odd with `context`, so that skips have a "
                        f"centre to crop. Received: {getattr(self, name)}"
                    )
        elif self.output_frames % 2**self.num_levels:
            raise InputError(
                "`output_frames` must be a multiple of 2^num_levels = "
                f"{2**self.num_levels} without `context`. "
                f"Received: {self.output_frames}"
            )


@dataclasses.dataclass(frozen=True)
class SpectrogramUNetConfig(_NetworkConfig):
    """The U-Net on magnitude spectrograms (Jansson et al. 2017; paper, section 5.1).

    Raises:
        InputError: a field is out of its range, or fields contradict each other.
    """

    architecture: ClassVar[str] = "spectrogram_u_net"
    context: ClassVar[bool] = False

    num_levels: int = _setting(6, "Levels of strided convolutions.", minimum=1)
    base_filters: int = _setting(
        16, "Filters of the first level; level i has 2^i times as many.", minimum=1
    )
    fft_frames: int = _setting(
        1024, "U7: audio frames of a window of the STFT.", minimum=2
    )
    hop_frames: int = _setting(
        768, "U7: audio frames from one window of the STFT to the next.", minimum=1
    )
    phase_iterations: int = _setting(
        0,
        "U7: iterations of Griffin and Lim's phase refinement at inference; 0: the "
        "mixture's phase.",
        minimum=0,
    )
    phase_start: str = _setting(
        "mixture",
        "U7: the phase from which the refinement starts.",
        choices=("mixture", "random"),
    )
    channels: int = _setting(1, "Audio channels: mono.", choices=(1,))
    sources: tuple[str, ...] = _sources("accompaniment", "vocals")
    sample_rate_hz: int = _sample_rate(8192)
    output_frames: int = _output_frames(98560)

    def __post_init__(self):
        super().__post_init__()
        stride = 2**self.num_levels
        if self.hop_frames > self.fft_frames:
            raise InputError(
                f"`hop_frames` must be at most `fft_frames`, {self.fft_frames}. "
                f"Received: {self.hop_frames}"
            )
        if self.fft_frames % (2 * stride):
            raise InputError(
                "`fft_frames` must be a multiple of 2^(num_levels + 1) = "
                f"{2 * stride}. Received: {self.fft_frames}"
            )
        hops, rest = divmod(self.output_frames - self.fft_frames, self.hop_frames)
        if rest or hops < 0 or (hops + 1) % stride:
            raise InputError(
                "`output_frames` must be fft_frames + hop_frames * (n * 2^num_levels - "
                f"1), such as {self.fft_frames + self.hop_frames * (stride - 1)}. "
                f"Received: {self.output_frames}"
            )


NetworkConfig = Union[WaveUNetConfig, SpectrogramUNetConfig]

ARCHITECTURES: dict[str, type] = {
    config.architecture: config for config in (WaveUNetConfig, SpectrogramUNetConfig)
}


@dataclasses.dataclass(frozen=True)
class TrainingConfig(_Config):
    """How a network is trained (paper, section 4.2)."""

    batch_size: int = _setting(16, "Excerpts a step.", minimum=1)
    learning_rate: float = _setting(1e-4, "Adam's learning rate.", above=0)
    steps_per_epoch: int = _setting(
        2000, "Optimiser steps between two validations.", minimum=1
    )
    max_epochs: int | None = _setting(
        None, "Epochs at most; by default only `patience` ends the stages.", minimum=1
    )
    patience: int = _setting(
        20, "Epochs without a better validation loss that end a stage.", minimum=1
    )
    learning_rate_schedule: str = _setting(
        "constant",
        "constant: within a stage; cosine: down to nothing at the end of `max_epochs`, "
        "in one stage.",
        choices=("constant", "cosine"),
    )
    first_weights: str = _setting(
        "glorot",
        "glorot: drawn as the original draws them; unit_variance: and scaled, layer by "
        "layer, until each gives features of variance 1 for excerpts of the data, "
        "which shortens a training. For networks of waveforms.",
        choices=("glorot", "unit_variance"),
    )
    clip_norm: float = _setting(
        0.0,
        "Gradients are scaled down to this Euclidean norm over all weights, if theirs "
        "is greater; 0: never.",
        minimum=0,
    )
    average_momentum: float = _setting(
        0.0,
        "What is validated and kept as best are moving averages of the weights, of "
        "which a step replaces one minus this share; 0: the weights themselves.",
        minimum=0,
        below=1,
    )
    best_by: str = _setting(
        "loss",
        "What makes an epoch the best: the lowest validation loss, or the highest sdr, "
        "the mean over sources of the validation tracks' median SDR.",
        choices=("loss", "sdr"),
    )
    fine_tuning: bool = _setting(
        True,
        "Whether a second stage follows, from the best weights, with a batch and a "
        "learning rate of its own.",
    )
    fine_tuning_batch_size: int = _setting(
        32, "Excerpts a step of the second stage.", minimum=1
    )
    fine_tuning_learning_rate: float = _setting(
        1e-5, "Adam's learning rate in the second stage.", above=0
    )
    min_gain: float = _setting(
        0.7,
        "Each stem of an excerpt is multiplied by a random gain between this and 1.",
        minimum=0,
        maximum=1,
    )
    remix_probability: float = _setting(
        0.0,
        "Probability of an excerpt whose stems are each from a track of its own.",
        minimum=0,
        maximum=1,
    )
    swap_probability: float = _setting(
        0.0, "Probability of a stem whose channels are swapped.", minimum=0, maximum=1
    )
    polarity_probability: float = _setting(
        0.0, "Probability of a stem that is multiplied by -1.", minimum=0, maximum=1
    )
    dropout_probability: float = _setting(
        0.0, "Probability of a stem that is made silent.", minimum=0, maximum=1
    )
    track_sampling: str = _setting(
        "even",
        "How tracks are drawn: even, as in the original, or by their length.",
        choices=("even", "length"),
    )
    loss: str = _setting(
        "mse",
        "mse: mean squared error of the waveform; l1: its mean absolute error; sdr: "
        "the error's level below the mixture in dB, excerpt by excerpt; magnitude_l1: "
        "mean absolute error of the magnitudes, for U7 and U7a.",
        choices=("mse", "l1", "sdr", "magnitude_l1"),
    )
    sdr_floor_db: float = _setting(
        -30.0,
        "Loss sdr: an excerpt whose error is below this level, in dB of the mixture, "
        "counts less the lower it is; the higher the floor, the less those count in "
        "which a source is silent.",
        below=0,
    )
    seed: int = _setting(
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
class ComputeConfig(_Config):
    """On what a training computes, and how; what it learns depends on it by rounding.

    Raises:
        InputError: a field is out of its range.
    """

    strategy: str = _setting(
        "none",
        "none: one device; mirrored: all GPUs of this machine; multiworker: all GPUs "
        "(or the CPU) of each of the machines that the variable TF_CONFIG names.",
        choices=("none", "mirrored", "multiworker"),
    )
    device: str = _setting(
        "auto",
        "auto: GPUs if there are any; cpu: none; gpu: refuse to go on without one.",
        choices=("auto", "cpu", "gpu"),
    )
    precision: str = _setting(
        "float32",
        "Numbers that layers compute with; weights and the output layers stay float32.",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    jit_compile: bool = _setting(
        False, "Whether XLA compiles the forward and the backward pass."
    )
    num_threads: int | None = _setting(
        None, "Threads of the CPU; by default one a core.", minimum=1
    )
    accumulate_steps: int = _setting(
        1,
        "Parts that a device's batch is computed in, one after the other, to take less "
        "memory; their gradients are summed for one step of the optimiser.",
        minimum=1,
    )


_M4 = WaveUNetConfig()
_M3 = dataclasses.replace(_M4, channels=1)
_U7 = SpectrogramUNetConfig()

VARIANTS: dict[str, NetworkConfig] = {
    "M1": dataclasses.replace(_M3, output_type="direct", context=False),
    "M2": dataclasses.replace(_M3, context=False),
    "M3": _M3,
    "M3-SmallFilter": dataclasses.replace(
        _M3, num_levels=14, down_kernel_size=5, up_kernel_size=1
    ),
    "M4": _M4,
    "M5": dataclasses.replace(_M4, upsampling="learned"),
    "M5-HighSR": dataclasses.replace(_M4, upsampling="learned", sample_rate_hz=44100),
    "M6": dataclasses.replace(_M4, sources=("bass", "drums", "other", "vocals")),
    "M7": dataclasses.replace(
        _M3, base_filters=34, sample_rate_hz=8192, output_frames=98560
    ),
    "U7": _U7,
    "U7a": _U7,
}
"""The paper's models (paper, table 1, and the original's Config.py), by name."""

_TRAINING = TrainingConfig()
_SMALL_BATCHES = dataclasses.replace(_TRAINING, batch_size=4, fine_tuning_batch_size=8)

VARIANT_TRAINING: dict[str, TrainingConfig] = {
    **dict.fromkeys(VARIANTS, _TRAINING),
    "M7": _SMALL_BATCHES,
    "U7": _SMALL_BATCHES,
    "U7a": dataclasses.replace(_SMALL_BATCHES, loss="magnitude_l1"),
}
"""How the paper trains its models, by name."""
