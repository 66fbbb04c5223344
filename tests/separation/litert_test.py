import concurrent.futures
import os
import sys
import threading
import time

import numpy as np
import pytest

from waveunet_tf.networks.program import Program
from waveunet_tf.separation import litert, litert_conversion


@pytest.fixture(scope="module")
def content():
    """A model that adds its state to the mixture, and keeps the mixture as state."""

    def step(mixture, state_a):
        return {"vocals": mixture + state_a, "state_a": mixture}

    shapes = {"mixture": (1, 4, 2), "state_a": (1, 4, 2)}
    silence = {"state_a": np.full((1, 1, 2), 0.5, np.float32)}
    return litert_conversion.convert_program(Program(step, shapes, silence), [])


@pytest.fixture(scope="module")
def engine(content):
    return litert.LiteRTEngine(content, chunk_frames=4, threads=1)


def test_an_engine_says_what_a_step_takes(engine):
    assert engine.name == "litert"
    assert engine.chunk_frames == 4
    assert engine.input_shapes == {"mixture": (1, 4, 2), "state_a": (1, 4, 2)}
    np.testing.assert_array_equal(engine.silence["state_a"], np.full((1, 1, 2), 0.5))


def test_a_step_gives_sources_and_state(engine):
    mixture = np.arange(8, dtype=np.float32).reshape(1, 4, 2)
    outputs = engine(mixture=mixture, state_a=np.ones((1, 4, 2), np.float32))
    np.testing.assert_array_equal(outputs["vocals"], mixture + 1)
    np.testing.assert_array_equal(outputs["state_a"], mixture)


def test_a_model_without_state_has_no_silence():
    program = Program(lambda mixture: {"a": 2 * mixture}, {"mixture": (1, 3, 1)}, {})
    content = litert_conversion.convert_program(program, [])
    engine = litert.LiteRTEngine(content, chunk_frames=3, threads=1)
    assert engine.silence == {}
    (outputs,) = engine(mixture=np.ones((1, 3, 1), np.float32)).values()
    np.testing.assert_array_equal(outputs, np.full((1, 3, 1), 2))


def test_steps_of_several_threads_do_not_mix(engine):
    state = np.zeros((1, 4, 2), np.float32)
    mixtures = [np.full((1, 4, 2), number, np.float32) for number in range(50)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda x: engine(mixture=x, state_a=state), mixtures)
        for mixture, outputs in zip(mixtures, results):
            np.testing.assert_array_equal(outputs["vocals"], mixture)


def test_results_stay_when_the_next_step_is_computed(engine):
    state = np.zeros((1, 4, 2), np.float32)
    first = engine(mixture=state + 1, state_a=state)["vocals"]
    engine(mixture=state + 2, state_a=state)
    np.testing.assert_array_equal(first, state + 1)


def test_the_runtime_is_tensorflows_where_litert_is_not_installed(monkeypatch, content):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    interpreter, schema = litert.runtime()
    assert interpreter.__name__.startswith("tensorflow")
    assert schema.ModelT.InitFromPackedBuf(bytearray(content), 0).subgraphs


def test_what_native_code_writes_to_stderr_is_silenced(capfd):
    with litert.quiet():
        os.write(2, b"native noise")
    os.write(2, b"a message")
    assert capfd.readouterr().err == "a message"


def test_stderr_is_back_after_an_error(capfd):
    with pytest.raises(ValueError):
        with litert.quiet():
            raise ValueError
    os.write(2, b"a message")
    assert capfd.readouterr().err == "a message"


def test_bodies_that_overlap_in_threads_leave_stderr_as_it_was(capfd):
    before = os.fstat(2)
    together = threading.Barrier(16)

    def overlap(number):
        random = np.random.default_rng(number)
        together.wait()
        for _ in range(100):
            with litert.quiet():
                os.write(2, b"said by a library")
                time.sleep(random.uniform(0, 2e-4))

    descriptors = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(overlap, range(16)))
    assert os.path.samestat(os.fstat(2), before)
    os.write(2, b"said by us")
    assert capfd.readouterr().err == "said by us"
    if descriptors:
        assert len(os.listdir("/proc/self/fd")) == len(descriptors)


def test_a_body_that_fails_or_lies_in_another_leaves_stderr_as_it_was(capfd):
    with pytest.raises(KeyError), litert.quiet(), litert.quiet():
        os.write(2, b"said by a library")
        raise KeyError
    os.write(2, b"said by us")
    assert capfd.readouterr().err == "said by us"
