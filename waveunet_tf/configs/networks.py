"""The frozen configs of networks, and the paper's models by name.

A field's help text is also the help of the flag of the same name.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, ClassVar

from waveunet_tf.configs.fields import Config, setting
from waveunet_tf.errors import InputError

# Far beyond every network that could be trained: a broken file must not make numbers
# and arrays that fill the memory.
_MOST_FILTERS, _MOST_TAPS, _MOST_FRAMES = 2**16, 2**16, 2**28
# Each source has layers and a file of its own, named after it.
_MOST_SOURCES, _LONGEST_NAME = 64, 64
STATE_PREFIX = "state_"
"""How the names of the arrays of a stream's state begin, which stand beside sources."""


class NetworkConfig(Config):
    """Describes a network: what every config has, and what its network can do.

    Attributes:
        architecture: The kind of network, a key of ARCHITECTURES.
        has_spectrogram: Whether the network masks a spectrogram instead of computing
            waveforms. Its windows then have one length only, its loss may compare
            magnitudes, and LiteRT cannot run it for want of an inverse Fourier
            transform.
        num_levels: The levels of decimation.
        context: Whether the input has real audio around the output.
        channels: The audio channels of the mixture and of every source.
        sources: The names of the sources, in the order of the outputs.
        sample_rate_hz: The sample rate of the audio.
        output_frames: The output frames wished for in training.
    """

    architecture: ClassVar[str]
    has_spectrogram: ClassVar[bool]

    num_levels: int
    context: bool
    channels: int
    sources: tuple[str, ...]
    sample_rate_hz: int
    output_frames: int

    def __post_init__(self):
        super().__post_init__()
        if len(self.sources) > _MOST_SOURCES:
            raise InputError(
                f"`sources` must be at most {_MOST_SOURCES} names. "
                f"Received: {len(self.sources)}"
            )
        for name in self.sources:
            if isinstance(name, str) and len(name) > _LONGEST_NAME:
                raise InputError(
                    f"`sources` must be names of at most {_LONGEST_NAME} characters. "
                    f"Received: {name[:_LONGEST_NAME]}…"
                )
            if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise InputError(
                    "`sources` must be names of letters, digits, _ and - (they name "
                    f"files and layers). Received: {name!r}"
                )
            if name.startswith(STATE_PREFIX):
                raise InputError(
                    f"`sources` must not begin with {STATE_PREFIX}, as the arrays of a "
                    f"stream's state do. Received: {name}"
                )
            if name == "mixture":
                raise InputError(
                    "`sources` must not contain the mixture itself. "
                    f"Received: {', '.join(map(str, self.sources))}"
                )
        if len(self.sources) < 2 or len(set(self.sources)) < len(self.sources):
            raise InputError(
                "`sources` must be at least two different names. "
                f"Received: {', '.join(self.sources)}"
            )

    @property
    def can_stream(self) -> bool:
        """Whether the network can run as an exact stream (shapes.stream_plan)."""
        return False

    @property
    def has_difference_output(self) -> bool:
        """Whether the last source is the mixture minus the other sources."""
        return False

    @property
    def least_weights(self) -> int:
        """The weights of the largest layer alone, by which a file may be too small."""
        raise NotImplementedError

    @property
    def estimated_sources(self) -> tuple[str, ...]:
        """The sources that have an output layer; the last of a difference has none."""
        return self.sources[:-1] if self.has_difference_output else self.sources

    @property
    def has_random_phase(self) -> bool:
        """Whether the output depends on random phases, drawn by the batch's shape."""
        return False

    @property
    def fade_frames(self) -> int:
        """The frames over which one window's output fades into the next one's."""
        return 0

    def to_json(self) -> dict[str, Any]:
        """Returns the architecture and the fields, for network_config_from_json."""
        return {"architecture": self.architecture, **self.to_dict()}


def _sources(*names: str):
    return setting(names, "Names of the sources, comma separated.")


def _sample_rate(hz: int):
    return setting(hz, "Sample rate of the audio, in Hz.", minimum=1, maximum=10**6)


def _output_frames(frames: int):
    return setting(
        frames,
        "Output frames of a training excerpt. A network with context rounds them up to "
        "the next number that it can give. U7 takes only fft_frames + hop_frames * "
        "(n * 2^num_levels - 1).",
        minimum=1,
        maximum=_MOST_FRAMES,
    )


