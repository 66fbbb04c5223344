"""How many frames go in and come out: pure integer arithmetic.

With context, convolutions are "valid" (k taps lose k - 1 frames), decimation takes
2n - 1 frames to n, and upsampling takes n frames to 2n - 1.
"""

from __future__ import annotations

from typing import NamedTuple

from waveunet_tf.configs import NetworkConfig, SpectrogramUNetConfig
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
    kernel's frames where they have to be added; equal for its kernel of 1.

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
    return WindowFrames(input_frames, output_frames - output_lost)


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


def song_windows(
    config: NetworkConfig, song_frames: int, max_output_frames: int
) -> SongWindows:
    """The windows with which a song is separated.

    With context, what a network computes depends on where its window starts only modulo
    2^levels, because decimation keeps every second frame. Windows a multiple of
    2^levels apart therefore give, frame for frame, what one window over the whole song
    would give. Without context, windows are those of the training, side by side
    (paper, section 3.2.2). A spectrogram network's fade over a quarter, because its
    STFT has no neighbours at a window's ends.

    Args:
        config: the network.
        song_frames: frames of the song.
        max_output_frames: the longest hop, unless 2^levels is longer.
    """
    if isinstance(config, SpectrogramUNetConfig):
        overlap = config.output_frames // 4
        return SongWindows(
            window_frames(config), config.output_frames - overlap, overlap
        )
    if not config.context:
        return SongWindows(window_frames(config), config.output_frames, 0)
    stride = 2**config.num_levels
    hop = min(-(-song_frames // stride), max(max_output_frames // stride, 1)) * stride
    return SongWindows(window_frames(config, hop), hop, 0)
