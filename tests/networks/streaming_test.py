import dataclasses

import keras
import numpy as np
import pytest

from tests.original import LONGER_INPUTS
from waveunet_tf.configs.networks import VARIANTS, WaveUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes, streaming
from waveunet_tf.networks.build import build_network

BASE = WaveUNetConfig(num_levels=3, base_filters=4, output_frames=8)
MATRIX = [
    {},
    {"num_levels": 1},
    {"num_levels": 2, "down_kernel_size": 5, "up_kernel_size": 1},
    {"num_levels": 5, "down_kernel_size": 5, "up_kernel_size": 3},
    {"num_levels": 4, "down_kernel_size": 7, "up_kernel_size": 7},
    {"down_kernel_size": 3, "up_kernel_size": 9},
    {"down_kernel_size": 1, "up_kernel_size": 1},
    {"output_kernel_size": 5},
    {"output_kernel_size": 3, "output_type": "direct", "output_activation": "linear"},
    {"upsampling": "learned", "sources": ("bass", "drums", "other", "vocals")},
    {"channels": 1, "output_activation": "linear", "upsampling": "learned"},
]


def random_network(config):
    """A network whose biases matter, so that silence is not zero inside."""
    keras.utils.set_random_seed(3)
    network = build_network(config)
    generator = np.random.default_rng(3)
    for weight in network.weights:
        if weight.name == "bias":
            weight.assign(generator.normal(0, 0.3, weight.shape))
    return network


def one_pass(config, network, song):
    """The network over the whole song with silence around it."""
    stride = 2**config.num_levels
    window = shapes.window_frames(config, -(-len(song) // stride) * stride)
    before = window.context_frames
    after = window.input_frames - before - len(song)
    estimates = network(np.pad(song, ((before, after), (0, 0)))[None])
    return {name: np.asarray(stem)[0, : len(song)] for name, stem in estimates.items()}


def stream(streaming_network, song, chunk_frames):
    """The song in chunks of these sizes, in turn, then silence until all is out."""
    latency = streaming_network.plan.latency_frames
    state = streaming_network.silent_state()
    blocks, position, turn = [], 0, 0
    while position < len(song) + latency:
        frames = chunk_frames[turn % len(chunk_frames)]
        chunk = song[position : position + frames]
        chunk = np.pad(chunk, ((0, frames - len(chunk)), (0, 0)))
        sources, state = streaming_network.step(chunk[None].astype("f"), state)
        blocks.append({name: np.asarray(stem)[0] for name, stem in sources.items()})
        position, turn = position + frames, turn + 1
    whole = slice(latency, latency + len(song))
    return {
        name: np.concatenate([block[name] for block in blocks])[whole]
        for name in blocks[0]
    }


@pytest.mark.parametrize("change", MATRIX, ids=str)
def test_streaming_equals_one_pass_at_any_chunk(change):
    config = dataclasses.replace(BASE, **change)
    network = random_network(config)
    streaming_network = streaming.StreamingNetwork(config, network)
    song = np.random.default_rng(0).normal(0, 0.5, (1003, config.channels))
    expected = one_pass(config, network, song)
    multiple = streaming_network.chunk_multiple
    for turns in ([1], [4], [1, 3, 2, 64 // multiple + 1], [2000 // multiple + 1]):
        stems = stream(streaming_network, song, [multiple * turn for turn in turns])
        assert list(stems) == list(config.sources)
        for name, stem in stems.items():
            np.testing.assert_allclose(stem, expected[name], atol=1e-5)


@pytest.mark.parametrize("name", LONGER_INPUTS)
def test_streaming_follows_the_crops_of_a_longer_input(name):
    config = LONGER_INPUTS[name].config()
    network = random_network(config)
    streaming_network = streaming.StreamingNetwork(config, network)
    song = np.random.default_rng(0).normal(0, 0.5, (1203, config.channels))
    expected = one_pass(config, network, song)
    multiple = streaming_network.chunk_multiple
    for turns in ([1], [2, 1, 3]):
        stems = stream(streaming_network, song, [multiple * turn for turn in turns])
        for source, stem in stems.items():
            np.testing.assert_allclose(stem, expected[source], atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 7, 8, 9])
def test_streaming_equals_one_pass_for_short_songs(frames):
    network = random_network(BASE)
    song = np.random.default_rng(1).normal(0, 0.5, (frames, 2))
    stems = stream(streaming.StreamingNetwork(BASE, network), song, [8])
    for name, stem in one_pass(BASE, network, song).items():
        np.testing.assert_allclose(stems[name], stem, atol=1e-5)


def test_a_batch_streams_as_its_songs_alone():
    network = streaming.StreamingNetwork(BASE, random_network(BASE))
    songs = np.random.default_rng(2).normal(0, 0.5, (2, 64, 2)).astype("f")
    together, _ = network.step(songs, network.silent_state(2))
    for number in range(2):
        alone, _ = network.step(songs[number : number + 1], network.silent_state())
        for name, stem in alone.items():
            np.testing.assert_allclose(together[name][number], stem[0], atol=1e-6)


def test_the_states_size_does_not_depend_on_the_song_or_the_chunk():
    network = streaming.StreamingNetwork(BASE, random_network(BASE))
    state = network.silent_state()
    expected = {name: value.shape for name, value in state.items()}
    for frames in (8, 64, 16, 1024):
        chunk = np.zeros((1, frames, 2), np.float32)
        _, state = network.step(chunk, state)
        assert {name: tuple(value.shape) for name, value in state.items()} == expected


def test_silence_stays_as_it_is():
    network = streaming.StreamingNetwork(BASE, random_network(BASE))
    before = network.silent_state()
    _, after = network.step(np.zeros((1, 64, 2), np.float32), before)
    for name, value in after.items():
        np.testing.assert_allclose(np.asarray(value), before[name], atol=1e-6)


def test_m4_has_the_designs_latency_and_state():
    config = VARIANTS["M4"]
    plan = shapes.stream_plan(config)
    assert plan.latency_frames == plan.mixture_delay == 65531
    network = streaming.StreamingNetwork(config, build_network(config))
    state = network.silent_state()
    assert sum(array.nbytes for array in state.values()) == pytest.approx(
        25.7e6, rel=0.01
    )


@pytest.mark.parametrize("change", [{"context": False}, {"upsampling": "transposed"}])
def test_a_network_that_cannot_stream_is_refused(change):
    config = dataclasses.replace(BASE, **change)
    with pytest.raises(InputError, match="A stream needs a network with `context`"):
        streaming.StreamingNetwork(config, build_network(config))
