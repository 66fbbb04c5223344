import signal

import numpy as np
import pytest
import soxr

from tests.audio.signals import RATE_HZ, noise, tone
from waveunet_tf.audio import resample
from waveunet_tf.system import interrupts


@pytest.mark.parametrize("to_hz", [8000, 22050, 44100, 48000, 96000])
def test_resampling_keeps_a_tone_where_it_is(to_hz):
    resampled = resample.resample(tone(), RATE_HZ, to_hz)
    assert len(resampled) == to_hz
    seconds = np.arange(to_hz)[:, None] / to_hz
    expected = 0.5 * np.sin(2 * np.pi * seconds * [440.0, 660.0])
    inner = slice(to_hz // 10, -to_hz // 10)
    np.testing.assert_allclose(resampled[inner], expected[inner], atol=1e-4)


@pytest.mark.parametrize("frames", [1, 7, 44101])
def test_resampling_there_and_back_gives_the_wished_length(frames):
    there = resample.resample(np.ones((frames, 1)), 44100, 22050)
    assert len(there) == -(-frames // 2)
    assert len(resample.resample(there, 22050, 44100, frames=frames)) == frames


def push_in_blocks(stream, samples, seed):
    """Pushes blocks of 0 to 4000 frames; gives all that is returned, but the rest."""
    generator, parts, start = np.random.default_rng(seed), [], 0
    while start < len(samples):
        frames = int(generator.integers(0, 4000))
        parts.append(stream.push(samples[start : start + frames]))
        start += frames
    return parts


@pytest.mark.parametrize("to_hz", [8192, 22050, 44100, 48000])
@pytest.mark.parametrize("frames", [1, 20_001])
def test_a_stream_of_blocks_is_resampled_as_the_whole(to_hz, frames):
    samples = noise(frames).astype(np.float32)
    stream = resample.StreamResampler(RATE_HZ, to_hz, 2)
    parts = push_in_blocks(stream, samples, frames)
    whole = np.concatenate([*parts, stream.finish()])
    expected = resample.resample(samples, RATE_HZ, to_hz)
    assert whole.shape == expected.shape
    np.testing.assert_allclose(whole, expected, atol=1e-5)


@pytest.mark.parametrize("frames", [0, 400, 500, 700])
def test_a_streams_rest_makes_the_wished_length(frames):
    stream = resample.StreamResampler(44100, 22050, 1)
    parts = push_in_blocks(stream, np.ones((1000, 1), np.float32), 0)
    given = sum(map(len, parts))
    assert len(stream.finish(frames)) == max(frames - given, 0)


def test_an_empty_stream_has_no_frames():
    assert resample.StreamResampler(44100, 8000, 2).finish().shape == (0, 2)


def test_stems_are_resampled_each_to_its_own_rate():
    samples = noise(10_000).astype(np.float32)
    blocks = [
        {"a": samples[start : start + 3000], "b": -samples[start : start + 3000]}
        for start in range(0, len(samples), 3000)
    ]
    parts = list(resample.resample_blocks(blocks, RATE_HZ, {"a": 22050}, 2))
    a, b = (np.concatenate([part[name] for part in parts]) for name in "ab")
    np.testing.assert_array_equal(b, -samples)
    expected = resample.resample(samples, RATE_HZ, 22050)
    np.testing.assert_allclose(a, expected, atol=1e-5)


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 22050), (22050, 44100)])
def test_a_stream_holds_back_no_more_than_is_told(from_hz, to_hz):
    limit = resample.resampling_seconds(from_hz, to_hz)
    assert 0 < limit < 0.2
    stream, pushed, given = resample.StreamResampler(from_hz, to_hz, 1), 0, 0
    for _ in range(300):
        block = np.zeros((from_hz // 1000, 1), np.float32)
        pushed += len(block)
        given += len(stream.push(block))
        assert pushed / from_hz - given / to_hz <= limit + 1e-9


def test_the_same_rate_holds_nothing_back():
    assert resample.resampling_seconds(44100, 44100) == 0


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)],
)
def test_what_soxr_clears_of_a_signal_ends_the_run(monkeypatch, number, error):
    """Its binding may run a handler, and clear the exception that the handler raises.

    It did so once in some 300 stopped separations, which then ended as if nothing was.
    """

    def clear(resample_chunk):
        def call(*arguments, **options):
            with pytest.raises(error):
                interrupts.end(number)
            return resample_chunk(*arguments, **options)

        return call

    monkeypatch.setattr(interrupts, "_ended_by", None)
    stream = resample.StreamResampler(RATE_HZ, 8000, 2)
    stream.push(np.float32(noise(RATE_HZ)))
    for name in ("resample", "ResampleStream.resample_chunk"):
        owner = soxr.ResampleStream if "." in name else soxr
        name = name.rpartition(".")[2]
        monkeypatch.setattr(owner, name, clear(getattr(owner, name)))
    with pytest.raises(error):
        stream.push(np.float32(noise(RATE_HZ)))
    interrupts.forget()
    with pytest.raises(error):
        resample.resample(np.float32(noise(RATE_HZ)), RATE_HZ, 8000)
