import dataclasses

import pytest

from waveunet_tf.configs.networks import VARIANTS, WaveUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes


@pytest.mark.parametrize(
    ("name", "frames"),
    [
        ("M1", (16384, 16384)),
        ("M2", (16384, 16384)),
        ("M3", (147443, 16389)),
        ("M4", (147443, 16389)),
        ("M5", (147443, 16389)),
        ("M6", (147443, 16389)),
    ],
)
def test_variants_have_the_originals_frames(name, frames):
    assert shapes.window_frames(VARIANTS[name]) == frames


def test_m7s_wish_gives_the_originals_frames():
    config = dataclasses.replace(VARIANTS["M3"], output_frames=98560)
    assert shapes.window_frames(config) == (233459, 102405)


@pytest.mark.parametrize("wish", [1, 2, 100, 513, 5000])
@pytest.mark.parametrize(
    "kernels", [(15, 5, 1), (5, 1, 1), (3, 3, 3), (1, 1, 1), (7, 9, 5)]
)
@pytest.mark.parametrize("num_levels", [1, 4, 6])
def test_the_window_is_the_smallest_that_gives_the_wish(num_levels, kernels, wish):
    config = WaveUNetConfig(
        num_levels=num_levels,
        down_kernel_size=kernels[0],
        up_kernel_size=kernels[1],
        output_kernel_size=kernels[2],
        output_frames=wish,
    )

    def walk(bottleneck):
        """Frames in and out around a bottleneck's output, layer by layer."""
        down, up, output = (size - 1 for size in kernels)
        frames_in, frames_out = bottleneck + down, bottleneck
        for _ in range(num_levels):
            frames_in = 2 * frames_in - 1 + down
            frames_out = 2 * frames_out - 1 - up
        return frames_in, frames_out - output

    bottleneck = 2
    while walk(bottleneck)[1] < wish:
        bottleneck += 1
    window = shapes.window_frames(config)
    assert window == walk(bottleneck)
    assert (window.input_frames - window.output_frames) % 2 == 0


def test_a_wish_below_one_is_refused():
    with pytest.raises(InputError, match="at least 1. Received: 0"):
        shapes.window_frames(WaveUNetConfig(), 0)


@pytest.mark.parametrize("max_hop_frames", [1, 4096, 100_000, 131_072])
@pytest.mark.parametrize("name", ["M1", "M4"])
def test_song_windows_cover_their_hop_and_keep_decimations_phase(name, max_hop_frames):
    window, hop, overlap = shapes.song_windows(VARIANTS[name], max_hop_frames)
    assert 0 < hop <= window.output_frames
    assert hop % 4096 == 0
    assert overlap == 0
    if name == "M4":
        assert hop <= max(max_hop_frames, 4096)
        assert window.output_frames < hop + 4096