@dataclasses.dataclass(frozen=True)
class WaveUNetConfig(NetworkConfig):
    """Describes a Wave-U-Net (paper, section 3; the original's Config.py).

    Raises:
        InputError: A field is out of its range, or two fields contradict each other.
    """

    architecture: ClassVar[str] = "wave_u_net"
    has_spectrogram: ClassVar[bool] = False

    num_levels: int = setting(
        12,
        "Number of levels, each of which halves the frame rate.",
        minimum=1,
        maximum=24,
    )
    base_filters: int = setting(
        24,
        "Number of filters of level 0. Level i has (i + 1) times as many, in U7 2^i "
        "times as many.",
        minimum=1,
        maximum=_MOST_FILTERS,
    )
    down_kernel_size: int = setting(
        15,
        "Kernel size of the convolutions on the way down, in taps.",
        minimum=1,
        maximum=_MOST_TAPS,
    )
    input_kernel_size: int = setting(
        0,
        "Kernel size with which the original computes the input's length (its "
        "input_filter_size), in taps. Where it exceeds down_kernel_size, the input is "
        "longer, and skips are cropped as in the original. 0 means down_kernel_size.",
        minimum=0,
        maximum=2**26,
    )
    up_kernel_size: int = setting(
        5,
        "Kernel size of the convolutions on the way up, in taps.",
        minimum=1,
        maximum=_MOST_TAPS,
    )
    output_kernel_size: int = setting(
        1,
        "Kernel size of the output convolutions, in taps.",
        minimum=1,
        maximum=_MOST_TAPS,
    )
    upsampling: str = setting(
        "linear",
        "How the way up doubles the frame rate: by linear interpolation, by learned "
        "interpolation (one weight for each feature), or by a transposed convolution "
        "of stride 2, which the paper advises against.",
        choices=("linear", "learned", "transposed"),
    )
    output_type: str = setting(
        "difference",
        "direct: every source has an output layer. difference: the last source is the "
        "mixture minus the other sources.",
        choices=("direct", "difference"),
    )
    output_activation: str = setting(
        "tanh",
        "Activation of the output layers. A linear output is clipped to [-1, 1] at "
        "inference.",
        choices=("tanh", "linear"),
    )
    context: bool = setting(
        True,
        "Whether the input has real audio on both sides of the output. If not, every "
        "convolution pads its input with zeros.",
    )
    channels: int = setting(
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
                        f"centre. Received: {getattr(self, name)}"
                    )
        elif self.output_frames % 2**self.num_levels:
            raise InputError(
                "`output_frames` must be a multiple of 2^num_levels = "
                f"{2**self.num_levels} without `context`. "
                f"Received: {self.output_frames}"
            )
        if not self.context or self.input_kernel_size == self.down_kernel_size:
            object.__setattr__(self, "input_kernel_size", 0)  # one value, one meaning
        if self.input_kernel_size:
            self._check_input_kernel_size()

    def _check_input_kernel_size(self) -> None:
        """Checks that the network can use up the input's surplus.

        Raises:
            InputError: The surplus is negative, odd, or left over at the bottleneck; or
                no kernel has neighbours.
        """
        if self.down_kernel_size == self.up_kernel_size == 1:
            raise InputError(
                "`input_kernel_size` must be 0 where down_kernel_size and "
                f"up_kernel_size are 1. Received: {self.input_kernel_size}"
            )
        # Every decimation halves the surplus.
        surplus = self.input_kernel_size - self.down_kernel_size
        if surplus % 2 or not 0 <= surplus < 2**self.num_levels:
            raise InputError(
                "`input_kernel_size` must be 0, or odd and from down_kernel_size = "
                f"{self.down_kernel_size} to down_kernel_size + 2^num_levels - 2 = "
                f"{self.down_kernel_size + 2**self.num_levels - 2}. "
                f"Received: {self.input_kernel_size}"
            )

    @property
    def surplus_frames(self) -> int:
        """The input frames that no convolution needs; an even number."""
        return max(self.input_kernel_size - self.down_kernel_size, 0)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WaveUNetConfig:
        """Builds a config from JSON values.

        Args:
            values: Fields as `to_dict` gave them. An earlier version's lack
                `input_kernel_size`, which is then 0.

        Raises:
            InputError: A field is missing, unknown or out of its range.
        """
        if isinstance(values, dict):
            values = {"input_kernel_size": 0, **values}
        return super().from_dict(values)

    def to_json(self) -> dict[str, Any]:
        """Returns the architecture and the fields, for network_config_from_json.

        An `input_kernel_size` of 0 is left out: earlier versions, which do not know the
        field, can then read the file.
        """
        values = super().to_json()
        if not self.input_kernel_size:
            del values["input_kernel_size"]
        return values

    @property
    def can_stream(self) -> bool:
        """Whether the network has context and upsamples by interpolation."""
        return self.context and self.upsampling != "transposed"

    @property
    def has_difference_output(self) -> bool:
        """Whether the last source is the mixture minus the other sources."""
        return self.output_type == "difference"

    @property
    def least_weights(self) -> int:
        """The weights of the bottleneck's kernel."""
        levels = self.num_levels
        return self.down_kernel_size * self.base_filters**2 * levels * (levels + 1)


