import numpy as np
import pytest
import soundfile

from tests.separation.numpy_engine import share_separator
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.errors import InputError
from waveunet_tf.separation.song_part import SongPart

RATE_HZ = 8000


@pytest.fixture
def song(tmp_path):
    """A song's path, and its samples."""
    samples = np.random.default_rng(0).uniform(-1, 1, (200_000, 2)).astype(np.float32)
    soundfile.write(tmp_path / "song.wav", samples, RATE_HZ, subtype="FLOAT")
    return tmp_path / "song.wav", samples


def separate(path, start_seconds, duration_seconds, stems=("vocals",)):
    """The part's stems, and how many windows were computed."""
    separator = share_separator()
    with AudioReader(path) as reader:
        part = SongPart(reader, start_seconds, duration_seconds)
        stream = separator.stream(reader.sample_rate_hz, reader.channels)
        blocks = list(part.separate(stream, stems))
    joined = {name: np.concatenate([block[name] for block in blocks]) for name in stems}
    return joined, separator._engine.calls


@pytest.mark.parametrize("start", [0, 1, 65_535, 65_536, 131_073, 199_999])
@pytest.mark.parametrize("frames", [None, 1, 70_000, 500_000])
def test_a_part_has_the_frames_of_the_whole_song(song, start, frames):
    path, samples = song
    duration = None if frames is None else frames / RATE_HZ
    stems, _ = separate(path, start / RATE_HZ, duration)
    expected = 0.25 * samples[start : None if frames is None else start + frames]
    np.testing.assert_allclose(stems["vocals"], expected, atol=1e-6)


def test_a_short_part_of_a_long_song_computes_little(song):
    _, whole = separate(song[0], 0, None)
    _, part = separate(song[0], 12, 0.1)
    # A second at most for the context, and a block of the reader.
    assert part < whole * (65_536 + RATE_HZ * 1.1) / 200_000


def test_a_stem_is_a_source_or_the_sum_of_all_others(song):
    stems, _ = separate(song[0], 0, None, ("vocals", "no_vocals", "accompaniment"))
    np.testing.assert_array_equal(stems["no_vocals"], stems["accompaniment"])
    np.testing.assert_allclose(stems["vocals"] + stems["no_vocals"], song[1], atol=1e-6)


@pytest.mark.parametrize(
    ("start", "duration", "expected"),
    [(0, None, 25.0), (20, None, 5.0), (20, 1, 1.0), (20, 9, 5.0), (30, None, 0.0)],
)
def test_the_expected_length_is_that_of_the_part(song, start, duration, expected):
    with AudioReader(song[0]) as reader:
        assert SongPart(reader, start, duration).expected_seconds == expected
        reader.duration_seconds = 0  # not known
        unknown = SongPart(reader, start, duration).expected_seconds
        assert unknown == (np.inf if duration is None else duration)


@pytest.mark.parametrize("start_seconds", [25.0, 26.0, 1e6])
def test_a_part_after_the_end_is_refused(song, start_seconds):
    with pytest.raises(InputError, match=r"within the song, of 25\.00 s. Received"):
        separate(song[0], start_seconds, None)


@pytest.mark.parametrize("start_seconds", [0, 17, 18.7])
def test_a_sample_that_is_no_number_is_named_by_its_frame_of_the_song(
    song, start_seconds
):
    path, samples = song
    samples[150_000] = np.nan
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(InputError, match="NaN or infinity in frame 150000$"):
        separate(path, start_seconds, None)
