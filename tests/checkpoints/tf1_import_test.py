import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import waveunet_tf
from tests.original import Original, noise
from waveunet_tf.checkpoints import tf1, tf1_import
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError

# They share a checkpoint of the original.
pytestmark = pytest.mark.xdist_group("tf1_import")

THREE = ("bass", "drums", "vocals")

# What the original could be set to; no preset has these sizes.


def slow(case):
    """A case that make test-slow runs."""
    return pytest.param(case, marks=pytest.mark.slow)


MATRIX = [
    Original(),
    Original(1, 3, 5, merge_filter_size=3, input_filter_size=5),
    slow(Original(5, 2, filter_size=5, merge_filter_size=1)),
    Original(5, 2, 7, 3, input_filter_size=37, upsampling="learned"),
    slow(Original(upsampling="learned", output_filter_size=5)),
    Original(upsampling="learned", output_activation="linear", source_names=THREE),
    Original(output_type="direct", output_activation="linear", num_channels=1),
    slow(Original(context=False)),
    Original(context=False, upsampling="learned", output_type="direct"),
    Original(context=False, filter_size=4, merge_filter_size=2, num_channels=1),
    slow(Original(context=False, output_filter_size=3, output_activation="linear")),
    slow(Original(num_initial_filters=1, num_channels=1, source_names=THREE)),
]


def settings(original):
    """The flags that tell what a checkpoint's shapes cannot."""
    known = original.input_filter_size in (15, original.filter_size)
    own_input = {} if known else {"input_kernel_size": original.input_filter_size}
    return {
        **own_input,
        "context": original.context,
        "output_type": original.output_type,
        "output_activation": original.output_activation,
        "sources": original.source_names,
        "output_frames": 64,
    }


def run_original(original, prefix, steps=2):
    """The original's checkpoint, and what it makes of some noise."""
    input_frames, output_frames = original.padding(64)
    channels = original.num_channels
    mixture = noise(2, input_frames, channels)
    mixture[1] *= 5  # loud enough to be clipped
    targets = [
        noise(2, output_frames, channels, seed=1 + number)
        for number in range(len(original.source_names))
    ]
    path, estimates, trained = original.run(prefix, mixture, targets, steps)
    return path, mixture, targets, estimates, trained


@pytest.mark.parametrize("original", MATRIX, ids=str)
def test_an_imported_checkpoint_computes_what_the_original_does(original, tmp_path):
    path, mixture, targets, expected, trained = run_original(original, tmp_path / "a")
    _, config = tf1_import.import_tf1(
        path, tmp_path / "ours", overrides=settings(original), with_optimizer=True
    )
    assert config.num_levels == original.num_layers
    assert config.base_filters == original.num_initial_filters
    assert config.down_kernel_size == original.filter_size
    assert config.up_kernel_size == original.merge_filter_size
    assert config.output_kernel_size == original.output_filter_size
    assert config.channels == original.num_channels
    assert config.upsampling == original.upsampling

    network = waveunet_tf.load_network(tmp_path / "ours")
    estimates = network(mixture)
    assert list(estimates) == list(original.source_names)
    for source, estimate in estimates.items():
        np.testing.assert_allclose(np.asarray(estimate), expected[source], atol=1e-5)

    # Training goes on: the next step of Adam is the original's next step.
    optimizer = keras.optimizers.Adam(1e-2, epsilon=1e-8)
    assert Checkpoint.open(tmp_path / "ours").load_adam(network, optimizer)
    assert int(optimizer.iterations) == 2
    assert float(optimizer.learning_rate) == pytest.approx(1e-2)
    with tf.GradientTape() as tape:
        outputs = network(mixture, training=True).values()
        loss = sum(
            tf.reduce_mean(tf.square(target - output))
            for target, output in zip(targets, outputs)
        ) / len(targets)
    gradients = tape.gradient(loss, network.trainable_variables)
    optimizer.apply(gradients, network.trainable_variables)
    names = tf1.variable_names(config)
    for weight in network.trainable_variables:
        np.testing.assert_allclose(
            np.asarray(weight), trained[names[weight.path]], atol=2e-5
        )


