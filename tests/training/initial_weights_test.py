import dataclasses

import keras
import numpy as np
import pytest

from tests.training.trainings import MINI, MINI_U7, QUICK, history
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.data import excerpts, prepared
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.training.initial_weights import (
    load_initial_weights,
    scale_to_unit_variance,
)


def loaded(directory, config=MINI, **arguments):
    """A network and its Adam, with weights and moments of a checkpoint."""
    network, adam = build_network(config), build_adam(QUICK)
    adam.build(network.trainable_variables)
    load_initial_weights(directory, config, network, adam, **arguments)
    return network, adam


def weights_of_layers(network):
    return {layer.name: layer.get_weights() for layer in network.layers}


def check_equal(arrays, expected):
    for one, other in zip(arrays, expected):
        np.testing.assert_array_equal(one, other)


def test_weights_and_moments_are_those_of_the_checkpoint(finished_dir):
    best = finished_dir / "best"
    network, adam = loaded(best)
    check_equal(network.get_weights(), checkpoint.load_network(best).get_weights())
    losses = [record["validation_loss"] for record in history(finished_dir)]
    assert int(adam.iterations) == 3 * (1 + int(np.argmin(losses)))
    assert float(adam.learning_rate) == pytest.approx(QUICK.learning_rate)
    assert all(np.asarray(moment).any() for moment in adam._momentums[:4])


def test_a_checkpoint_without_moments_leaves_adam_at_its_first_step(tmp_path):
    network = build_network(MINI)
    checkpoint.save_checkpoint(tmp_path / "start", network, MINI)
    _, adam = loaded(tmp_path / "start")
    assert int(adam.iterations) == 0


def test_another_wish_of_output_frames_is_the_same_network(finished_dir):
    config = dataclasses.replace(MINI, output_frames=512)
    network, _ = loaded(finished_dir / "best", config)
    expected = checkpoint.load_network(finished_dir / "best").get_weights()
    check_equal(network.get_weights(), expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"upsampling": "learned"}, "has upsampling=linear instead of learned$"),
        ({"num_levels": 3}, "has num_levels=1 instead of 3$"),
        (
            {"sample_rate_hz": 22050},
            r"sample_rate_hz=8000 instead of 22050 \(`reinit_output` allows for that\)",
        ),
    ],
)
def test_another_network_is_refused_with_the_field_that_differs(
    finished_dir, fields, message
):
    with pytest.raises(InputError, match=message):
        loaded(finished_dir / "best", dataclasses.replace(MINI, **fields))


def test_another_architecture_is_refused(finished_dir):
    with pytest.raises(InputError, match="must be of the same network"):
        loaded(finished_dir / "best", MINI_U7)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be a checkpoint"):
        loaded(tmp_path)


def test_a_network_for_other_sources_has_all_weights_but_the_outputs(finished_dir):
    config = dataclasses.replace(MINI, sources=("vocals", "drums", "other"))
    with pytest.raises(InputError, match="`reinit_output` allows"):
        loaded(finished_dir / "best", config)
    keras.utils.set_random_seed(11)
    fresh = weights_of_layers(build_network(config))
    keras.utils.set_random_seed(11)
    network, adam = loaded(finished_dir / "best", config, reinit_output=True)
    start = weights_of_layers(checkpoint.load_network(finished_dir / "best"))
    of_start = 0
    for name, arrays in weights_of_layers(network).items():
        is_output = name.startswith("output_")
        check_equal(arrays, fresh[name] if is_output else start[name])
        of_start += bool(arrays) and not is_output
    assert of_start == 2 * MINI.num_levels + 1
    assert int(adam.iterations) == 0


def test_a_deeper_network_is_refused_even_with_new_outputs(finished_dir):
    config = dataclasses.replace(MINI, num_levels=3, sources=("a", "b"))
    with pytest.raises(InputError, match="has num_levels=1 instead of 3$"):
        loaded(finished_dir / "best", config, reinit_output=True)


def test_u7_keeps_the_whole_net_of_each_source_that_it_had(tmp_path):
    checkpoint.save_checkpoint(tmp_path / "start", build_network(MINI_U7), MINI_U7)
    config = dataclasses.replace(MINI_U7, sources=("vocals", "drums"))
    network, _ = loaded(tmp_path / "start", config, reinit_output=True)
    start = weights_of_layers(checkpoint.load_network(tmp_path / "start"))
    weights = weights_of_layers(network)
    check_equal(weights["vocals_down_0"], start["vocals_down_0"])
    assert (weights["vocals_mask"][0] != start["vocals_mask"][0]).all()


DEEPER = dataclasses.replace(MINI, num_levels=2)


@pytest.fixture
def excerpts_of_data(kept_stems_dir):
    tracks = prepared.load_prepared(kept_stems_dir, DEEPER, "train")
    eight = dataclasses.replace(QUICK, batch_size=8)
    return next(iter(excerpts.random_excerpts(tracks, DEEPER, eight)))


@pytest.mark.parametrize(
    "fields",
    [{}, {"upsampling": "learned"}, {"output_activation": "linear"}],
    ids=["linear", "learned", "without tanh"],
)
def test_each_layer_gets_features_of_variance_one_and_outputs_their_sources(
    excerpts_of_data, fields
):
    mixture, targets = excerpts_of_data
    network = build_network(dataclasses.replace(DEEPER, **fields))
    scale_to_unit_variance(network, mixture, targets)
    heard = []
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv1D):
            features = keras.Model(network.input, layer.output)(mixture)
            source = layer.name.partition("output_")[2]
            level = float(np.std(targets[source])) if source else 1.0
            assert float(np.std(features)) == pytest.approx(level, rel=0.011)
            heard.append(layer.name)
    assert len(heard) == 2 * DEEPER.num_levels + 2


def test_silence_scales_nothing(excerpts_of_data):
    mixture, targets = excerpts_of_data
    network = build_network(DEEPER)
    before = network.get_weights()
    silent = {name: 0 * target for name, target in targets.items()}
    scale_to_unit_variance(network, 0 * mixture, silent)
    check_equal(network.get_weights(), before)
