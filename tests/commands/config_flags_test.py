import dataclasses
import sys

import pytest
from absl import flags

from tests import command_line
from waveunet_tf.commands import config_flags
from waveunet_tf.commands.app import UsageError
from waveunet_tf.configs.networks import VARIANTS, SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.configs.training import (
    VARIANT_TRAINING,
    ComputeConfig,
    TrainingConfig,
)


@pytest.fixture
def parsed(request):
    """Defines the flags of `define`, and parses words; forgets them afterwards."""
    command_line._forget_flags()

    def parse(define, *words):
        define()
        flags.FLAGS(["command", *words])

    yield parse
    command_line._forget_flags()
    flags.FLAGS(sys.argv[:1])


def help_of(name):
    return " ".join(flags.FLAGS[name].help.split())


def test_every_field_of_every_network_is_a_flag(parsed):
    parsed(config_flags.define_network_flags)
    seen = set()
    for config_class in (WaveUNetConfig, SpectrogramUNetConfig):
        for field in dataclasses.fields(config_class):
            assert flags.FLAGS[field.name].value is None
            if field.name not in seen:  # a field that both have is one flag
                assert " ".join(field.metadata["help"].split()) in help_of(field.name)
            seen.add(field.name)
    assert len(seen) > 15


def test_the_help_states_the_variants_values(parsed):
    parsed(config_flags.define_network_flags)
    assert help_of("sample_rate_hz").endswith(
        "Default: 22050; M5-HighSR: 44100; M7, U7, U7a: 8192."
    )
    assert "M6: bass,drums,other,vocals" in help_of("sources")
    # A field that only one architecture has says nothing of the other's variants.
    assert help_of("fft_frames").endswith("Default: 1024.")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_without_flags_is_the_papers(parsed, variant):
    parsed(config_flags.define_network_flags, f"--variant={variant}")
    assert config_flags.network_config_from_flags() == VARIANTS[variant]


def test_flags_override_fields_of_every_type(parsed):
    parsed(
        config_flags.define_network_flags,
        *("--variant=M5", "--num_levels=3", "--nocontext", "--sources=a,b,c"),
        *("--output_type=direct", "--output_frames=8"),
    )
    expected = dataclasses.replace(
        VARIANTS["M5"],
        num_levels=3,
        context=False,
        sources=("a", "b", "c"),
        output_type="direct",
        output_frames=8,
    )
    assert config_flags.network_config_from_flags() == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--num_levels=0"], "`num_levels` must be at least 1. Received: 0"),
        (["--variant=U7", "--upsampling=linear"], "`upsampling` is no field of this"),
        (["--variant=M4", "--fft_frames=16"], "`fft_frames` is no field of this"),
        (["--up_kernel_size=4"], "`up_kernel_size` must be odd"),
    ],
)
def test_what_contradicts_the_network_is_bad_usage(parsed, words, message):
    parsed(config_flags.define_network_flags, *words)
    with pytest.raises(UsageError, match=message):
        config_flags.network_config_from_flags()


def test_a_training_starts_from_its_variants(parsed):
    parsed(config_flags.define_training_flags, "--learning_rate=0.5")
    config = config_flags.training_config_from_flags("M7")
    assert config == dataclasses.replace(VARIANT_TRAINING["M7"], learning_rate=0.5)
    assert config.batch_size != VARIANT_TRAINING["M4"].batch_size
    assert "Default: 16; M7, U7, U7a: 4." in help_of("batch_size")


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], {}),
        (["--jit_compile"], {"jit_compile": True}),
        (["--nojit_compile"], {"jit_compile": False}),
    ],
)
def test_a_switch_that_is_not_given_is_neither_on_nor_off(parsed, words, given):
    define = config_flags.define_config_flags
    parsed(lambda: define({"": ComputeConfig()}, ComputeConfig), *words)
    assert config_flags.flag_overrides(ComputeConfig) == given


def test_only_the_named_fields_of_a_training_are_flags(parsed):
    parsed(lambda: config_flags.define_training_flags({"seed"}), "--seed=3")
    assert config_flags.flag_overrides(TrainingConfig) == {"seed": 3}
    assert "batch_size" not in flags.FLAGS


def test_the_refinements_are_those_that_are_given(parsed):
    parsed(config_flags.define_refinement_flags, "--phase_iterations=3")
    assert config_flags.refinement_from_flags() == {"phase_iterations": 3}
    assert help_of("phase_start").endswith("Default: the checkpoint's.")


def test_a_config_keeps_its_other_fields():
    changed = config_flags.override(VARIANTS["M5"], {"num_levels": 3})
    assert changed == dataclasses.replace(VARIANTS["M5"], num_levels=3)
    assert config_flags.override(VARIANTS["M5"], {}) == VARIANTS["M5"]
    with pytest.raises(UsageError, match="`colour` is no field of this network"):
        config_flags.override(VARIANTS["M5"], {"colour": "red"})
