import dataclasses

import numpy as np
import pytest

from tests.networks.small_networks import (
    BASE,
    MATRIX,
    kept_network,
    one_pass,
    stream,
)
from tests.original import LONGER_INPUTS
from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes, streaming
from waveunet_tf.networks.build import build_network

# They share networks.
pytestmark = pytest.mark.xdist_group("small_networks")


@pytest.fixture(scope="module")
def network():
    """A network of BASE, which no test changes."""
    return kept_network(BASE)


@pytest.fixture(scope="module")
def streaming_network(network):
    """The stream of that network."""
    return streaming.StreamingNetwork(BASE, network)


def noise(frames, channels, seed=0):
    return np.random.default_rng(seed).normal(0, 0.5, (frames, channels)).astype("f")


def check_stream(streaming_network, network, song, turns):
    """Compares the stream, in chunks of these multiples in turn, with one pass."""
    config = streaming_network.config
    multiple = streaming_network.chunk_multiple
    stems = stream(streaming_network, song, [multiple * turn for turn in turns])
    assert list(stems) == list(config.sources)
    for name, stem in one_pass(config, network, song).items():
        assert stem.shape == song.shape
        np.testing.assert_allclose(stems[name], stem, atol=1e-5)


@pytest.mark.parametrize("change", MATRIX, ids=str)
def test_streaming_equals_one_pass_at_any_chunk(change):
    config = dataclasses.replace(BASE, **change)
    network = kept_network(config)
    streaming_network = streaming.StreamingNetwork(config, network)
    song = noise(203, config.channels)
    # Delays longer and shorter than their chunk, and the whole song at once.
    several = max(96 // streaming_network.chunk_multiple, 1)
    check_stream(streaming_network, network, song, [1, several, 3, several + 1])
    check_stream(streaming_network, network, song, [600])


def test_streaming_equals_one_pass_in_the_shortest_chunks(network, streaming_network):
    check_stream(streaming_network, network, noise(40, 2), [1])


@pytest.mark.parametrize("name", LONGER_INPUTS)
def test_streaming_follows_the_crops_of_a_longer_input(name):
    config = LONGER_INPUTS[name].config()
    network = kept_network(config)
    streaming_network = streaming.StreamingNetwork(config, network)
    turns = [max(96 // 2**config.num_levels, 1), 1]
    check_stream(streaming_network, network, noise(203, config.channels), turns)


@pytest.mark.parametrize("frames", [1, 7, 8, 9])
def test_streaming_equals_one_pass_for_short_songs(network, streaming_network, frames):
    check_stream(streaming_network, network, noise(frames, 2, seed=1), [4])


@pytest.mark.parametrize(
    "config",
    [
        BASE,
        dataclasses.replace(BASE, num_levels=2, down_kernel_size=5, up_kernel_size=1),
        *(LONGER_INPUTS[name].config() for name in list(LONGER_INPUTS)[:2]),
    ],
    ids=["even", "small filters", *list(LONGER_INPUTS)[:2]],
)
def test_a_part_of_a_song_depends_on_no_more_than_the_plans_context(config):
    network = kept_network(config)
    stride = 2**config.num_levels
    context = shapes.stream_plan(config).context_frames
    song = noise(2 * context + 3 * stride, config.channels)
    part = slice(context + stride, context + 2 * stride)
    other = song.copy()
    other[:stride] += 1
    other[-stride:] += 1
    expected, actual = (one_pass(config, network, one) for one in (song, other))
    for name, stem in expected.items():
        np.testing.assert_allclose(actual[name][part], stem[part], atol=1e-6)
        assert np.abs(actual[name] - stem).max() > 0.01


@pytest.mark.parametrize("name", [None, "4 levels, eoeo"])
def test_a_frame_depends_on_the_context_of_the_part_between_multiples(name):
    """At every phase of the frame, on both sides."""
    config = LONGER_INPUTS[name].config() if name else BASE
    network = kept_network(config)
    stride = 2**config.num_levels
    most = shapes.stream_plan(config).context_frames + stride - 1
    middle = most // stride * stride + stride
    song = noise(2 * middle + 2 * stride, config.channels)
    expected = one_pass(config, network, song)
    for frame in range(middle, middle + stride, 3):
        for first, last in ((0, frame - most), (frame + most + 1, len(song))):
            other = song.copy()
            other[first:last] += 1
            actual = one_pass(config, network, other)
            for source, stem in expected.items():
                kept = actual[source][frame]
                np.testing.assert_allclose(kept, stem[frame], atol=1e-6)
                assert np.abs(actual[source] - stem).max() > 0.01


def test_a_batch_streams_as_its_songs_alone(streaming_network):
    songs = np.stack([noise(64, 2, seed=2), noise(64, 2, seed=3)])
    together, _ = streaming_network.step(songs, streaming_network.silent_state(2))
    for number in range(2):
        state = streaming_network.silent_state()
        alone, _ = streaming_network.step(songs[number : number + 1], state)
        for name, stem in alone.items():
            np.testing.assert_allclose(together[name][number], stem[0], atol=1e-6)


def test_arrays_with_an_axis_before_their_frames_give_the_same(streaming_network):
    """Phones' 2-D convolutions take such arrays."""
    song, state = noise(64, 2)[None], streaming_network.silent_state()
    flat, flat_state = streaming_network.step(song, state)
    wide = {name: value[:, None] for name, value in state.items()}
    sources, after = streaming_network.step(song[:, None], wide)
    for name, stem in flat.items():
        np.testing.assert_allclose(np.asarray(sources[name])[:, 0], stem, atol=1e-6)
    for name, value in flat_state.items():
        np.testing.assert_allclose(np.asarray(after[name])[:, 0], value, atol=1e-6)


def test_a_step_takes_of_a_delay_only_the_frames_that_are_due(streaming_network):
    """The rest may wait elsewhere; the step returns the chunk's own frames for it."""
    song, state = noise(16, 2)[None], streaming_network.silent_state()
    expected, whole = streaming_network.step(song, state)
    counts = shapes.stream_state_frames(BASE, 16)
    due = {name: value[:, : counts[name]] for name, value in state.items()}
    assert due["delay_mixture"].shape[1] == 16 < state["delay_mixture"].shape[1]
    sources, after = streaming_network.step(song, due)
    for name, stem in expected.items():
        np.testing.assert_allclose(sources[name], stem, atol=1e-6)
    for name, value in after.items():
        newest = np.asarray(whole[name])[:, -counts[name] :]
        np.testing.assert_allclose(np.asarray(value), newest, atol=1e-6)


def test_the_last_source_is_clipped_unless_asked_otherwise(streaming_network):
    loud, state = 9 * noise(256, 2)[None], streaming_network.silent_state()
    clipped, _ = streaming_network.step(loud, state)
    whole, _ = streaming_network.step(loud, state, clip=False)
    last = np.asarray(whole["vocals"])
    assert np.abs(last).max() > 1
    np.testing.assert_array_equal(clipped["vocals"], last.clip(-1, 1))


def test_the_states_size_does_not_depend_on_the_song_or_the_chunk(streaming_network):
    state = streaming_network.silent_state()
    expected = {name: value.shape for name, value in state.items()}
    for frames in (8, 64, 16, 1024):
        chunk = np.zeros((1, frames, 2), np.float32)
        _, state = streaming_network.step(chunk, state)
        assert {name: tuple(value.shape) for name, value in state.items()} == expected


def test_silence_stays_as_it_is(streaming_network):
    before = streaming_network.silent_state()
    _, after = streaming_network.step(np.zeros((1, 64, 2), np.float32), before)
    assert list(after) != [] and set(after) == set(before)
    for name, value in after.items():
        np.testing.assert_allclose(np.asarray(value), before[name], atol=1e-6)


def test_m4_has_the_designs_latency_and_state():
    config = VARIANTS["M4"]
    plan = shapes.stream_plan(config)
    assert plan.latency_frames == plan.mixture_delay == 65531
    network = streaming.StreamingNetwork(config, build_network(config))
    silence = network.silence()
    values = sum(
        frames * silence[name].shape[-1]
        for name, frames in shapes.stream_state_frames(config).items()
    )
    assert 4 * values == pytest.approx(25.7e6, rel=0.01)


@pytest.mark.parametrize("change", [{"context": False}, {"upsampling": "transposed"}])
def test_a_network_that_cannot_stream_is_refused(change):
    config = dataclasses.replace(BASE, **change)
    with pytest.raises(InputError, match="A stream needs a network with `context`"):
        streaming.StreamingNetwork(config, network=None)
