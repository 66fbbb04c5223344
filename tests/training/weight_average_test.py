import keras
import numpy as np
import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.training.weight_average import WeightAverage


def network_of(value):
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    network.set_weights([np.full((1, 2), value, "f"), np.zeros(2, "f")])
    return network


def averaged(average, network):
    with average.within(network):
        return float(network.get_weights()[0][0, 0])


def test_averages_follow_the_weights_by_the_momentum():
    network, average = network_of(0.0), WeightAverage(0.9)
    expected = 0.0
    for update, value in enumerate([0.0, 1.0, 1.0, 5.0, *[2.0] * 30]):
        network.set_weights([np.full((1, 2), value, "f"), np.zeros(2, "f")])
        for step in range(10 * update + 1, 10 * update + 11):
            average.end_step(step, network)
        momentum = min(0.9**10, (1 + update) / (10 + update)) if update else 0
        expected = momentum * expected + (1 - momentum) * value
        assert averaged(average, network) == pytest.approx(expected, rel=1e-5)
    assert network.get_weights()[0][0, 0] == 2  # its own are back


def test_without_momentum_the_weights_are_their_own_averages():
    network, average = network_of(3.0), WeightAverage(0.0)
    average.end_step(10, network)
    assert averaged(average, network) == 3


def test_averages_go_on_after_they_were_saved(tmp_path):
    network, average = network_of(1.0), WeightAverage(0.99)
    average.end_step(10, network)
    network = network_of(2.0)
    average.end_step(20, network)
    average.save(tmp_path / "averages.npz")
    other = WeightAverage(0.99)
    other.load(tmp_path / "averages.npz", network)
    for one in (average, other):
        one.end_step(30, network)
    assert averaged(other, network) == averaged(average, network)
    assert 1 < averaged(other, network) < 2


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"PK\x03\x04"), None])
def test_broken_averages_or_those_of_another_network_are_refused(tmp_path, spoil):
    average = WeightAverage(0.99)
    average.end_step(10, network_of(1.0))
    path = tmp_path / "averages.npz"
    average.save(path)
    other = network_of(1.0)
    if spoil:
        spoil(path)
    else:
        other = keras.Sequential([keras.Input((1,)), keras.layers.Dense(3)])
    with pytest.raises(InputError, match="averages.npz: must be"):
        average.load(path, other)
