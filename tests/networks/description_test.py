import pytest

from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.networks import description, plot
from waveunet_tf.networks.build import build_network


@pytest.mark.parametrize("name", ["M1", "M4", "M5", "M7", "M3-SmallFilter", "U7"])
def test_parameters_are_those_of_the_network(name):
    counted = description.describe_network(VARIANTS[name])
    assert counted.parameters == build_network(VARIANTS[name]).count_params()


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
    whole = description.describe_network(VARIANTS["M1"])
    assert whole.streaming_multiply_adds_per_second is None


def test_the_table_has_a_line_a_layer_and_the_sums():
    text = description.format_description(description.describe_network(VARIANTS["M5"]))
    lines = text.splitlines()
    assert lines[1].split()[:4] == ["down_0", "147429", "24", "744"]
    assert "context on each side        65527 frames, 2.972 s" in lines
    names = [line.split()[0] for line in lines[1 : lines.index("")]]
    assert len(names) == 12 + 1 + 12 + 12 + 1
    assert names[-1] == "output_accompaniment"


@pytest.mark.parametrize("name", ["M1", "M4", "M6", "U7"])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_picture_is_written(name, suffix, tmp_path):
    path = tmp_path / f"network.{suffix}"
    plot.plot_network(description.describe_network(VARIANTS[name]), path)
    content = path.read_bytes()
    assert content.startswith({"png": b"\x89PNG", "svg": b"<?xml"}[suffix])
    if suffix == "svg":
        assert content.count(b"<!-- concatenate -->") + content.count(
            b"<!-- crop and concatenate -->"
        ) == (5 if name == "U7" else 12)
    assert list(tmp_path.iterdir()) == [path]
