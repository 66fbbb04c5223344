import pytest

from waveunet_tf.configs import VARIANTS, NetworkConfig, TrainingConfig
from waveunet_tf.errors import InputError


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
        ({"context": False, "output_frames": 5000}, "multiple of 2^num_levels = 4096"),
    ],
)
def test_network_config_refuses_what_makes_no_network(values, message):
    with pytest.raises(InputError) as error:
        NetworkConfig(**values)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be at least 1. Received: 0"),
        ({"learning_rate": 0.0}, "`learning_rate` must be greater than 0"),
        ({"min_gain": 1.5}, "`min_gain` must be at most 1"),
        ({"max_epochs": 0}, "`max_epochs` must be at least 1"),
    ],
)
def test_training_config_refuses_what_cannot_train(values, message):
    with pytest.raises(InputError) as error:
        TrainingConfig(**values)
    assert message in str(error.value)


def test_even_kernels_are_allowed_without_context():
    NetworkConfig(context=False, down_kernel_size=4)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_survives_json(name):
    assert NetworkConfig.from_dict(VARIANTS[name].to_dict()) == VARIANTS[name]


@pytest.mark.parametrize(
    "values", [{}, {**NetworkConfig().to_dict(), "extra": 1}, ["num_levels"], None]
)
def test_a_config_of_other_fields_is_refused(values):
    with pytest.raises(InputError, match="has the fields"):
        NetworkConfig.from_dict(values)


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
    }
    assert rows == {
        "M1": ("direct", False, 1, "linear", 22050, 2),
        "M2": ("difference", False, 1, "linear", 22050, 2),
        "M3": ("difference", True, 1, "linear", 22050, 2),
        "M4": ("difference", True, 2, "linear", 22050, 2),
        "M5": ("difference", True, 2, "learned", 22050, 2),
        "M5-HighSR": ("difference", True, 2, "learned", 44100, 2),
        "M6": ("difference", True, 2, "linear", 22050, 4),
    }
    for config in VARIANTS.values():
        assert (config.num_levels, config.base_filters) == (12, 24)
        assert config.output_frames == 16384
