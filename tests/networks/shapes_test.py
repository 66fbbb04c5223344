import dataclasses
import itertools

import pytest

from tests.original import Original
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


@pytest.mark.parametrize("wish", [130, 700, 3072, 3073, 3074])
@pytest.mark.parametrize("kernels", [(5, 1, 15), (3, 5, 15), (7, 3, 7), (3, 1, 129)])
def test_a_counted_input_kernel_gives_the_originals_frames(kernels, wish):
    config = WaveUNetConfig(
        num_levels=7,
        down_kernel_size=kernels[0],
        up_kernel_size=kernels[1],
        input_kernel_size=kernels[2],
    )
    original = Original(7, 1, *kernels)
    assert shapes.window_frames(config, wish) == original.padding(wish)


def test_seven_levels_of_small_filters_have_the_originals_frames():
    config = dataclasses.replace(VARIANTS["M3-SmallFilter"], num_levels=7)
    assert shapes.window_frames(config, 3072) == (4103, 3073)


def test_a_skips_surplus_is_halved_by_every_decimation():
    config = dataclasses.replace(VARIANTS["M3-SmallFilter"], num_levels=7)
    surplus = [shapes.skip_surplus_frames(config, level) for level in range(7)]
    assert surplus == [10, 5, 2, 1, 0, 0, 0]


def test_no_delay_of_a_stream_is_negative_with_any_surplus():
    for num_levels, down, up, surplus in itertools.product(
        (1, 2, 5, 8), (1, 3, 5), (1, 3, 5), (0, 2, 4, 10, 14, 30, 128, 254)
    ):
        if surplus >= 2**num_levels or (surplus and down == up == 1):
            continue
        config = WaveUNetConfig(
            num_levels=num_levels,
            down_kernel_size=down,
            up_kernel_size=up,
            input_kernel_size=down + surplus,
        )
        plan = shapes.stream_plan(config)
        assert min(*plan.skip_delays, plan.mixture_delay) >= 0, config


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
