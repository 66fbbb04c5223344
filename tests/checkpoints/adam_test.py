import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from waveunet_tf.checkpoints import adam
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError


def small_network(*units):
    """Dense layers of these widths, with weights that are the same at each call."""
    keras.utils.set_random_seed(3)
    inputs = keras.Input((2,))
    outputs = inputs
    for count in units:
        outputs = keras.layers.Dense(count)(outputs)
    return keras.Model(inputs, outputs)


def gradients_of(network, seed, scale=1.0):
    generator = np.random.default_rng(seed)
    return [
        (scale * generator.normal(size=weight.shape)).astype(np.float32)
        for weight in network.trainable_variables
    ]


def apply(optimizer, network, seed):
    gradients = map(tf.constant, gradients_of(network, seed))
    optimizer.apply(list(gradients), network.trainable_variables)


def trained_adam(network, steps, rate=1e-2):
    optimizer = adam.build_adam(TrainingConfig(learning_rate=rate))
    for step in range(steps):
        apply(optimizer, network, step)
    return optimizer


@pytest.mark.parametrize("scale", [1.0, 1e-7])
def test_adam_steps_as_tensorflow_1_does(scale):
    """Gradients as small as epsilon show which epsilon it is."""
    network = small_network(3)
    before = network.get_weights()
    gradients = [gradients_of(network, seed, scale) for seed in range(3)]
    with tf.Graph().as_default():
        theirs = [tf.compat.v1.Variable(value) for value in before]
        optimizer = tf.compat.v1.train.AdamOptimizer(1e-2)
        steps = [
            optimizer.apply_gradients(zip(map(tf.constant, each), theirs))
            for each in gradients
        ]
        with tf.compat.v1.Session() as session:
            session.run(tf.compat.v1.global_variables_initializer())
            for step in steps:
                session.run(step)
            expected = session.run(theirs)
    ours = adam.build_adam(TrainingConfig(learning_rate=1e-2))
    for each in gradients:
        ours.apply([*map(tf.constant, each)], network.trainable_variables)
    for weight, value, first in zip(network.get_weights(), expected, before):
        moved = weight - first
        np.testing.assert_allclose(moved, value - first, rtol=1e-3, atol=1e-7)
        assert np.abs(moved).max() > 1e-3


def test_a_subclass_is_built_with_the_same_settings():
    class Other(keras.optimizers.Adam):
        pass

    optimizer = adam.build_adam(TrainingConfig(learning_rate=0.125), Other)
    assert type(optimizer) is Other
    assert float(optimizer.learning_rate) == 0.125


def test_loaded_moments_continue_as_if_there_had_been_no_stop(tmp_path):
    whole, parts = small_network(3, 1), small_network(3, 1)
    trained_adam(whole, 5)
    adam.save_moments(tmp_path / "a.h5", trained_adam(parts, 3))
    resumed = adam.build_adam(TrainingConfig(learning_rate=1e-2))
    assert adam.load_moments(tmp_path / "a.h5", parts, resumed)
    assert int(resumed.iterations) == 3
    for step in (3, 4):
        apply(resumed, parts, step)
    for ours, theirs in zip(parts.get_weights(), whole.get_weights()):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_loading_moments_keeps_the_new_learning_rate(tmp_path):
    network = small_network(3)
    adam.save_moments(tmp_path / "a.h5", trained_adam(network, 1, rate=0.5))
    optimizer = adam.build_adam(TrainingConfig(learning_rate=0.25))
    adam.load_moments(tmp_path / "a.h5", network, optimizer)
    assert float(optimizer.learning_rate) == 0.25


def test_without_a_file_adam_stays_as_it_was(tmp_path):
    network = small_network(3)
    optimizer = trained_adam(network, 2)
    before = [variable.numpy() for variable in optimizer.variables]
    assert not adam.load_moments(tmp_path / "missing.h5", network, optimizer)
    for variable, value in zip(optimizer.variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_moments_of_another_network_are_refused_by_their_file(tmp_path):
    path = tmp_path / "a.h5"
    adam.save_moments(path, trained_adam(small_network(3), 1))
    other = small_network(4)
    with pytest.raises(InputError, match=f"^{path}: must hold the config's 6 arrays"):
        adam.load_moments(path, other, adam.build_adam(TrainingConfig()))
    with h5py.File(path, "r+") as file:  # and one of an unknown optimizer's arrays
        file.create_dataset("more", data=np.zeros(7))
    with pytest.raises(InputError, match=r"7 arrays, one of them of shape \(7,\)"):
        adam.load_moments(path, small_network(3), adam.build_adam(TrainingConfig()))


def test_a_cut_file_of_moments_is_refused_in_one_line(tmp_path):
    path = tmp_path / "a.h5"
    adam.save_moments(path, trained_adam(small_network(3), 1))
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError) as error:
        adam.load_moments(path, small_network(3), adam.build_adam(TrainingConfig()))
    assert str(error.value).startswith(f"{path}: must be whole, but is broken")
    assert "\n" not in str(error.value)


def test_moments_of_another_file_are_refused_and_adam_is_as_before(tmp_path):
    path, other = tmp_path / "a.h5", tmp_path / "b.h5"
    for place in (path, other):
        adam.save_moments(place, trained_adam(small_network(3), 1))
    network = small_network(3)
    optimizer = trained_adam(network, 2)
    before = [variable.numpy() for variable in optimizer.variables]
    with h5py.File(path, "r+") as file:
        name = max(file, key=lambda name: file[name].size)
        shape = file[name].shape
        del file[name]
        layout = h5py.VirtualLayout(shape, "f4")
        layout[...] = h5py.VirtualSource(str(other), name, shape)
        file.create_virtual_dataset(name, layout)
    with pytest.raises(InputError, match=f"^{path}: must hold its arrays itself"):
        adam.load_moments(path, network, optimizer)
    for variable, value in zip(optimizer.variables, before):
        np.testing.assert_array_equal(variable.numpy(), value)