def inferred(**sizes):
    """What the shapes of a mono checkpoint with these sizes tell."""
    kernels = {"down_kernel_size": 5, "up_kernel_size": 1, "output_kernel_size": 1}
    kinds = {"channels": 1, "upsampling": "linear", "base_filters": 24, "outputs": 1}
    return {"architecture": "wave_u_net", **kinds, **kernels, "num_levels": 12, **sizes}


@pytest.mark.parametrize(
    ("sizes", "flags", "taps"),
    [
        ({}, {}, 15),
        ({"num_levels": 4}, {}, 15),
        ({}, {"input_kernel_size": 5}, 0),
        ({}, {"input_kernel_size": 0}, 0),
        ({}, {"input_kernel_size": 9}, 9),
        ({}, {"context": False, "output_frames": 4096}, 0),
        ({"down_kernel_size": 15}, {}, 0),
        ({"down_kernel_size": 21}, {}, 0),
        ({"num_levels": 3}, {}, 0),  # 8 of the 10 frames would be left over
    ],
    ids=str,
)
@pytest.mark.parametrize("variant", ["M3", "M3-SmallFilter"])
def test_the_input_is_the_originals_unless_told_or_impossible(
    variant, sizes, flags, taps
):
    config = tf1_import.resolve_config(inferred(**sizes), variant, flags)
    assert config.input_kernel_size == taps


def test_an_imported_small_filter_network_is_the_variant():
    small = VARIANTS["M3-SmallFilter"]
    shapes_ = inferred(num_levels=small.num_levels)
    assert tf1_import.likely_variants(shapes_)[0] == "M3-SmallFilter"
    assert tf1_import.resolve_config(shapes_, "M3-SmallFilter", {}) == small
    m3 = inferred(down_kernel_size=15, up_kernel_size=5)
    assert tf1_import.resolve_config(m3, "M3", {}) == VARIANTS["M3"]


@pytest.mark.parametrize("variant", ["M1", "M2", "M3", "M4", "M5", "M6", "U7"])
def test_the_originals_checkpoints_give_its_outputs(variant, shared_data, tmp_path):
    folder = shared_data / "waveunet-reference" / variant
    prefix = folder / ("weights.npz" if variant == "U7" else f"{variant}-1234")
    _, config = tf1_import.import_tf1(prefix, tmp_path / "ours", variant=variant)
    original = json.loads((folder / "config.json").read_text())
    assert config.num_levels == original["num_layers"]
    assert config.base_filters == original["num_initial_filters"]
    arrays = np.load(folder / "io.npz")
    estimates = waveunet_tf.load_network(tmp_path / "ours")(arrays["mix"])
    assert list(estimates) == original["source_names"]
    tolerance = 1e-4 if variant == "U7" else 1e-5
    for source, estimate in estimates.items():
        np.testing.assert_allclose(np.asarray(estimate), arrays[source], atol=tolerance)


@pytest.mark.parametrize("variant", ["M1", "M3", "M4", "M5", "M6", "U7"])
def test_the_variant_is_guessed_from_the_shapes(variant, shared_data):
    folder = shared_data / "waveunet-reference" / variant
    prefix = folder / ("weights.npz" if variant == "U7" else f"{variant}-1234")
    shapes_ = tf1.infer_config(tf1.read_variables(prefix))
    assert tf1_import.likely_variants(shapes_)[0] == variant