@dataclasses.dataclass(frozen=True)
class SpectrogramUNetConfig(NetworkConfig):
    """Describes the U-Net on spectrograms (Jansson et al. 2017; paper, section 5.1).

    Raises:
        InputError: A field is out of its range, or two fields contradict each other.
    """

    architecture: ClassVar[str] = "spectrogram_u_net"
    has_spectrogram: ClassVar[bool] = True
    context: ClassVar[bool] = False

    num_levels: int = setting(
        6, "Number of strided convolutions.", minimum=1, maximum=24
    )
    base_filters: int = setting(
        16,
        "Number of filters of level 0. Level i has 2^i times as many.",
        minimum=1,
        maximum=_MOST_FILTERS,
    )
    fft_frames: int = setting(
        1024,
        "U7: length of the STFT's windows, in audio frames.",
        minimum=2,
        maximum=_MOST_FRAMES,
    )
    hop_frames: int = setting(
        768,
        "U7: distance of the STFT's windows, in audio frames.",
        minimum=1,
        maximum=_MOST_FRAMES,
    )
    phase_iterations: int = setting(
        0,
        "U7: iterations of Griffin and Lim's algorithm at inference, which refine the "
        "phase. 0 keeps the mixture's phase.",
        minimum=0,
        maximum=10**6,
    )
    phase_start: str = setting(
        "mixture",
        "U7: phase at the first iteration of Griffin and Lim's algorithm.",
        choices=("mixture", "random"),
    )
    channels: int = setting(1, "Audio channels: 1 (mono).", choices=(1,))
    sources: tuple[str, ...] = _sources("accompaniment", "vocals")
    sample_rate_hz: int = _sample_rate(8192)
    output_frames: int = _output_frames(98560)

    def __post_init__(self):
        super().__post_init__()
        stride = 2**self.num_levels
        # A Hann window is 0 at its first frame: without overlap that frame is lost.
        if self.hop_frames >= self.fft_frames:
            raise InputError(
                f"`hop_frames` must be less than `fft_frames`, {self.fft_frames}. "
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

    @property
    def least_weights(self) -> int:
        """The weights of the last encoder's 5 × 5 kernel, or of the first one's."""
        if self.num_levels == 1:
            return 25 * self.base_filters
        return 25 * self.base_filters**2 * 2 ** (2 * self.num_levels - 3)

    @property
    def has_random_phase(self) -> bool:
        """Whether Griffin and Lim's iterations start from random phases."""
        return self.phase_start == "random"

    @property
    def fade_frames(self) -> int:
        """A quarter of a window, at whose ends the STFT has no neighbours."""
        return self.output_frames // 4


ARCHITECTURES: dict[str, type[NetworkConfig]] = {
    config.architecture: config for config in (WaveUNetConfig, SpectrogramUNetConfig)
}


def network_config_from_json(values: Any) -> NetworkConfig:
    """Builds a network's config from JSON values.

    Args:
        values: The `architecture` and the fields, as NetworkConfig.to_json gives them.

    Raises:
        InputError: The architecture or a field is unknown, missing or out of its range.
    """
    if not isinstance(values, dict):
        raise InputError(f"A network must be a JSON object. Received: {values!r}")
    fields = dict(values)
    architecture = fields.pop("architecture", None)
    if not isinstance(architecture, str) or architecture not in ARCHITECTURES:
        raise InputError(
            f"`architecture` must be one of {', '.join(ARCHITECTURES)}. "
            f"Received: {architecture!r}"
        )
    return ARCHITECTURES[architecture].from_dict(fields)


_M4 = WaveUNetConfig()
_M3 = dataclasses.replace(_M4, channels=1)
_U7 = SpectrogramUNetConfig()

VARIANTS: dict[str, NetworkConfig] = {
    "M1": dataclasses.replace(_M3, output_type="direct", context=False),
    "M2": dataclasses.replace(_M3, context=False),
    "M3": _M3,
    "M3-SmallFilter": dataclasses.replace(
        _M3,
        num_levels=14,
        down_kernel_size=5,
        up_kernel_size=1,
        input_kernel_size=15,
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
"""The paper's models by name (paper, table 1, and the original's Config.py)."""
