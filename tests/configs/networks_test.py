import dataclasses
import json
import math

import pytest

from waveunet_tf.configs.networks import (
    VARIANTS,
    SpectrogramUNetConfig,
    WaveUNetConfig,
    network_config_from_json,
)
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_levels": 0}, "`num_levels` must be at least 1. Received: 0"),
        ({"num_levels": 2.0}, "`num_levels` must be of type int"),
        ({"num_levels": True}, "`num_levels` must be of type int"),
        ({"context": 1}, "`context` must be of type bool"),
        ({"channels": 3}, "`channels` must be one of 1, 2"),
        ({"upsampling": "cubic"}, "`upsampling` must be one of linear, learned"),
        ({"down_kernel_size": 4}, "`down_kernel_size` must be odd with `context`"),
        ({"output_kernel_size": 2}, "`output_kernel_size` must be odd"),
        ({"sources": ("vocals",)}, "at least two different names"),
        ({"sources": ("vocals", "vocals")}, "at least two different names"),
        ({"sources": ("vocals", "../etc")}, "letters, digits"),
        ({"sources": ("vocals", "mixture")}, "mixture"),
        ({"sources": ("state_up_0", "b")}, "must not begin with state_"),
        ({"context": False, "output_frames": 5000}, "multiple of 2^num_levels = 4096"),
        ({"input_kernel_size": 13}, "`input_kernel_size` must be 0, or odd and from"),
        ({"input_kernel_size": 16}, "down_kernel_size = 15 to down_kernel_size"),
        ({"input_kernel_size": 4111}, "= 4109. Received: 4111"),
        (
            {"input_kernel_size": 3, "down_kernel_size": 1, "up_kernel_size": 1},
            "`input_kernel_size` must be 0 where",
        ),
    ],
)
def test_network_config_refuses_what_makes_no_network(values, message):
    with pytest.raises(InputError) as error:
        WaveUNetConfig(**values)
    assert message in str(error.value)


def test_even_kernels_are_allowed_without_context():
    config = WaveUNetConfig(context=False, down_kernel_size=4)
    assert config.down_kernel_size == 4


@pytest.mark.parametrize(
    "values",
    [
        {"input_kernel_size": 15},
        {"input_kernel_size": 5, "down_kernel_size": 5},
        {"input_kernel_size": 15, "down_kernel_size": 5, "context": False},
    ],
)
def test_an_input_kernel_that_changes_nothing_is_none(values):
    config = WaveUNetConfig(**values)
    assert config.input_kernel_size == config.surplus_frames == 0
    assert config == WaveUNetConfig(**{**values, "input_kernel_size": 0})


def test_a_network_of_an_earlier_version_has_no_longer_input():
    values = VARIANTS["M3-SmallFilter"].to_json()
    del values["input_kernel_size"]
    config = network_config_from_json(values)
    assert config == dataclasses.replace(
        VARIANTS["M3-SmallFilter"], input_kernel_size=0
    )


def test_earlier_versions_can_read_a_network_without_a_longer_input():
    assert "input_kernel_size" not in VARIANTS["M4"].to_json()
    assert VARIANTS["M3-SmallFilter"].to_json()["input_kernel_size"] == 15


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_survives_json(name):
    config = VARIANTS[name]
    assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    "values", [{}, {**WaveUNetConfig().to_dict(), "extra": 1}, ["num_levels"], None]
)
def test_a_config_of_other_fields_is_refused(values):
    with pytest.raises(InputError, match="has the fields"):
        WaveUNetConfig.from_dict(values)


def test_variants_differ_as_the_papers_table_says():
    rows = {
        name: (
            config.output_type,
            config.context,
            config.channels,
            config.upsampling,
            config.sample_rate_hz,
            len(config.sources),
        )
        for name, config in VARIANTS.items()
        if isinstance(config, WaveUNetConfig)
    }
    assert rows == {
        "M1": ("direct", False, 1, "linear", 22050, 2),
        "M2": ("difference", False, 1, "linear", 22050, 2),
        "M3": ("difference", True, 1, "linear", 22050, 2),
        "M3-SmallFilter": ("difference", True, 1, "linear", 22050, 2),
        "M4": ("difference", True, 2, "linear", 22050, 2),
        "M5": ("difference", True, 2, "learned", 22050, 2),
        "M5-HighSR": ("difference", True, 2, "learned", 44100, 2),
        "M6": ("difference", True, 2, "linear", 22050, 4),
        "M7": ("difference", True, 1, "linear", 8192, 2),
    }
    for name in ("M1", "M2", "M3", "M4", "M5", "M5-HighSR", "M6"):
        config = VARIANTS[name]
        assert (config.num_levels, config.base_filters) == (12, 24)
        assert (config.down_kernel_size, config.up_kernel_size) == (15, 5)
        assert config.output_frames == 16384
    deep = VARIANTS["M3-SmallFilter"]
    assert (deep.num_levels, deep.down_kernel_size, deep.up_kernel_size) == (14, 5, 1)
    assert deep.input_kernel_size == 15
    assert (VARIANTS["M7"].base_filters, VARIANTS["M7"].output_frames) == (34, 98560)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"output_frames": 98561}, "such as 49408. Received: 98561"),
        ({"output_frames": 1024}, "such as 49408. Received: 1024"),
        ({"fft_frames": 1000}, "`fft_frames` must be a multiple of 2^(num_levels + 1)"),
        ({"hop_frames": 1024}, "`hop_frames` must be less than `fft_frames`, 1024"),
        ({"channels": 2}, "`channels` must be one of 1"),
        ({"phase_start": "zero"}, "`phase_start` must be one of mixture, random"),
    ],
)
def test_spectrogram_config_refuses_what_makes_no_network(values, message):
    with pytest.raises(InputError) as error:
        SpectrogramUNetConfig(**values)
    assert message in str(error.value)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_networks_json_names_its_architecture_and_reads_back(name):
    config = VARIANTS[name]
    values = json.loads(json.dumps(config.to_json()))
    assert values["architecture"] == (
        "spectrogram_u_net" if name in ("U7", "U7a") else "wave_u_net"
    )
    kept = dict(values)
    assert network_config_from_json(values) == config
    assert values == kept


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "must be a JSON object. Received: None"),
        (["wave_u_net"], "must be a JSON object"),
        ({}, "`architecture` must be one of wave_u_net, spectrogram_u_net"),
        ({"architecture": ["wave_u_net"]}, "Received: ['wave_u_net']"),
        ({"architecture": "demucs"}, "Received: 'demucs'"),
        ({"architecture": "wave_u_net"}, "WaveUNetConfig has the fields"),
        ({**VARIANTS["M4"].to_json(), "num_levels": 0}, "`num_levels` must be at"),
        ({**VARIANTS["M4"].to_json(), "architecture": "spectrogram_u_net"}, "fields"),
    ],
)
def test_json_of_no_known_network_is_refused(values, message):
    with pytest.raises(InputError) as error:
        network_config_from_json(values)
    assert message in str(error.value)


