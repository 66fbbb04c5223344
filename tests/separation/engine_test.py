"""Every engine plays the part of `engine.Engine`; the server's are in client_test."""

import dataclasses
import inspect

import numpy as np
import pytest

from tests.separation import numpy_engine
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.export.serving import client
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.separation import engines, litert
from waveunet_tf.separation.engine import Engine

# With the other tests of kept_checkpoint's conversions.
pytestmark = pytest.mark.xdist_group("separator")

CLASSES = [
    engines.TensorFlowEngine,
    litert.LiteRTEngine,
    client._StreamEngine,
    client._RequestEngine,
    numpy_engine.DelayEngine,
    numpy_engine.ShareEngine,
]


@pytest.fixture(scope="module", params=["tensorflow", "litert"])
def engine(request, kept_checkpoint):
    opened = checkpoint.Checkpoint.open(kept_checkpoint)
    return engines.load_engine(opened, engine=request.param, chunk_frames=20)


def inputs_of(engine):
    generator = np.random.default_rng(0)
    return {
        name: generator.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in engine.input_shapes.items()
    }


def test_an_engine_says_what_a_step_takes(engine, tiny_config):
    assert engine.name in ("tensorflow", "litert")
    assert engine.input_shapes["mixture"] == (1, 16, 2)
    frames = shapes.stream_state_frames(tiny_config, 16)
    states = {name for name in engine.input_shapes if name != "mixture"}
    assert states == {f"state_{name}" for name in frames}
    assert set(engine.silence) == states
    for name in states:
        count, features = engine.input_shapes[name][1:]
        assert engine.silence[name].shape == (1, 1, features)
        assert count == frames[name.removeprefix("state_")]


def test_a_step_gives_each_source_and_the_state_that_it_took(engine, tiny_config):
    outputs = engine(**inputs_of(engine))
    shapes_ = {name: np.shape(value) for name, value in outputs.items()}
    for source in tiny_config.sources:
        assert shapes_.pop(source) == (1, 16, 2)
    assert {"mixture": (1, 16, 2), **shapes_} == engine.input_shapes


def test_a_step_depends_on_nothing_but_its_arrays(engine):
    inputs = inputs_of(engine)
    first = {name: np.array(value) for name, value in engine(**inputs).items()}
    engine(**{name: 0 * value for name, value in inputs.items()})
    for name, value in engine(**inputs).items():
        np.testing.assert_array_equal(np.asarray(value), first[name])


def test_silence_stays_silence(engine):
    """A step from silence, of silence, gives the state of silence again."""
    state = {
        name: np.tile(value, (1, engine.input_shapes[name][1], 1))
        for name, value in engine.silence.items()
    }
    outputs = engine(mixture=np.zeros((1, 16, 2), np.float32), **state)
    for name, before in state.items():
        np.testing.assert_allclose(np.asarray(outputs[name]), before, atol=1e-6)


def test_a_window_has_no_state(tiny_config, tmp_path):
    config = dataclasses.replace(tiny_config, context=False, num_levels=1)
    checkpoint.save_checkpoint(tmp_path, build_network(config), config)
    opened = checkpoint.Checkpoint.open(tmp_path)
    engine = engines.load_engine(opened, engine="tensorflow")
    assert engine.input_shapes == {"mixture": (1, 256, 2)}
    assert engine.silence == {}
    outputs = engine(mixture=np.zeros((1, 256, 2), np.float32))
    assert {name: np.shape(value) for name, value in outputs.items()} == dict.fromkeys(
        config.sources, (1, 256, 2)
    )


@pytest.mark.parametrize("played", CLASSES, ids=lambda played: played.__name__)
def test_every_engine_has_the_parts_of_the_protocol(played):
    body = inspect.getsource(played)
    for name in Engine.__annotations__:
        assert (
            f"self.{name} = " in body
            or f"self.{name}: " in body
            or (name in vars(played))
        ), name
    first, *parameters = inspect.signature(played.__call__).parameters.values()
    assert first.name == "self"
    # The mixture and the state are passed by name.
    assert all(
        parameter.name == "mixture" or parameter.kind is parameter.VAR_KEYWORD
        for parameter in parameters
    )
