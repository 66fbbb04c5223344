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


TINY = WaveUNetConfig(num_levels=3, base_filters=4, output_frames=256)


@pytest.mark.parametrize(
    ("output_frames", "hop"), [(5, 5), (8, 8), (21, 16), (4096, 4096), (4101, 4096)]
)
def test_windows_of_a_file_hop_by_a_multiple_unless_they_are_too_short(
    output_frames, hop
):
    window = shapes.WindowFrames(output_frames + 238, output_frames)
    assert shapes.windows_of(TINY, window) == (window, hop, 0)
    alone = dataclasses.replace(TINY, context=False)
    assert shapes.windows_of(alone, window).hop_frames == output_frames


@pytest.mark.parametrize(
    ("wish", "frames"), [(1, 8), (8, 8), (15, 8), (16, 16), (1000, 1000), (1001, 1000)]
)
def test_a_chunk_is_a_multiple_of_the_stride_within_the_wish(wish, frames):
    assert shapes.chunk_frames(TINY, wish) == frames
    assert shapes.step_frames(TINY, wish) == frames


def test_a_step_of_windows_is_their_hop():
    assert shapes.step_frames(VARIANTS["M1"], 5) == 16384
    assert shapes.step_frames(VARIANTS["U7"], 5) == 98560 * 3 // 4
    transposed = dataclasses.replace(TINY, upsampling="transposed")
    assert shapes.step_frames(transposed, 100) == 96


def test_seams_lie_between_windows_or_amid_their_fade():
    assert list(shapes.seam_frames(VARIANTS["M1"], 40000)) == [16384, 32768]
    hop, fade = 98560 * 3 // 4, 98560 // 4
    seams = [hop - fade // 2, 2 * hop - fade // 2]
    assert list(shapes.seam_frames(VARIANTS["U7"], 2 * hop)) == seams
    for config in (TINY, dataclasses.replace(TINY, upsampling="transposed")):
        assert not shapes.seam_frames(config, 10**6)


@pytest.mark.parametrize("wish", [98559, 98561, 1])
def test_a_spectrogram_network_has_windows_of_one_length(wish):
    assert shapes.window_frames(VARIANTS["U7"], 98560) == (98560, 98560)
    with pytest.raises(InputError, match=f"output_frames, 98560. Received: {wish}"):
        shapes.window_frames(VARIANTS["U7"], wish)


def test_a_network_without_context_has_windows_of_a_multiple():
    assert shapes.window_frames(VARIANTS["M1"], 8192) == (8192, 8192)
    with pytest.raises(InputError, match="a multiple of 4096 .* Received: 5000"):
        shapes.window_frames(VARIANTS["M1"], 5000)


def test_the_streams_plan_is_that_of_a_calculation_by_hand():
    """By the formulas of DESIGN, section 5, for 3 levels, 15 and 5 taps."""
    plan = shapes.stream_plan(TINY)
    # In one pass levels begin at A = -119, -112, -98, -70. In the stream they begin at
    # a = 0, -7 + 1, -6 - 14 + 2, -18 - 28, on the grids of A with steps of 2, 4, 8.
    assert plan.phases == (1, 1, 0)
    # On the way up b_3 = -46 - 56 = -102, then -114, -120, -123: less 3 steps a level.
    assert plan.latency_frames == plan.mixture_delay == 123
    # (a - b) / step + 1 - 7, with b of the level below.
    assert plan.skip_delays == (0 + 120 - 6, (-6 + 114) // 2 - 6, (-18 + 102) // 4 - 6)
    assert plan.context_frames == 128


def test_the_state_holds_what_kernels_and_delays_remember():
    frames = shapes.stream_state_frames(TINY)
    plan = shapes.stream_plan(TINY)
    assert {name for name in frames if not name.startswith("delay")} == {
        *(
            f"{kind}_{level}"
            for kind in ("down", "up", "upsample")
            for level in range(3)
        ),
        "bottleneck",
    }
    assert {frames[f"down_{level}"] for level in range(3)} == {14}
    assert {frames[f"up_{level}"] for level in range(3)} == {4}
    assert {frames[f"upsample_{level}"] for level in range(3)} == {3}
    assert tuple(frames[f"delay_{level}"] for level in range(3)) == plan.skip_delays
    assert frames["delay_mixture"] == plan.mixture_delay


def test_a_state_leaves_out_what_has_no_frames():
    one_tap = dataclasses.replace(TINY, down_kernel_size=1, up_kernel_size=1)
    names = shapes.stream_state_frames(one_tap)
    assert not {"down_0", "up_0", "bottleneck", "output", "delay_difference"} & {*names}
    wide = dataclasses.replace(TINY, output_kernel_size=5)
    frames = shapes.stream_state_frames(wide)
    assert (frames["output"], frames["delay_difference"]) == (4, 2)


def test_a_state_for_a_chunk_holds_the_frames_of_delays_that_are_due():
    whole = shapes.stream_state_frames(TINY)
    due = shapes.stream_state_frames(TINY, 20)  # chunks of 16 frames
    at_most = {"delay_mixture": 16, "delay_0": 16, "delay_1": 8, "delay_2": 4}
    for name, frames in whole.items():
        assert due[name] == min(frames, at_most.get(name, frames))
