import dataclasses
import re

import matplotlib.image
import pytest

from waveunet_tf.configs.networks import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.networks import description, plot

WAVEFORM = WaveUNetConfig(num_levels=3, base_filters=4, output_frames=64)
SPECTROGRAM = SpectrogramUNetConfig(
    num_levels=3, base_filters=4, fft_frames=64, hop_frames=48, output_frames=784
)


def texts_of(config, tmp_path):
    """The texts of a picture, line by line, which matplotlib keeps as comments."""
    path = tmp_path / "network.svg"
    plot.plot_network(description.describe_network(config), path)
    comments = re.findall("<!-- (.*?) -->", path.read_text(encoding="utf-8"), re.S)
    return [line.strip() for text in comments for line in text.split("\n")]


@pytest.mark.parametrize("config", [WAVEFORM, SPECTROGRAM], ids=["waveform", "U7"])
def test_a_png_is_a_picture_and_no_other_file_is_left(config, tmp_path):
    path = tmp_path / "network.png"
    plot.plot_network(description.describe_network(config), path)
    height, width, _ = matplotlib.image.imread(path).shape
    assert (width, height) == (1200, round((2.5 + 0.72 * 3) * 120))
    assert list(tmp_path.iterdir()) == [path]


def test_a_wave_u_net_is_drawn_with_its_sizes(tmp_path):
    texts = texts_of(WAVEFORM, tmp_path)
    rows = {row.name: row for row in description.describe_network(WAVEFORM).rows}
    for level in range(3):
        for part in ("down", "up"):
            row = rows[f"{part}_{level}"]
            assert f"{row.channels} × {row.frames}" in texts
    assert texts.count("down, kernel 15") == texts.count("up, kernel 5") == 3
    assert texts.count("bottleneck, kernel 15") == 1
    assert "mixture, stereo, 22050 Hz" in texts
    assert "accompaniment, vocals" in texts
    assert any(text.endswith("frames, difference output") for text in texts)


@pytest.mark.parametrize(
    ("change", "label", "count"),
    [
        ({}, "crop and concatenate", 3),
        ({"context": False}, "concatenate", 3),
        ({}, "decimate", 3),
        ({}, "linear interpolation", 3),
        ({"upsampling": "learned"}, "learned interpolation", 3),
        ({"upsampling": "transposed"}, "transposed convolution", 3),
        ({"num_levels": 1}, "crop and concatenate", 1),
        ({"channels": 1}, "mixture, mono, 22050 Hz", 1),
    ],
)
def test_arrows_say_what_happens_between_boxes(change, label, count, tmp_path):
    config = dataclasses.replace(WAVEFORM, **change)
    assert texts_of(config, tmp_path).count(label) == count


def test_a_spectrogram_network_is_drawn_for_one_of_its_sources(tmp_path):
    texts = texts_of(SPECTROGRAM, tmp_path)
    assert "log(1 + |STFT|) of the mixture" in texts
    assert texts.count("accompaniment: mask") == 1
    assert "vocals: mask" not in texts
    # 16 steps × 32 bins, halved by each of three strided convolutions.
    assert texts.count("down, kernel 5×5") == 3
    assert [f"4 × {8 * 16}", f"8 × {4 * 8}", f"16 × {2 * 4}"] == [
        texts[place + 1]
        for place, text in enumerate(texts)
        if text == "down, kernel 5×5"
    ]
    assert texts.count("concatenate") == texts.count("up, kernel 5×5") == 2


def test_a_picture_replaces_an_earlier_one_whole(tmp_path):
    path = tmp_path / "new" / "network.svg"
    for config in (SPECTROGRAM, WAVEFORM):
        plot.plot_network(description.describe_network(config), path)
    text = path.read_text(encoding="utf-8")
    assert text.rstrip().endswith("</svg>")
    assert "bottleneck, kernel 15" in text
    assert "mask" not in text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("down_0", "down"),
        ("bottleneck", "bottleneck"),
        ("up_11", "up"),
        ("breakdown_up_0", "up"),  # of U7's source "breakdown"
        ("up_down_2", "down"),
    ],
)
def test_a_layer_is_of_the_kind_that_its_own_name_ends_in(name, kind):
    row = description.LayerRow(name, 8, 4, parameters=1, multiply_adds=1)
    assert plot._sizes(row, 5).startswith(f"{kind}, kernel 5")
