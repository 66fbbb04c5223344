import numpy as np
import pytest
import soundfile

from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.errors import InputError
from waveunet_tf.separation.stem_files import StemFiles

RATE_HZ = 8000
LOUD = np.random.default_rng(0).uniform(-2, 2, (900, 2)).astype(np.float32)
LOUD[500, 1] = -2.5


@pytest.fixture
def song(tmp_path):
    """An open song of 24 bits, with tags."""
    with soundfile.SoundFile(
        tmp_path / "song.flac", "w", RATE_HZ, 2, subtype="PCM_24"
    ) as file:
        file.title = "A title"
        file.write(np.zeros((10, 2)))
    with AudioReader(tmp_path / "song.flac") as reader:
        yield reader


def write(song, folder, *names, blocks=3, **options):
    """Writes the stems of two sources; gives what their files hold."""
    sources = {"vocals": LOUD, "accompaniment": LOUD / 10}
    places = [folder / name for name in names]
    targets = {place.stem: place for place in places}
    stem_files = StemFiles(song, targets, **options)
    parts = {name: np.array_split(source, blocks) for name, source in sources.items()}
    stems = [{name: parts[name][n] for name in parts} for n in range(blocks)]
    stem_files.write(stems, places, 2, expected_seconds=900 / RATE_HZ)
    return [soundfile.read(place, dtype="float32")[0] for place in places]


def test_one_gain_keeps_all_stems_from_clipping(song, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    vocals, rest = write(song, tmp_path, "vocals.wav", "accompaniment.wav")
    np.testing.assert_allclose(vocals, LOUD / 2.5, atol=1e-6)
    np.testing.assert_allclose(rest, LOUD / 25, atol=1e-6)
    assert "song.flac: the stems are made quieter by 7.96 dB" in caplog.text


def test_the_gain_does_not_depend_on_which_stems_are_written(song, tmp_path):
    (alone,) = write(song, tmp_path, "accompaniment.wav", clip="rescale")
    np.testing.assert_allclose(alone, LOUD / 25, atol=1e-6)


def test_stems_within_full_scale_are_not_touched(song, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", logger="absl")
    monkeypatch.setattr(__name__ + ".LOUD", LOUD / 4)
    (vocals,) = write(song, tmp_path, "vocals.wav", clip="rescale", bit_depth=32)
    np.testing.assert_array_equal(vocals, LOUD)
    assert "quieter" not in caplog.text


@pytest.mark.parametrize(("bit_depth", "error"), [(32, 0), (24, 1e-6), (16, 1e-4)])
def test_stems_may_be_clipped_instead(song, tmp_path, caplog, bit_depth, error):
    (vocals,) = write(song, tmp_path, "vocals.wav", clip="clamp", bit_depth=bit_depth)
    np.testing.assert_allclose(vocals, LOUD.clip(-1, 1), atol=error)
    clipped = int((np.abs(LOUD) > 1).sum())
    assert f"song.flac: samples of the stems clipped to full scale: {clipped}" in (
        caplog.text
    )


def test_float_stems_hold_what_is_beyond_full_scale(song, tmp_path):
    (vocals,) = write(song, tmp_path, "vocals.wav", bit_depth=32)
    np.testing.assert_array_equal(vocals, LOUD)


def test_a_stem_has_the_songs_bit_depth_and_tags(song, tmp_path):
    write(song, tmp_path, "vocals.wav", "accompaniment.flac")
    for name in ("vocals.wav", "accompaniment.flac"):
        with soundfile.SoundFile(tmp_path / name) as file:
            assert (file.subtype, file.title) == ("PCM_24", "A title")


def test_a_format_gets_a_rate_that_it_has(song, tmp_path, caplog):
    caplog.set_level("INFO", logger="absl")
    vocals, rest = write(song, tmp_path, "vocals.opus", "accompaniment.wav")
    assert soundfile.info(tmp_path / "vocals.opus").samplerate == 48000
    assert (len(vocals), len(rest)) == (6 * 900, 900)
    assert "resampled to 48000 Hz, as their format asks for" in caplog.text


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vocals.xyz", {}, "format must be one of wav"),
        ("vocals.flac", {"bit_depth": 32}, "16 or 24. Received: 32"),
        ("vocals.flac", {"clip": "none"}, "alone hold samples beyond full scale"),
        ("vocals.wav", {"clip": "none"}, "alone hold samples"),  # 24 bits, the song's
        ("vocals.mp3", {"clip": "none"}, "alone hold samples beyond full scale"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(song, tmp_path, name, options, message):
    with pytest.raises(InputError, match=message):
        StemFiles(song, {"vocals": tmp_path / name}, **options)


def test_a_folder_that_cannot_be_written_is_named(song, tmp_path):
    stem_files = StemFiles(song, {"vocals": tmp_path / "vocals.wav"}, clip="rescale")
    stems = ({"vocals": np.full((200_000, 2), 0.5, np.float32)} for _ in range(3))
    with pytest.raises(OSError) as caught:
        stem_files.write(stems, [tmp_path / "no" / "v.wav"], 2, expected_seconds=1)
    assert str(tmp_path / "no") in str(caught.value)
