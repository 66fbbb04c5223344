import dataclasses

import keras
import numpy as np
import pytest

from benchmarks.training_parts import TensorFlowParts, use_plain_port
from tests.training.trainings import MINI, QUICK
from waveunet_tf.networks import fused, layers, shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.training.losses import mean_squared_error


@pytest.fixture
def plain_port(monkeypatch):
    """Replaces our layers by the plain port's when called; the test's end undoes it."""
    for owner, name in [
        (layers.Decimate, "call"),
        (layers.LinearInterpolation, "call"),
        (layers.LearnedInterpolation, "call"),
        (layers, "window"),
        (fused, "training_pass"),
    ]:
        monkeypatch.setattr(owner, name, getattr(owner, name))
    return use_plain_port


def batch_of(config):
    """A mixture and its sources of noise, `(batch, frames, channels)` each."""
    window = shapes.window_frames(config)
    generator = np.random.default_rng(5)
    mixture = generator.normal(0, 0.1, (2, window.input_frames, config.channels))
    shape = (2, window.output_frames, config.channels)
    targets = {name: generator.normal(0, 0.1, shape) for name in config.sources}
    return mixture.astype("f"), {
        name: target.astype("f") for name, target in targets.items()
    }


@pytest.mark.parametrize(
    "fields",
    [{}, {"upsampling": "learned"}, {"context": False}],
    ids=["linear", "learned", "without context"],
)
def test_the_plain_port_computes_what_our_network_computes(plain_port, fields):
    config = dataclasses.replace(MINI, num_levels=2, **fields)
    mixture, _ = batch_of(config)
    keras.utils.set_random_seed(4)
    ours = fused.training_pass(config, build_network(config))(mixture)
    plain_port()
    keras.utils.set_random_seed(4)
    port = fused.training_pass(config, build_network(config))(mixture)
    for source, estimate in ours.items():
        assert float(np.std(estimate)) > 0.01
        np.testing.assert_allclose(port[source], estimate, atol=1e-5)


@pytest.mark.slow
def test_the_parts_are_those_of_one_training_step():
    keras.utils.set_random_seed(4)
    parts = TensorFlowParts(MINI, QUICK, compiled=False)
    keras.utils.set_random_seed(4)
    network = build_network(MINI)
    mixture, targets = batch_of(MINI)
    ones = np.ones((2, shapes.window_frames(MINI).output_frames, 1), "f")
    expected = float(mean_squared_error(targets, network(mixture), ones))
    assert parts.forward(mixture, targets) == pytest.approx(expected, rel=1e-5)
    loss, gradients = parts.gradients(mixture, targets)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert len(gradients) == len(network.trainable_variables)
    assert parts.step(mixture, targets).loss == pytest.approx(expected, rel=1e-5)
    for _ in range(5):
        parts.step(mixture, targets)
    assert parts.forward(mixture, targets) < expected