def test_networks_say_what_they_can():
    def with_true(question):
        return {name for name in VARIANTS if getattr(VARIANTS[name], question)}

    everything = set(VARIANTS)
    assert with_true("can_stream") == everything - {"M1", "M2", "U7", "U7a"}
    assert with_true("has_difference_output") == everything - {"M1", "U7", "U7a"}
    assert with_true("has_spectrogram") == with_true("fade_frames") == {"U7", "U7a"}
    assert with_true("has_random_phase") == set()
    transposed = dataclasses.replace(VARIANTS["M4"], upsampling="transposed")
    assert not transposed.can_stream
    random = dataclasses.replace(VARIANTS["U7"], phase_start="random")
    assert random.has_random_phase


def test_the_last_source_of_a_difference_has_no_output_layer():
    m6 = VARIANTS["M6"]
    assert m6.estimated_sources == ("bass", "drums", "other")
    assert dataclasses.replace(m6, output_type="direct").estimated_sources == (
        m6.sources
    )
    assert VARIANTS["U7"].estimated_sources == ("accompaniment", "vocals")


@pytest.mark.parametrize(
    "name", ["", "a b", "a/b", "..", "voix é", "a.wav", 3, None, ["vocals"]]
)
@pytest.mark.parametrize("config_class", [WaveUNetConfig, SpectrogramUNetConfig])
def test_sources_name_files_and_layers_so_only_safe_names_pass(config_class, name):
    with pytest.raises(InputError, match="`sources` must be names of letters"):
        config_class(sources=("vocals", name))


def test_u7_takes_only_lengths_of_whole_spectrograms():
    """fft + hop (n 2^levels - 1) frames give n 2^levels steps, which halve evenly."""
    accepted = []
    for frames in range(1, 700):
        try:
            SpectrogramUNetConfig(
                num_levels=2, fft_frames=64, hop_frames=48, output_frames=frames
            )
        except InputError:
            continue
        accepted.append(frames)
    steps = [1 + (frames - 64) // 48 for frames in accepted]
    assert steps == [4, 8, 12]
    assert accepted == [64 + 48 * (count - 1) for count in steps]


@pytest.mark.parametrize("output_type", ["direct", "difference"])
@pytest.mark.parametrize("context", [True, False])
@pytest.mark.parametrize("upsampling", ["linear", "learned", "transposed"])
def test_a_network_streams_with_context_and_interpolation(
    output_type, context, upsampling
):
    config = WaveUNetConfig(
        output_type=output_type, context=context, upsampling=upsampling
    )
    assert config.can_stream == (context and upsampling in ("linear", "learned"))
    assert config.has_difference_output == (output_type == "difference")
    assert set(config.sources) - set(config.estimated_sources) == (
        {config.sources[-1]} if config.has_difference_output else set()
    )


@pytest.mark.parametrize("name", VARIANTS)
def test_the_largest_layer_is_known_without_a_network(name):
    config = dataclasses.replace(VARIANTS[name])
    largest = max(
        math.prod(weight.shape) for weight in build_network(config).trainable_weights
    )
    assert config.least_weights <= largest
    assert config.least_weights > 0.5 * largest


def test_sources_are_some_names_of_some_length():
    dataclasses.replace(VARIANTS["M4"], sources=tuple(f"s{n}" for n in range(64)))
    with pytest.raises(InputError, match="at most 64 names. Received: 100000"):
        names = tuple(f"s{n}" for n in range(100_000))
        dataclasses.replace(VARIANTS["M4"], sources=names)
    with pytest.raises(InputError, match="names of at most 64 characters"):
        dataclasses.replace(VARIANTS["M4"], sources=("a" * 65, "b"))
