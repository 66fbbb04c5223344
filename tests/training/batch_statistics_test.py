import keras
import pytest

from tests.training.trainings import MINI, MINI_U7
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network
from waveunet_tf.training.batch_statistics import normalise_over_all


@pytest.mark.parametrize("replicas", [1, 2])
def test_layers_sum_over_devices_where_there_are_several(replicas):
    network = build_network(MINI_U7)
    normalise_over_all(network, ComputeConfig(), replicas=replicas)
    layers = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert layers
    assert {layer.synchronized for layer in layers} == {replicas > 1}


def test_only_a_network_that_normalises_no_batches_takes_them_in_parts():
    parts = ComputeConfig(accumulate_steps=2)
    normalise_over_all(build_network(MINI), parts, replicas=2)
    with pytest.raises(InputError, match="`accumulate_steps` must be 1 .* Received: 2"):
        normalise_over_all(build_network(MINI_U7), parts, replicas=1)


def test_xla_compiles_it_on_one_device_only():
    compiled = ComputeConfig(jit_compile=True)
    normalise_over_all(build_network(MINI), compiled, replicas=2)
    normalise_over_all(build_network(MINI_U7), compiled, replicas=1)
    with pytest.raises(InputError, match="`jit_compile` must be off for this network"):
        normalise_over_all(build_network(MINI_U7), compiled, replicas=2)
