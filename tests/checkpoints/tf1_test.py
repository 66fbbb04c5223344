"""The original's variables: their names, and what their shapes show."""

import dataclasses

import keras
import numpy as np
import pytest

from waveunet_tf.checkpoints import tf1
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.configs.networks import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network

SMALL = WaveUNetConfig(
    num_levels=2,
    base_filters=3,
    down_kernel_size=5,
    up_kernel_size=3,
    output_frames=64,
    channels=1,
)
SMALL_U7 = SpectrogramUNetConfig(
    num_levels=2,
    base_filters=2,
    fft_frames=64,
    hop_frames=32,
    output_frames=64 + 3 * 32,
)
CONFIGS = {
    "M3": SMALL,
    "M1": dataclasses.replace(SMALL, output_type="direct", context=False),
    "M5": dataclasses.replace(SMALL, upsampling="learned", channels=2),
    "M6": dataclasses.replace(SMALL, sources=("bass", "drums", "other", "vocals")),
    "output": dataclasses.replace(SMALL, output_kernel_size=3, num_levels=1),
    "U7": SMALL_U7,
}


def variables_of(config):
    """Random variables of the original's names, with the shapes of our network."""
    generator = np.random.default_rng(0)
    names = tf1.variable_names(config)
    return {
        names[weight.path]: generator.normal(size=weight.shape).astype(np.float32)
        for weight in build_network(config).weights
    }


def moments_of(variables, step=7):
    """Adam's moments as TF1 keeps them: of each variable 1 and 2."""
    moments = {"global_step": np.int64(step), "beta1_power": np.float32(0.5)}
    for name, value in variables.items():
        moments[f"separator_solver/{name}/Adam"] = np.full_like(value, 1)
        moments[f"separator_solver/{name}/Adam_1"] = np.full_like(value, 2)
    return moments


def test_layers_are_numbered_in_the_order_in_which_the_original_makes_them():
    """Down, bottleneck, up from the deepest level, outputs; the first has no number."""
    names = tf1.variable_names(SMALL)
    kernels = {
        ours.removesuffix("/kernel"): theirs
        for ours, theirs in names.items()
        if ours.endswith("/kernel")
    }
    assert kernels == {
        "down_0": "separator/conv1d/kernel",
        "down_1": "separator/conv1d_1/kernel",
        "bottleneck": "separator/conv1d_2/kernel",
        "up_1": "separator/conv1d_3/kernel",
        "up_0": "separator/conv1d_4/kernel",
        "output_accompaniment": "separator/conv1d_5/kernel",
    }
    assert names["up_0/bias"] == "separator/conv1d_4/bias"
    learned = tf1.variable_names(CONFIGS["M5"])
    assert learned["upsample_1/interpolation"] == "separator/interp_0"
    assert learned["upsample_0/interpolation"] == "separator/interp_1"


