import pathlib
import re

import pytest

from waveunet_tf.configs.networks import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.networks import layer_names

ROOT = pathlib.Path(__file__).parents[2]


def test_names_are_those_that_checkpoints_and_files_hold():
    """As they lie in checkpoints and exported files since the first release."""
    assert [
        layer_names.down(0),
        layer_names.decimate(1),
        layer_names.BOTTLENECK,
        layer_names.upsample(2),
        layer_names.upsample_crop(2),
        layer_names.skip(3),
        layer_names.up(11),
        layer_names.SKIP_MIXTURE,
        layer_names.output("vocals"),
        layer_names.clip("vocals"),
    ] == [
        *("down_0", "decimate_1", "bottleneck", "upsample_2", "upsample_2_crop"),
        *("skip_3", "up_11", "skip_mixture", "output_vocals", "clip_vocals"),
    ]
    assert [
        layer_names.state(layer_names.delay(4)),
        layer_names.state(layer_names.DELAY_MIXTURE),
        layer_names.state(layer_names.DELAY_DIFFERENCE),
        layer_names.state(layer_names.OUTPUT_STATE),
    ] == [
        *("state_delay_4", "state_delay_mixture", "state_delay_difference"),
        "state_output",
    ]


def test_names_of_u7_begin_with_their_source():
    down = layer_names.source_down("vocals", 0)
    up = layer_names.source_up("vocals", 4)
    assert [
        down,
        layer_names.normalization(down),
        layer_names.activation(down),
        up,
        layer_names.concatenation(up),
        layer_names.dropout(up),
        layer_names.mask("vocals"),
        layer_names.nyquist("vocals"),
    ] == [
        *("vocals_down_0", "vocals_down_0_norm", "vocals_down_0_relu"),
        *("vocals_up_4", "vocals_up_4_skip", "vocals_up_4_dropout"),
        *("vocals_mask", "vocals_nyquist"),
    ]


@pytest.mark.parametrize("name", ["vocals", "output_", "state_", "a-b_9", "mask"])
def test_what_a_name_is_made_of_is_read_back(name):
    assert layer_names.is_output(layer_names.output(name))
    assert layer_names.source_of_output(layer_names.output(name)) == name
    assert layer_names.array_of_state(layer_names.state(name)) == name
    assert layer_names.is_mask(layer_names.mask(name))
    assert layer_names.normalized(layer_names.normalization(name)) == name
    assert layer_names.normalized(layer_names.down(3)) == layer_names.down(3)


def test_only_what_it_says_is_an_output_or_a_mask():
    others = [layer_names.BOTTLENECK, layer_names.OUTPUT_STATE, layer_names.up(1)]
    for name in [*others, layer_names.MIXTURE, layer_names.clip("vocals")]:
        assert not layer_names.is_output(name)
        assert not layer_names.is_mask(name)


@pytest.mark.parametrize(
    "config",
    [
        WaveUNetConfig(num_levels=2, base_filters=2, output_frames=8),
        WaveUNetConfig(
            num_levels=2,
            base_filters=2,
            output_frames=8,
            upsampling="transposed",
            output_type="direct",
            output_activation="linear",
        ),
        SpectrogramUNetConfig(
            num_levels=2,
            base_filters=2,
            fft_frames=64,
            hop_frames=48,
            output_frames=64 + 48 * 3,
        ),
    ],
    ids=["difference", "direct", "spectrogram"],
)
def test_every_layer_of_a_network_has_a_name_of_this_module(config):
    from waveunet_tf.networks.build import build_network

    names = {layer_names.MIXTURE, layer_names.BOTTLENECK, layer_names.SKIP_MIXTURE}
    names |= {layer_names.STFT, layer_names.MAGNITUDE, layer_names.NETWORK_INPUT}
    for level in range(config.num_levels):
        names |= {layer_names.down(level), layer_names.decimate(level)}
        names |= {layer_names.upsample(level), layer_names.upsample_crop(level)}
        names |= {layer_names.skip(level), layer_names.up(level)}
    for source in config.sources:
        names |= {layer_names.output(source), layer_names.clip(source)}
        names |= {layer_names.mask(source), layer_names.nyquist(source)}
        for level in range(config.num_levels):
            for of_level in (layer_names.source_down, layer_names.source_up):
                name = of_level(source, level)
                names |= {name, layer_names.normalization(name)}
                names |= {layer_names.activation(name), layer_names.dropout(name)}
                names |= {layer_names.concatenation(name)}
    made = {layer.name for layer in build_network(config).layers}
    assert made - names == set()


def test_no_other_file_spells_a_name():
    spelled = re.compile(
        r'f"(\{\w+\}_)?(down|up|upsample|delay|output|clip|decimate|skip|state)_\{'
        r'|(with|prefix|suffix)\("(output_|state_|_mask|_norm)"\)'
    )
    found = [
        str(path.relative_to(ROOT))
        for package in ("waveunet_tf", "export", "benchmarks", "examples", "evaluate")
        for path in (ROOT / package).rglob("*.py")
        if path.name != "layer_names.py"
        and spelled.search(path.read_text(encoding="utf-8"))
    ]
    assert not found
