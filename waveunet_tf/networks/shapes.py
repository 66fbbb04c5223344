"""How many frames go in and come out: pure integer arithmetic.

With context, convolutions are "valid" (k taps lose k - 1 frames), decimation takes
2n - 1 frames to n, and upsampling takes n frames to 2n - 1.
"""

from __future__ import annotations

from typing import NamedTuple

from waveunet_tf.configs.networks import (
    NetworkConfig,
    SpectrogramUNetConfig,
    WaveUNetConfig,
)
from waveunet_tf.errors import InputError


class WindowFrames(NamedTuple):
    """Frames of one window of a network.

    Attributes:
        input_frames: frames of mixture that go in.
        output_frames: frames of every source that come out, from the centre.
    """

    input_frames: int
    output_frames: int

    @property
    def context_frames(self) -> int:
        """Input frames on each side of the output."""
        return (self.input_frames - self.output_frames) // 2


def window_frames(
    config: NetworkConfig, wished_frames: int | None = None
) -> WindowFrames:
    """The smallest window with at least the wished output.

    Source: the original's `UnetAudioSeparator.get_padding`, which subtracts the output
    kernel's frames where they have to be added; equal for its kernel of 1. It counts
    the first convolution with a number of taps of its own, `input_kernel_size`.

    Args:
        config: the network.
        wished_frames: output frames wished for; by default `config.output_frames`.

    Raises:
        InputError: the wish is below 1 or, without context, no multiple of 2^levels.
    """
    wish = config.output_frames if wished_frames is None else wished_frames
    if isinstance(config, SpectrogramUNetConfig):
        if wish != config.output_frames:
            raise InputError(
                "`wished_frames` of a spectrogram network must be its output_frames, "
                f"{config.output_frames}. Received: {wish}"
            )
        return WindowFrames(wish, wish)
    if wish < 1:
        raise InputError(f"`wished_frames` must be at least 1. Received: {wish}")
    if not config.context:
        if wish % 2**config.num_levels:
            raise InputError(
                f"`wished_frames` must be a multiple of {2**config.num_levels} for a "
                f"network without context. Received: {wish}"
            )
        return WindowFrames(wish, wish)
    down_lost = config.down_kernel_size - 1
    up_lost = config.up_kernel_size - 1
    output_lost = config.output_kernel_size - 1

    bottleneck = wish + output_lost
    for _ in range(config.num_levels):
        bottleneck = -(-(bottleneck + up_lost + 1) // 2)
    bottleneck = max(bottleneck, 2)  # something to interpolate between

    input_frames = bottleneck + down_lost
    output_frames = bottleneck
    for _ in range(config.num_levels):
        input_frames = 2 * input_frames - 1 + down_lost
        output_frames = 2 * output_frames - 1 - up_lost
    input_frames += skip_surplus_frames(config)
    return WindowFrames(input_frames, output_frames - output_lost)


def skip_surplus_frames(config: WaveUNetConfig, level: int = 0) -> int:
    """Returns the frames that a skip has beyond those that the network needs.

    The original's input may be longer than the network needs. The surplus lies at the
    end of what each convolution gives, and each decimation halves it. Skips are cropped
    around their centre, and so begin half their surplus later than without it.

    Args:
        config: The network.
        level: The skip's level; at level 0 it is also the surplus of the mixture.
    """
    return config.surplus_frames >> level


class SongWindows(NamedTuple):
    """How windows cover a song.

    Attributes:
        window: the window's frames.
        hop_frames: from one window's start to the next.
        overlap_frames: how long one window's output fades into the next one's.
    """

    window: WindowFrames
    hop_frames: int
    overlap_frames: int


def song_windows(config: NetworkConfig, max_hop_frames: int) -> SongWindows:
    """The windows with which a song is separated by a network that cannot stream.

    With context, what a network computes depends on where its window starts only modulo
    2^levels, because decimation keeps every second frame. Windows a multiple of
    2^levels apart therefore give, frame for frame, what one window over the whole song
    would give. Without context, windows are those of the training, side by side
    (paper, section 3.2.2). A spectrogram network's fade over a quarter, because its
    STFT has no neighbours at a window's ends.

    Args:
        config: the network.
        max_hop_frames: the longest hop with context, unless 2^levels is longer.
    """
    if isinstance(config, SpectrogramUNetConfig):
        overlap = config.output_frames // 4
        return SongWindows(
            window_frames(config), config.output_frames - overlap, overlap
        )
    if not config.context:
        return SongWindows(window_frames(config), config.output_frames, 0)
    hop = chunk_frames(config, max_hop_frames)
    return SongWindows(window_frames(config, hop), hop, 0)


def seam_frames(config: NetworkConfig, song_frames: int) -> range:
    """The song's frames at which the output of one window gives way to the next one's.

    With context there are none: windows, if there are any, give what one pass gives.
    Where windows fade into each other, the frame is in the middle of the fade.

    Args:
        config: the network.
        song_frames: the song's frames, at the network's rate.
    """
    if isinstance(config, WaveUNetConfig) and config.context:
        return range(0)
    _, hop, overlap = song_windows(config, config.output_frames)
    return range(hop - overlap // 2, song_frames, hop)


def windows_of(config: WaveUNetConfig, window: WindowFrames) -> SongWindows:
    """How windows of a given length cover a song, as those of an exported file do.

    They lie a multiple of 2^levels frames apart, which makes them exact (see
    `song_windows`), unless they are too short for that or have no context.

    Args:
        config: the network.
        window: its frames.
    """
    hop = window.output_frames
    if config.context:
        hop = min(chunk_frames(config, hop), hop)
    return SongWindows(window, hop, 0)


def can_stream(config: NetworkConfig) -> bool:
    """Whether there is a `stream_plan` for the network."""
    return config.context and config.upsampling != "transposed"


class StreamPlan(NamedTuple):
    """How a network with context runs as a stream, each frame computed once.

    A stream's frame n of the mixture is at time n. All convolutions end at the newest
    frame that they have seen, so features lag behind the mixture.

    Attributes:
        phases: for each level, whether decimation keeps the even (0) or the odd (1)
            frames of a chunk.
        skip_delays: for each level, frames by which the skip waits for the features
            from below, at the level's own rate.
        mixture_delay: frames by which the mixture waits to be concatenated.
        latency_frames: an output frame of the network is that of the mixture so many
            frames before.
        context_frames: frames, a multiple of 2^levels, on each side of a part of a song
            on which its sources depend, if the part begins and ends at multiples of
            2^levels.
    """

    phases: tuple[int, ...]
    skip_delays: tuple[int, ...]
    mixture_delay: int
    latency_frames: int
    context_frames: int


def stream_plan(config: WaveUNetConfig) -> StreamPlan:
    """Phases and delays with which a stream equals one pass over the padded song.

    The times below are of a level's first frame in the stream, in frames of the
    mixture: a_i on the way down, b_i on the way up. In one pass they are A_i, where
    A_0 = -context; the phases put a_i on the same grid of 2^i frames. Where skips have
    a surplus, they begin half of it after the features from below, and wait less.

    Raises:
        InputError: the network has no context, whose windows stand alone, or upsamples
            by transposed convolution.
    """
    if not can_stream(config):
        raise InputError(
            "A stream needs a network with `context` and interpolation. Received: "
            f"context={config.context}, upsampling={config.upsampling}"
        )
    down_lag = (config.down_kernel_size - 1) // 2
    up_lag = (config.up_kernel_size - 1) // 2
    output_lag = (config.output_kernel_size - 1) // 2

    context = window_frames(config).context_frames
    one_pass = -context  # A_i
    first = [0]  # a_i
    phases = []
    for level in range(config.num_levels):
        step = 2**level
        one_pass += down_lag * step
        conv_time = first[level] - down_lag * step
        phases.append((one_pass - conv_time) // step % 2)
        first.append(conv_time + phases[level] * step)

    rising = first[-1] - down_lag * 2**config.num_levels  # b_L
    skip_delays = [0] * config.num_levels
    for level in reversed(range(config.num_levels)):
        step = 2**level
        skip_delays[level] = (first[level] - rising) // step + 1 - down_lag
        skip_delays[level] -= skip_surplus_frames(config, level) // 2
        rising -= (1 + up_lag) * step  # b_i
    mixture_delay = -rising - skip_surplus_frames(config) // 2
    latency = mixture_delay + output_lag
    stride = 2**config.num_levels
    return StreamPlan(
        phases=tuple(phases),
        skip_delays=tuple(skip_delays),
        mixture_delay=mixture_delay,
        latency_frames=latency,
        context_frames=-(-max(context, latency) // stride) * stride,
    )


def chunk_frames(config: WaveUNetConfig, wished_frames: int) -> int:
    """The most frames that a stream takes at once: a multiple of 2^levels.

    Args:
        config: the network.
        wished_frames: not to be exceeded, unless 2^levels does.
    """
    stride = 2**config.num_levels
    return max(wished_frames // stride, 1) * stride


def step_frames(config: NetworkConfig, wished_frames: int) -> int:
    """Frames that a step of separation gives: a chunk's, or a window's hop.

    Args:
        config: the network.
        wished_frames: see chunk_frames.
    """
    if can_stream(config):
        return chunk_frames(config, wished_frames)
    return song_windows(config, wished_frames).hop_frames


def stream_state_frames(
    config: WaveUNetConfig, wished_chunk_frames: int | None = None
) -> dict[str, int]:
    """Frames of each array of a stream's state; see streaming.StreamingNetwork.

    What a kernel of one tap would remember, and a delay of no frames, are left out.

    Args:
        config: the network.
        wished_chunk_frames: if given, a delay of more frames than such a chunk has (see
            `chunk_frames`) has only the chunk's: those that are due.

    Raises:
        InputError: see stream_plan.
    """
    plan = stream_plan(config)
    frames = {"bottleneck": config.down_kernel_size - 1}
    for level in range(config.num_levels):
        frames[f"down_{level}"] = config.down_kernel_size - 1
        frames[f"delay_{level}"] = plan.skip_delays[level]
        # The merge convolution's inputs: skips, and features before upsampling.
        frames[f"up_{level}"] = config.up_kernel_size - 1
        frames[f"upsample_{level}"] = (config.up_kernel_size + 1) // 2
    frames["delay_mixture"] = plan.mixture_delay
    frames["delay_difference"] = plan.latency_frames - plan.mixture_delay
    frames["output"] = config.output_kernel_size - 1
    if wished_chunk_frames:
        chunk = chunk_frames(config, wished_chunk_frames)
        for name in frames:
            kind, _, level = name.partition("_")
            if kind == "delay":
                at_level = chunk >> int(level) if level.isdigit() else chunk
                frames[name] = min(frames[name], at_level)
    return {name: count for name, count in frames.items() if count}