@pytest.fixture(scope="module")
def stereo(tmp_path_factory):
    """A stereo checkpoint of the original with linear upsampling and one output."""
    return run_original(Original(), tmp_path_factory.mktemp("stereo") / "a")[0]


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        ({"variant": "M3"}, ["channels=2", "variant M3 has channels=1"]),
        ({"variant": "M5"}, ["upsampling=linear", "variant M5 has upsampling=learned"]),
        ({"variant": "U7"}, ["architecture=wave_u_net", "spectrogram_u_net"]),
        (
            {"variant": "M6"},
            ["has 1 output layers", "bass, drums, other, vocals needs 3"],
        ),
        ({"overrides": {"num_levels": 4}}, ["num_levels=3", "num_levels=4 was given"]),
        ({"overrides": {"channels": 1}}, ["channels=2", "channels=1 was given"]),
        (
            {"overrides": {"upsampling": "transposed"}},
            ["linear", "transposed was given"],
        ),
        ({"overrides": {"output_type": "direct"}}, ["1 output layers", "needs 2"]),
        ({"overrides": {"sources": THREE}}, ["1 output layers", "needs 2"]),
        ({"overrides": {"hop_frames": 768}}, ["`hop_frames` is not a field of M4"]),
        (
            {"overrides": {"context": False, "output_frames": 12}},
            ["`output_frames` must be a multiple of 2^num_levels"],
        ),
    ],
)
def test_what_contradicts_the_shapes_is_refused(stereo, tmp_path, arguments, texts):
    with pytest.raises(InputError) as error:
        tf1_import.import_tf1(stereo, tmp_path / "ours", **arguments)
    for text in (stereo, *texts):
        assert text in str(error.value)
    assert not (tmp_path / "ours").exists()


def drop(variables, name):
    del variables[name]


def put(variables, name, value):
    variables[name] = value


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda v: drop(v, "separator/conv1d/bias"), "lacks 1 variables"),
        (
            lambda v: drop(v, "separator/conv1d_2/kernel"),
            "variables too many|must hold",
        ),
        (lambda v: drop(v, "separator/conv1d_7/kernel"), "must hold separator/conv1d"),
        (
            lambda v: put(v, "separator/more", 0),
            "1 variables too many, .* separator/more",
        ),
        (lambda v: put(v, "other/more", 0), "1 variables too many, such as other/more"),
        (
            lambda v: put(v, "separator/conv1d_1/kernel", np.zeros((7, 4, 8))),
            r"separator/conv1d_1/kernel must be of shape \(15, 4, 8\)",
        ),
        (lambda v: v.update(dict.fromkeys(v, np.float32(0))), "must have 3 axes"),
        (lambda v: v["separator/conv1d/bias"].fill(np.nan), "finite"),
        (lambda v: v.clear(), "must hold separator/conv1d/kernel .* Received: nothing"),
    ],
)
def test_a_checkpoint_of_another_network_is_refused(stereo, tmp_path, damage, message):
    variables = tf1.read_variables(stereo)
    damage(variables)
    arrays = {name.replace("/", "__"): value for name, value in variables.items()}
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        tf1_import.import_tf1(tmp_path / "a.npz", tmp_path / "ours")
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("missing", ["global_step", "conv1d/kernel/Adam_1"])
def test_a_checkpoint_without_moments_has_no_optimizer(stereo, tmp_path, missing):
    arrays = {
        name.replace("/", "__"): value
        for name, value in tf1.read_variables(stereo).items()
        if not name.endswith(missing)
    }
    np.savez(tmp_path / "a.npz", **arrays)
    tf1_import.import_tf1(tmp_path / "a.npz", tmp_path / "ours")
    with pytest.raises(InputError, match=missing):
        tf1_import.import_tf1(tmp_path / "a.npz", tmp_path / "x", with_optimizer=True)


def test_a_prefix_without_checkpoint_is_refused(stereo, tmp_path):
    for name in ("missing", "missing.npz"):
        with pytest.raises(InputError, match=f"{name}: must be"):
            tf1_import.import_tf1(tmp_path / name, tmp_path / "ours")
    shutil.copy(f"{stereo}.index", tmp_path / "half.index")
    with pytest.raises(InputError, match="half: must be a TF1 checkpoint"):
        tf1_import.import_tf1(tmp_path / "half", tmp_path / "ours")
    (tmp_path / "text.index").write_text("nothing")
    with pytest.raises(InputError, match="text: must be a TF1 checkpoint"):
        tf1_import.import_tf1(tmp_path / "text", tmp_path / "ours")


def test_an_import_without_optimizer_replaces_one_with_it(stereo, tmp_path):
    tf1_import.import_tf1(stereo, tmp_path / "a", with_optimizer=True)
    config = json.loads((tmp_path / "a" / "config.json").read_text())
    assert TrainingConfig.from_dict(config["training"]) == TrainingConfig()
    tf1_import.import_tf1(stereo, tmp_path / "a")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["config.json", "network.weights.h5"]
