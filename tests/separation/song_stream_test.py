import numpy as np
import pytest

from tests.separation.numpy_engine import share_separator
from waveunet_tf.errors import InputError


def noise(frames, channels=2):
    return np.random.default_rng(frames).normal(0, 0.1, (frames, channels))


def run(stream, song):
    blocks = [stream.push(song), stream.finish()]
    return {
        name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]
    }


@pytest.mark.parametrize("sample_rate_hz", [8000, 44100])
def test_a_stream_does_not_depend_on_its_blocks(tiny_separator, sample_rate_hz):
    song = noise(100_003)
    expected = tiny_separator.separate(song, sample_rate_hz)
    stream = tiny_separator.stream(sample_rate_hz, 2)
    blocks, position = [], 0
    for length in (1, 70_000, 0, 77, 29_925):
        blocks.append(stream.push(song[position : position + length]))
        position += length
    blocks.append(stream.finish())
    assert position == len(song)
    for name, stem in expected.items():
        streamed = np.concatenate([block[name] for block in blocks])
        np.testing.assert_allclose(streamed, stem, atol=1e-6)


@pytest.mark.parametrize("sample_rate_hz", [8000, 11025, 44100])
def test_a_stream_takes_copies_and_lags_no_more_than_it_says(
    tiny_separator, sample_rate_hz
):
    separator = tiny_separator
    song = noise(2 * sample_rate_hz)
    stream = separator.stream(sample_rate_hz, 2)
    buffer = np.zeros((128, 2))
    pushed, ready, longest, blocks = 0, 0, 0, []
    for start in range(0, len(song) - 128, 128):
        buffer[:] = song[start : start + 128]
        blocks.append(stream.push(buffer))
        pushed, ready = pushed + 128, ready + len(blocks[-1]["vocals"])
        longest = max(longest, pushed - ready)
    assert 0.5 * stream.latency_seconds < longest / sample_rate_hz
    assert longest / sample_rate_hz < stream.latency_seconds + 0.02
    expected = separator.separate(song, sample_rate_hz)
    for name, stem in expected.items():
        streamed = np.concatenate([block[name] for block in blocks])
        np.testing.assert_allclose(streamed, stem[:ready], atol=1e-6)


@pytest.mark.parametrize("shape", [(100,), (100, 1), (100, 3)])
def test_a_stream_refuses_blocks_of_another_shape(tiny_separator, shape):
    stream = tiny_separator.stream(8000, channels=2)
    with pytest.raises(InputError, match=r"`block` must be .* \(frames, 2\)"):
        stream.push(np.zeros(shape, np.float32))


@pytest.mark.parametrize("sample_rate_hz", [8000, 11025, 32000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_the_stems_of_a_difference_output_add_up_to_the_song(
    tiny_separator, sample_rate_hz, channels
):
    song = 10 * noise(5003, channels)
    stems = tiny_separator.separate(song, sample_rate_hz)
    np.testing.assert_allclose(sum(stems.values()), song, atol=1e-6)


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (np.zeros((9, 2), np.int16), "`block` .*, full scale ±1. Received: int16"),
        (np.zeros((9, 2), complex), "`block` .*, full scale ±1. Received: complex"),
        ([[0.1, 0.2]], "`block` must be an array .* Received: list"),
        (np.full((9, 2), 3.3e38, "f"), r"`block` .* Received: 3.3e\+38 in frame 100"),
        (np.array([[0, 0], [0, np.nan]]), "Received: NaN or infinity in frame 101"),
        (np.array([[-np.inf, 0]]), "Received: NaN or infinity in frame 100"),
    ],
)
def test_a_stream_refuses_what_are_no_samples(block, message):
    stream = share_separator().stream(8000)
    stream.push(noise(100))
    with pytest.raises(InputError, match=message):
        stream.push(block)


def test_a_song_does_not_go_on_after_its_end():
    stream = share_separator().stream(8000)
    stream.finish()
    with pytest.raises(InputError, match="`push` must not follow `finish`"):
        stream.push(noise(1))
    with pytest.raises(InputError, match="Received: a second `finish`"):
        stream.finish()


def test_a_block_that_is_refused_changes_nothing():
    song = noise(100)
    expected = run(share_separator().stream(8000), song)
    stream = share_separator().stream(8000)
    for wrong in (np.full((9, 2), np.nan), [[1.0, 2.0]], np.zeros(9)):
        with pytest.raises(InputError):
            stream.push(wrong)
    for name, stem in run(stream, song).items():
        np.testing.assert_array_equal(stem, expected[name])


@pytest.mark.parametrize("sample_rate_hz", [8000, 11025, 12345, 44100, 96000])
@pytest.mark.parametrize("output_type", ["direct", "difference"])
def test_a_part_begins_where_the_networks_grid_does(sample_rate_hz, output_type):
    """A stream that begins there gives the same stems, at any pair of rates."""
    separator = share_separator(output_type=output_type)
    song = noise(6 * sample_rate_hz)
    whole = run(separator.stream(sample_rate_hz), song)
    start = 5 * sample_rate_hz
    first = separator.stream(sample_rate_hz).lead_in_frame(start)
    context = separator.stream(sample_rate_hz).context_frames
    assert 0 <= first <= start - context
    part = run(separator.stream(sample_rate_hz), song[first:])
    for name, stem in whole.items():
        np.testing.assert_allclose(part[name][start - first :], stem[start:], atol=1e-6)


def test_a_part_near_the_beginning_begins_with_the_song():
    stream = share_separator().stream(44100)
    assert stream.lead_in_frame(0) == stream.lead_in_frame(100) == 0


@pytest.mark.parametrize(
    ("song_channels", "network_channels", "expected"),
    [(1, 1, 1), (1, 2, 1), (2, 1, 1), (2, 2, 2)],
)
def test_stems_have_no_more_channels_than_song_and_network(
    song_channels, network_channels, expected
):
    separator = share_separator(channels=network_channels)
    stream = separator.stream(8000, song_channels)
    song = noise(999, song_channels)
    assert stream.channels == expected
    vocals = run(stream, song)["vocals"]
    folded = song.mean(axis=1, keepdims=True) if expected == 1 else song
    np.testing.assert_allclose(vocals, 0.25 * folded, atol=1e-6)
