import dataclasses

import pytest

from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.networks import description
from waveunet_tf.networks.build import build_network

SMALL_U7 = dataclasses.replace(
    VARIANTS["U7"],
    num_levels=3,
    base_filters=4,
    fft_frames=64,
    hop_frames=48,
    output_frames=64 + 15 * 48,
)


@pytest.mark.parametrize(
    "config",
    [
        VARIANTS["M4"],
        dataclasses.replace(VARIANTS["M1"], base_filters=2),
        dataclasses.replace(VARIANTS["M5"], base_filters=2),
        dataclasses.replace(VARIANTS["M6"], num_levels=3, upsampling="transposed"),
        dataclasses.replace(VARIANTS["M3-SmallFilter"], base_filters=1),
        SMALL_U7,
    ],
    ids=["M4", "M1", "M5", "transposed", "M3-SmallFilter", "U7"],
)
def test_parameters_are_those_of_the_network(config):
    counted = description.describe_network(config)
    assert counted.parameters == build_network(config).count_params()


def test_multiply_adds_of_u7_are_those_of_its_convolutions():
    """A transposed convolution uses its kernel at each place of its input."""
    counted = description.describe_network(SMALL_U7)
    # Places and features of 16 steps × 32 bins, halved thrice.
    down = [(8 * 16, 1, 4), (4 * 8, 4, 8), (2 * 4, 8, 16)]
    up = [(2 * 4, 16, 8), (4 * 8, 8 + 8, 4), (8 * 16, 4 + 4, 1)]
    work = sum(places * 25 * one * other for places, one, other in down + up)
    # And a product for each normalized value.
    work += sum(places * features for places, _, features in down)
    work += 4 * 8 * 8 + 8 * 16 * 4
    window = sum(row.multiply_adds for row in counted.rows)
    assert window == 2 * work
    per_second = window * 8192 / SMALL_U7.output_frames
    assert counted.multiply_adds_per_second == pytest.approx(per_second)


def test_layers_of_u7_stand_source_by_source():
    counted = description.describe_network(SMALL_U7)
    parts = ["down_0", "down_1", "down_2", "up_1", "up_0", "mask"]
    assert [row.name for row in counted.rows] == [
        f"{source}_{part}" for source in ("accompaniment", "vocals") for part in parts
    ]


def test_names_of_sources_do_not_change_the_order_of_layers():
    config = dataclasses.replace(
        VARIANTS["M1"], num_levels=2, base_filters=2, sources=("up", "down")
    )
    counted = description.describe_network(config)
    names = [row.name for row in counted.rows]
    assert names[:5] == ["down_0", "down_1", "bottleneck", "up_1", "up_0"]
    assert set(names[5:]) == {"output_up", "output_down"}
    u7 = dataclasses.replace(SMALL_U7, sources=("a", "a_down"))
    names = [row.name for row in description.describe_network(u7).rows]
    assert names[:3] == ["a_down_0", "a_down_1", "a_down_2"]
    assert names[6:9] == ["a_down_down_0", "a_down_down_1", "a_down_down_2"]


def test_a_row_counts_the_bytes_of_its_output_in_float32():
    counted = description.describe_network(
        dataclasses.replace(VARIANTS["M1"], num_levels=2, base_filters=3)
    )
    first, *_, last = counted.rows
    assert (first.frames, first.channels, first.bytes) == (16384, 3, 4 * 16384 * 3)
    assert (last.frames, last.channels, last.bytes) == (16384, 1, 4 * 16384)


def test_multiply_adds_of_m4_are_those_of_its_convolutions():
    counted = description.describe_network(VARIANTS["M4"])
    frames, filters, work = 147443, 2, 0
    for level in range(12):
        frames -= 14
        work += frames * 15 * filters * 24 * (level + 1)
        filters, frames = 24 * (level + 1), (frames + 1) // 2
    frames -= 14
    work += frames * 15 * filters * 24 * 13
    filters = 24 * 13
    for level in reversed(range(12)):
        frames = 2 * frames - 1 - 4
        work += frames * 5 * (filters + 24 * (level + 1)) * 24 * (level + 1)
        filters = 24 * (level + 1)
    work += frames * (24 + 2) * 2
    assert frames == 16389
    assert counted.multiply_adds_per_second == pytest.approx(work * 22050 / 16389)
    assert work / 16389 == pytest.approx(695e3, rel=0.001)


def test_a_stream_computes_each_frame_once():
    """Level i has one frame for 2^i of the mixture."""
    counted = description.describe_network(VARIANTS["M4"])
    filters, work = 2, 0
    for level in range(13):
        work += 15 * filters * 24 * (level + 1) / 2**level
        filters = 24 * (level + 1)
    for level in reversed(range(12)):
        work += 5 * (filters + 24 * (level + 1)) * 24 * (level + 1) / 2**level
        filters = 24 * (level + 1)
    work += (24 + 2) * 2
    assert counted.streaming_multiply_adds_per_second == pytest.approx(work * 22050)
    assert work == pytest.approx(150e3, rel=0.01)


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(VARIANTS["M1"], num_levels=2),
        dataclasses.replace(VARIANTS["M4"], num_levels=2, upsampling="transposed"),
        SMALL_U7,
    ],
    ids=["no context", "transposed", "U7"],
)
def test_only_networks_that_stream_have_a_figure_for_it(config):
    counted = description.describe_network(config)
    assert counted.streaming_multiply_adds_per_second is None
    assert "as a stream" not in description.format_description(counted)


def test_the_table_has_a_line_a_layer_and_the_sums():
    text = description.format_description(description.describe_network(VARIANTS["M5"]))
    lines = text.splitlines()
    assert lines[1].split()[:4] == ["down_0", "147429", "24", "744"]
    assert "context on each side        65527 frames, 2.972 s" in lines
    names = [line.split()[0] for line in lines[1 : lines.index("")]]
    assert len(names) == 12 + 1 + 12 + 12 + 1
    assert names[-1] == "output_accompaniment"


def test_the_sums_are_those_of_the_table():
    counted = description.describe_network(
        dataclasses.replace(VARIANTS["M4"], num_levels=4)
    )
    table, sums = description.format_description(counted).split("\n\n")
    parameters = sum(int(line.split()[3]) for line in table.splitlines()[1:])
    memory = sum(float(line.split()[5]) for line in table.splitlines()[1:])
    said = {line[:28].strip(): line[28:] for line in sums.splitlines()}
    assert said["parameters"].split()[0] == str(parameters)
    assert float(said["outputs of these layers"].split()[0]) == pytest.approx(
        memory, abs=0.1
    )
    window = counted.window
    assert said["window in"].startswith(f"{window.input_frames} frames, ")
    assert said["window out"].startswith(f"{window.output_frames} frames, ")
    assert said[""].endswith(" G as a stream")
