import dataclasses
import math

import numpy as np
import pytest

from tests.separation.numpy_engine import CONFIG, DelayEngine, ShareEngine
from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.separation import runners

SPECTROGRAM = SpectrogramUNetConfig(
    num_levels=2, base_filters=2, fft_frames=16, hop_frames=8, output_frames=40
)
WINDOWED = [
    CONFIG,
    dataclasses.replace(CONFIG, context=False),
    dataclasses.replace(CONFIG, channels=1, upsampling="transposed"),
    SPECTROGRAM,
]


def noise(frames, channels):
    generator = np.random.default_rng(frames)
    return generator.normal(0, 0.3, (frames, channels)).astype(np.float32)


def window_runner(config, max_hop_frames=64):
    windows = shapes.song_windows(config, max_hop_frames)
    engine = ShareEngine(config, windows, {"vocals": 0.25, "accompaniment": 0.75})
    return runners.start(config, engine, windows), engine


@pytest.mark.parametrize("config", WINDOWED, ids=str)
@pytest.mark.parametrize("frames", [1, 39, 64, 1000])
def test_windows_cover_every_frame_of_a_song_once(config, frames):
    """Where they fade into each other, too, for the gains add up to one."""
    song = noise(frames, config.channels)
    runner, _ = window_runner(config)
    stems = runner.run(song)
    assert list(stems) == list(config.sources)
    np.testing.assert_allclose(stems["vocals"], 0.25 * song, atol=1e-6)
    np.testing.assert_allclose(stems["accompaniment"], 0.75 * song, atol=1e-6)


@pytest.mark.parametrize("config", WINDOWED, ids=str)
def test_no_more_windows_are_computed_than_the_song_needs(config):
    runner, engine = window_runner(config)
    runner.run(noise(1000, config.channels))
    _, hop, overlap = shapes.song_windows(config, 64)
    assert engine.calls == math.ceil((1000 + overlap) / hop)


@pytest.mark.parametrize("chunk_frames", [8, 24, 64, 1024])
@pytest.mark.parametrize("changes", [{}, {"channels": 1}, {"output_kernel_size": 3}])
def test_chunks_give_back_the_stream_without_its_latency(chunk_frames, changes):
    """Whether the delay line is shorter than a chunk or longer."""
    config = dataclasses.replace(CONFIG, **changes)
    runner = runners.start(config, DelayEngine(config, chunk_frames), None)
    song = noise(777, config.channels)
    stems = runner.run(song)
    plan = shapes.stream_plan(config)
    late = plan.latency_frames - plan.mixture_delay  # the engine does not wait for it
    for stem in stems.values():
        assert len(stem) == len(song)
        np.testing.assert_array_equal(stem[: 777 - late], song[late:])


@pytest.mark.parametrize("lengths", [(1,) * 50, (0, 49, 1), (25, 0, 25), (50,)])
def test_a_song_may_come_in_any_blocks(lengths):
    song = noise(50, 2)
    for start in (
        lambda: window_runner(CONFIG, 8)[0],
        lambda: runners.start(CONFIG, DelayEngine(CONFIG, 16), None),
    ):
        expected = start().run(song)
        runner, blocks = start(), []
        for block in np.split(song, np.cumsum(lengths)[:-1]):
            blocks.append(runner.push(block))
        blocks.append(runner.finish())
        for name, stem in expected.items():
            joined = np.concatenate([block[name] for block in blocks])
            np.testing.assert_array_equal(joined, stem)


@pytest.mark.parametrize("stream", [True, False])
def test_stems_lag_by_no_more_than_the_latency(stream):
    runner = (
        runners.start(CONFIG, DelayEngine(CONFIG, 64), None)
        if stream
        else window_runner(CONFIG)[0]
    )
    pushed, ready = 0, 0
    for _ in range(500):
        ready += len(runner.push(noise(1, 2))["vocals"])
        pushed += 1
        assert pushed - ready <= runner.latency_frames


def test_a_song_without_frames_gives_stems_without_frames():
    runner, engine = window_runner(CONFIG)
    assert {stem.shape for stem in runner.run(noise(0, 2)).values()} == {(0, 2)}
    assert engine.calls == 0


@pytest.mark.parametrize(("hop", "overlap"), [(8, 0), (8, 3), (6, 6), (1, 1)])
def test_the_gains_of_neighbours_add_up_to_one(hop, overlap):
    gains = runners.cross_fade(hop, overlap)
    assert gains.shape == (hop + overlap, 1)
    total = np.zeros((10 * hop + overlap, 1))
    for start in range(0, 10 * hop, hop):
        total[start : start + hop + overlap] += gains
    np.testing.assert_allclose(total[overlap : 10 * hop], 1)


class BrokenEngine(DelayEngine):
    """Gives one sample that is no number, in its third call."""

    def __init__(self, number):
        super().__init__(CONFIG, 64)
        self._number, self._calls = number, 0

    def __call__(self, **inputs):
        self._calls += 1
        outputs = super().__call__(**inputs)
        if self._calls == 3:
            vocals = outputs["vocals"].copy()
            vocals[0, 5, 1] = self._number
            outputs["vocals"] = vocals
        return outputs


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_an_output_that_is_no_number_stops_the_song(number):
    runner = runners.start(CONFIG, BrokenEngine(number), None)
    with pytest.raises(InputError, match="finite samples.* Received: NaN .* in vocals"):
        runner.run(noise(777, 2))
