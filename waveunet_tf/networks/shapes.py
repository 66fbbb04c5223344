"""Computes how many frames go in and come out: pure integer arithmetic.

With context, convolutions are "valid" (k taps lose k - 1 frames), decimation takes
2n - 1 frames to n, and upsampling takes n frames to 2n - 1.
"""

from __future__ import annotations

from typing import NamedTuple

from waveunet_tf.configs.networks import NetworkConfig, WaveUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import layer_names


class WindowFrames(NamedTuple):
    """Frames of one window of a network.

    Attributes:
        input_frames: Frames of the mixture that go in.
        output_frames: Frames of every source that come out, at the input's centre.
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
    """Computes the smallest window with at least the wished output.

    Source: the original's `UnetAudioSeparator.get_padding`. It subtracts the output
    kernel's frames where they have to be added, which is equal for its kernel of 1. It
    counts the first convolution with its own number of taps, `input_kernel_size`.

    Args:
        config: The network.
        wished_frames: The wished output frames; by default `config.output_frames`.

    Raises:
        InputError: The wish is below 1; or it is no multiple of 2^levels, without
            context; or it differs from `config.output_frames`, with a spectrogram.
    """
    wish = config.output_frames if wished_frames is None else wished_frames
    if config.has_spectrogram and wish != config.output_frames:
        raise InputError(
            "`wished_frames` of a spectrogram network must be its output_frames, "
            f"{config.output_frames}. Received: {wish}"
        )
    if wish < 1:
        raise InputError(f"`wished_frames` must be at least 1. Received: {wish}")
    if config.context:
        return _window_with_context(config, wish)
    if not config.has_spectrogram and wish % 2**config.num_levels:
        raise InputError(
            f"`wished_frames` must be a multiple of {2**config.num_levels} for a "
            f"network without context. Received: {wish}"
        )
    return WindowFrames(wish, wish)


def _window_with_context(config: WaveUNetConfig, wish: int) -> WindowFrames:
    """Walks from the wished output to the bottleneck, and back to both ends."""
    down_lost = config.down_kernel_size - 1
    up_lost = config.up_kernel_size - 1
    output_lost = config.output_kernel_size - 1

    bottleneck = wish + output_lost
    for _ in range(config.num_levels):
        bottleneck = -(-(bottleneck + up_lost + 1) // 2)
    bottleneck = max(bottleneck, 2)  # interpolation needs two frames

    input_frames = bottleneck + down_lost
    output_frames = bottleneck
    for _ in range(config.num_levels):
        input_frames = 2 * input_frames - 1 + down_lost
        output_frames = 2 * output_frames - 1 - up_lost
    return WindowFrames(
        input_frames + skip_surplus_frames(config), output_frames - output_lost
    )


def skip_surplus_frames(config: WaveUNetConfig, level: int = 0) -> int:
    """Returns the frames that a skip has beyond those that the network needs.

    The original's input may be longer than the network needs (`input_kernel_size`). The
    surplus lies at the end, and every decimation halves it. A skip is cropped around
    its centre, and so begins half of its surplus later than it would without it.

    Args:
        config: The network.
        level: The skip's level. The mixture has the surplus of level 0.
    """
    return config.surplus_frames >> level


class SongWindows(NamedTuple):
    """How windows cover a song.

    Attributes:
        window: The window's frames.
        hop_frames: Frames from one window's start to the next.
        overlap_frames: Frames over which one window's output fades into the next one's.
    """

    window: WindowFrames
    hop_frames: int
    overlap_frames: int


def song_windows(config: NetworkConfig, max_hop_frames: int) -> SongWindows:
    """Chooses the windows with which a network that cannot stream separates a song.

    With context, a window's start matters only modulo 2^levels, because decimation
    keeps every second frame. Windows a multiple of 2^levels apart therefore give, frame
    for frame, the output of one window over the whole song. Without context, the
    windows are those of the training, side by side (paper, section 3.2.2), or fading
    into each other.

    Args:
        config: The network.
        max_hop_frames: The longest hop with context; 2^levels frames are used at least.
    """
    if config.context:
        hop = chunk_frames(config, max_hop_frames)
        return SongWindows(window_frames(config, hop), hop, 0)
    fade = config.fade_frames
    return SongWindows(window_frames(config), config.output_frames - fade, fade)


def windows_of(config: WaveUNetConfig, window: WindowFrames) -> SongWindows:
    """Chooses how windows of a given length cover a song, as an exported file's do.

    With context they lie a multiple of 2^levels frames apart, which makes them exact
    (song_windows), unless their output is shorter than 2^levels.

    Args:
        config: The network.
        window: The window's frames.
    """
    hop = window.output_frames
    if config.context:
        hop = min(chunk_frames(config, hop), hop)
    return SongWindows(window, hop, 0)


def seam_frames(config: NetworkConfig, song_frames: int) -> range:
    """Returns the song's frames at which one window's output gives way to the next's.

    With context there are none: chunks or windows give what one pass gives. Where
    windows fade into each other, the frame is in the middle of the fade.

    Args:
        config: The network.
        song_frames: The song's length, at the network's rate.
    """
    if config.context:
        return range(0)
    _, hop, overlap = song_windows(config, config.output_frames)
    return range(hop - overlap // 2, song_frames, hop)


class StreamPlan(NamedTuple):
    """How a network with context runs as a stream, each frame computed once.

    Frame n of the stream's mixture is at time n. All convolutions end at the newest
    frame that they have seen, so features lag behind the mixture.

    Attributes:
        phases: For each level, whether decimation keeps the even (0) or the odd (1)
            frames of a chunk.
        skip_delays: For each level, the frames by which the skip waits for the features
            from below, at the level's own rate.
        mixture_delay: The frames by which the mixture waits for the last features.
        latency_frames: The frames by which the sources lag behind the mixture.
        context_frames: The frames on each side of a part of a song on which its sources
            depend, where the part begins and ends at multiples of 2^levels. They are a
            multiple of 2^levels, too.
    """

    phases: tuple[int, ...]
    skip_delays: tuple[int, ...]
    mixture_delay: int
    latency_frames: int
    context_frames: int


def stream_plan(config: WaveUNetConfig) -> StreamPlan:
    """Plans the stream that equals one pass over the song with silence around it.

    The times below are those of a level's first frame in the stream, in frames of the
    mixture: a_i on the way down, b_i on the way up. In one pass they are A_i, where
    A_0 = -context. The phases put a_i on the same grid of 2^i frames. A skip with a
    surplus begins half of it after the features from below, and so waits less.

    Raises:
        InputError: The network has no context, so that its windows stand alone, or it
            upsamples by transposed convolution.
    """
    if not config.can_stream:
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

    stride = 2**config.num_levels
    rising = first[-1] - down_lag * stride  # b_L
    skip_delays = [0] * config.num_levels
    for level in reversed(range(config.num_levels)):
        step = 2**level
        earlier = skip_surplus_frames(config, level) // 2
        skip_delays[level] = (first[level] - rising) // step + 1 - down_lag - earlier
        rising -= (1 + up_lag) * step  # b_i
    mixture_delay = -rising - skip_surplus_frames(config) // 2
    latency = mixture_delay + output_lag
    return StreamPlan(
        phases=tuple(phases),
        skip_delays=tuple(skip_delays),
        mixture_delay=mixture_delay,
        latency_frames=latency,
        context_frames=-(-max(context, latency) // stride) * stride,
    )


def chunk_frames(config: WaveUNetConfig, wished_frames: int) -> int:
    """Returns the frames of a stream's chunk: a multiple of 2^levels.

    Args:
        config: The network.
        wished_frames: The most frames; 2^levels are taken at least.
    """
    stride = 2**config.num_levels
    return max(wished_frames // stride, 1) * stride


def step_frames(config: NetworkConfig, wished_frames: int) -> int:
    """Returns the frames that a step of separation gives: a chunk, or a window's hop.

    Args:
        config: The network.
        wished_frames: The most frames, as for `chunk_frames` and `song_windows`.
    """
    if config.can_stream:
        return chunk_frames(config, wished_frames)
    return song_windows(config, wished_frames).hop_frames


def stream_state_frames(
    config: WaveUNetConfig, wished_chunk_frames: int | None = None
) -> dict[str, int]:
    """Returns the frames of each array of a stream's state, by its name.

    An array without frames is left out: a kernel of one tap remembers nothing, and some
    delays are none.

    Args:
        config: The network.
        wished_chunk_frames: The wished frames of a chunk (chunk_frames). A delay with
            more frames than the chunk has at its level is cut to those of the chunk,
            which are the ones that a step uses. By default all frames are counted.

    Raises:
        InputError: The network cannot stream.
    """
    plan = stream_plan(config)
    remembered = {
        layer_names.BOTTLENECK: config.down_kernel_size - 1,
        layer_names.OUTPUT_STATE: config.output_kernel_size - 1,
    }
    delays = {
        layer_names.DELAY_MIXTURE: (plan.mixture_delay, 0),
        layer_names.DELAY_DIFFERENCE: (plan.latency_frames - plan.mixture_delay, 0),
    }
    for level, delay in enumerate(plan.skip_delays):
        remembered[layer_names.down(level)] = config.down_kernel_size - 1
        # The merge convolution's inputs: skips, and features before upsampling.
        remembered[layer_names.up(level)] = config.up_kernel_size - 1
        remembered[layer_names.upsample(level)] = (config.up_kernel_size + 1) // 2
        delays[layer_names.delay(level)] = delay, level
    for name, (delay, level) in delays.items():
        remembered[name] = delay
        if wished_chunk_frames:
            due = chunk_frames(config, wished_chunk_frames) >> level
            remembered[name] = min(delay, due)
    return {name: frames for name, frames in remembered.items() if frames}