def test_the_baselines_layers_are_numbered_over_all_sources():
    """Each source has a U-Net: its convolutions go on where the last one's ended."""
    names = tf1.variable_names(SMALL_U7)
    assert names["vocals_down_0/kernel"] == "separator/conv2d_2/kernel"
    assert names["vocals_up_0/kernel"] == "separator/conv2d_transpose_2/kernel"
    assert names["vocals_mask/bias"] == "separator/conv2d_transpose_3/bias"
    assert names["accompaniment_up_0_norm/beta"] == "separator/BatchNorm_2/beta"
    assert (
        names["vocals_down_0_norm/moving_mean"] == "separator/BatchNorm_3/moving_mean"
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_every_weight_has_a_name_of_its_own(name):
    config = CONFIGS[name]
    names = tf1.variable_names(config)
    paths = [weight.path for weight in build_network(config).weights]
    assert set(paths) == set(names)
    assert len(set(names.values())) == len(paths)


@pytest.mark.parametrize("name", CONFIGS)
def test_shapes_show_the_sizes_of_the_network_that_has_them(name):
    config = CONFIGS[name]
    inferred = tf1.infer_config(variables_of(config))
    assert inferred.pop("architecture") == config.architecture
    assert inferred.pop("outputs") == len(config.estimated_sources)
    assert inferred == {key: config.to_dict()[key] for key in inferred}
    assert {"num_levels", "base_filters", "channels"} <= set(inferred)


@pytest.mark.parametrize("name", ["M3", "M5", "U7"])
def test_weights_are_set_by_their_names(name):
    config = CONFIGS[name]
    variables = variables_of(config)
    keras.utils.set_random_seed(5)
    network = build_network(config)
    tf1.set_weights(config, network, variables)
    names = tf1.variable_names(config)
    for weight in network.weights:
        np.testing.assert_array_equal(weight.numpy(), variables[names[weight.path]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"separator/conv1d_9/bias": 0}, "1 variables too many, such as separator/co"),
        ({"separator/conv1d/bias": None}, "lacks 1 variables, such as separator/conv1"),
        (
            {"separator/conv1d/bias": np.zeros(4)},
            r"separator/conv1d/bias must be of shape \(3,\). Received: \(4,\)",
        ),
        (
            {"separator/conv1d/bias": np.array([0, np.inf, 0])},
            "separator/conv1d/bias must hold finite numbers",
        ),
        (
            {"separator/conv1d/bias": np.array(["a", "b", "c"])},
            "separator/conv1d/bias must hold finite numbers",
        ),
    ],
)
def test_variables_of_another_network_are_refused_and_nothing_is_set(change, message):
    variables = {**variables_of(SMALL), **change}
    variables = {name: value for name, value in variables.items() if value is not None}
    network = build_network(SMALL)
    before = network.get_weights()
    with pytest.raises(InputError, match=message):
        tf1.set_weights(SMALL, network, variables)
    for weight, value in zip(network.get_weights(), before):
        np.testing.assert_array_equal(weight, value)


def test_what_belongs_to_the_training_is_not_too_many():
    variables = variables_of(SMALL)
    variables |= moments_of(variables)
    tf1.check_variables(SMALL, build_network(SMALL), variables)


def test_moments_and_step_become_adams():
    variables = variables_of(SMALL)
    network, optimizer = build_network(SMALL), build_adam(TrainingConfig())
    assert tf1.set_adam(SMALL, network, optimizer, moments_of(variables)) == 7
    assert int(optimizer.iterations) == 7
    for moments, value in [(optimizer._momentums, 1), (optimizer._velocities, 2)]:
        assert len(moments) == len(network.trainable_variables)
        for moment in moments:
            assert np.all(moment.numpy() == value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("global_step", None, "lacks global_step"),
        ("separator_solver/separator/conv1d_1/bias/Adam", None, "Received: none"),
        (
            "separator_solver/separator/conv1d_1/bias/Adam_1",
            np.zeros(2),
            r"must be of shape \(6,\). Received: \(2,\)",
        ),
        (
            "separator_solver/separator/conv1d_1/bias/Adam",
            np.array([0, 0, np.nan, 0, 0, 0]),
            "must hold finite numbers",
        ),
        ("global_step", np.zeros(2), "must be one number"),
        ("global_step", np.nan, "must hold finite numbers"),
    ],
)
def test_missing_or_other_moments_are_refused(name, value, message):
    moments = moments_of(variables_of(SMALL))
    del moments[name]
    if value is not None:
        moments[name] = value
    with pytest.raises(InputError, match=message) as error:
        tf1.set_adam(SMALL, build_network(SMALL), build_adam(TrainingConfig()), moments)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([3], "2n \\+ 1 layers .* rise by 3 .* Received: 3$"),
        ([3, 6, 9, 6, 3], "Received: 3, 6, 9, 6, 3$"),  # without an output
        ([3, 3, 3, 3], "Received: 3, 3, 3, 3$"),
    ],
)
def test_layers_whose_filters_do_not_rise_and_fall_are_refused(filters, message):
    variables = {
        f"separator/conv1d{f'_{number}' if number else ''}/kernel": np.zeros(
            (5, 1, count)
        )
        for number, count in enumerate(filters)
    }
    with pytest.raises(InputError, match=message):
        tf1.infer_config(variables)


def test_variables_are_read_from_an_npz_by_their_names(tmp_path):
    np.savez(tmp_path / "a.npz", **{"separator__conv1d__bias": np.arange(3)})
    variables = tf1.read_variables(tmp_path / "a.npz")
    assert list(variables) == ["separator/conv1d/bias"]
    assert variables["separator/conv1d/bias"].tolist() == [0, 1, 2]
