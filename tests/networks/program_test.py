import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from waveunet_tf.configs.networks import SpectrogramUNetConfig, WaveUNetConfig
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.networks.fused import FusedLayers
from waveunet_tf.networks.program import build_program

STREAM = WaveUNetConfig(num_levels=3, base_filters=3, output_frames=64)


@functools.cache
def loud_network(config):
    """A network whose biases matter, so that silence is not zero inside.

    It is built once: tests must not change it.
    """
    keras.utils.set_random_seed(5)
    network = build_network(config)
    generator = np.random.default_rng(5)
    for weight in network.weights:
        if weight.name == "bias":
            weight.assign(generator.normal(0, 0.3, weight.shape))
    return network


def song_of(frames, channels=2):
    return np.random.default_rng(6).normal(0, 0.4, (frames, channels)).astype("f")


def run(program, song, call=None):
    """A song and silence after it, by the names of a program's arrays alone."""
    _, chunk_frames, channels = program.input_shapes["mixture"]
    state = {
        name: np.tile(program.silence[name], (1, program.input_shapes[name][1], 1))
        for name in program.input_shapes
        if name != "mixture"
    }
    blocks = []
    for start in range(0, 2 * len(song), chunk_frames):
        chunk = song[start : start + chunk_frames]
        mixture = np.zeros((1, chunk_frames, channels), np.float32)
        mixture[0, : len(chunk)] = chunk
        arrays = (call or program.function)(mixture=mixture, **state)
        state = {name: arrays.pop(name) for name in state}
        blocks.append({name: np.asarray(arrays[name])[0] for name in arrays})
    return {name: np.concatenate([b[name] for b in blocks]) for name in blocks[0]}


def one_pass(config, network, song):
    window = shapes.window_frames(config, len(song))
    before = window.context_frames
    after = window.input_frames - before - len(song)
    estimates = network(np.pad(song, ((before, after), (0, 0)))[None])
    return {name: np.asarray(stem)[0, : len(song)] for name, stem in estimates.items()}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"output_type": "direct", "output_kernel_size": 3},
        # Sources that are called as layers and states are.
        {"sources": ("down_0", "bottleneck", "output", "delay_mixture")},
    ],
    ids=["difference", "direct", "names"],
)
def test_a_stream_of_steps_equals_one_pass(change):
    config = dataclasses.replace(STREAM, **change)
    network, song = loud_network(config), song_of(320)
    program = build_program(config, network, 64, whole_delays=True)
    stems = run(program, song)
    assert set(stems) == set(config.sources)
    latency = shapes.stream_plan(config).latency_frames
    for name, expected in one_pass(config, network, song).items():
        np.testing.assert_allclose(
            stems[name][latency : latency + 320], expected, atol=1e-5
        )


def test_a_graph_of_the_step_computes_what_it_does():
    network, song = loud_network(STREAM), song_of(200)
    program = build_program(STREAM, network, 64, whole_delays=True)
    stems, traced = (
        run(program, song),
        run(program, song, tf.function(program.function)),
    )
    for name in stems:
        np.testing.assert_allclose(stems[name], traced[name], atol=1e-5)


def test_every_array_of_the_state_comes_back_in_its_shape():
    program = build_program(STREAM, loud_network(STREAM), 64)
    inputs = {
        name: np.zeros(shape, np.float32)
        for name, shape in program.input_shapes.items()
    }
    outputs = program.function(**inputs)
    states = set(program.input_shapes) - {"mixture"}
    assert states == set(program.silence)
    assert all(name.startswith("state_") for name in states)
    assert set(outputs) == {*states, *STREAM.sources}
    for name in states:
        assert outputs[name].shape == program.input_shapes[name]
        assert program.silence[name].shape == (1, 1, program.input_shapes[name][2])


def test_silence_stays_silence():
    """The state after silence is the one before it, whatever the biases are."""
    program = build_program(STREAM, loud_network(STREAM), 64, whole_delays=True)
    state = {
        name: np.tile(value, (1, program.input_shapes[name][1], 1))
        for name, value in program.silence.items()
    }
    after = program.function(mixture=np.zeros((1, 64, 2), np.float32), **state)
    for name, before in state.items():
        np.testing.assert_allclose(after[name], before, atol=1e-5)


@pytest.mark.parametrize(
    ("wished", "frames"), [(1, 8), (8, 8), (15, 8), (16, 16), (100, 96)]
)
def test_a_chunk_has_a_multiple_of_2_to_the_levels(wished, frames):
    program = build_program(STREAM, loud_network(STREAM), wished)
    assert program.input_shapes["mixture"] == (1, frames, 2)


def test_only_the_frames_that_are_due_of_a_delay_travel_unless_all_shall():
    network = loud_network(STREAM)
    due = build_program(STREAM, network, 16).input_shapes
    whole = build_program(STREAM, network, 16, whole_delays=True).input_shapes
    assert set(due) == set(whole)
    for name in due:
        if not name.startswith("state_delay"):
            assert due[name] == whole[name]
    for level in range(3):
        name = f"state_delay_{level}"
        if name in due:
            assert due[name][1] == min(whole[name][1], 16 >> level)
    assert due["state_delay_0"][1] < whole["state_delay_0"][1]


def test_the_layers_may_be_of_another_class():
    called = []

    class Noting(FusedLayers):
        def convolve(self, name, inputs):
            called.append(name)
            return FusedLayers.convolve(self, name, inputs)

    program = build_program(STREAM, loud_network(STREAM), 64, layers=Noting)
    inputs = {
        name: np.zeros(shape, np.float32)
        for name, shape in program.input_shapes.items()
    }
    program.function(**inputs)
    assert called == [
        *("down_0", "down_1", "down_2", "bottleneck", "output_accompaniment")
    ]


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(STREAM, context=False),
        dataclasses.replace(STREAM, upsampling="transposed"),
        SpectrogramUNetConfig(
            num_levels=2,
            base_filters=2,
            fft_frames=32,
            hop_frames=24,
            output_frames=104,
        ),
    ],
    ids=["no context", "transposed", "spectrogram"],
)
def test_without_a_stream_a_program_is_the_network_over_a_window(config):
    network = loud_network(config)
    program = build_program(config, network, 64)
    assert list(program.input_shapes) == ["mixture"]
    assert program.silence == {}
    batch, frames, channels = program.input_shapes["mixture"]
    window = shapes.song_windows(config, 64).window
    assert (batch, frames, channels) == (1, window.input_frames, config.channels)
    mixture = song_of(frames, channels)[None]
    stems, expected = program.function(mixture=mixture), network(mixture)
    for name in config.sources:
        assert stems[name].shape == (1, window.output_frames, channels)
        np.testing.assert_array_equal(stems[name], expected[name])
