import contextlib
import dataclasses

import av
import pytest
import soundfile

from waveunet_tf.audio import formats
from waveunet_tf.errors import InputError


@pytest.mark.parametrize(
    ("path", "name"),
    [
        *[("a/b.stem.mp4", "b"), ("a/b.mp3", "b"), ("b.live.wav", "b.live")],
        *[("B.STEM.MP4", "B"), ("b.mp4", "b"), ("a.b/c", "c"), (".b.wav", ".b")],
        ("b", "b"),
    ],
)
def test_a_songs_name_is_its_files_without_suffix(path, name):
    assert formats.song_name(path) == name


def test_dots_before_a_name_are_no_suffix_on_any_python():
    """pathlib changed its mind with Python 3.14."""
    assert formats.song_name("a/...wav") == "...wav"
    assert formats.song_name("a/..b.c.wav") == "..b.c"
    assert formats.song_name("a/song.") == "song"


@pytest.mark.parametrize("path", [".stem.mp4", "a/..", ""])
def test_a_name_that_could_name_no_folder_is_refused(path):
    with pytest.raises(InputError, match="must have a name before its suffix"):
        formats.song_name(path)


def test_every_suffix_that_is_searched_for_is_one_that_a_decoder_claims():
    """FFmpeg by the extensions of its demuxers, libsndfile by the names of formats."""
    claimed = {name.lower() for name in soundfile.available_formats()}
    for name in av.format.formats_available:
        with contextlib.suppress(ValueError):
            claimed |= av.format.ContainerFormat(name, "r").extensions
    known = {suffix[1:] for suffix in formats.SUFFIXES}
    # Other names of what is claimed: Ogg, MPEG streams, Matroska, QuickTime, RealMedia,
    # ASF, AIFF, WAV, AU, RF64; and formats of which FFmpeg lists no extension.
    others = set(
        """
        3g2 aif aifc aiff amr asf avi dff dsf eac3 flv m2ts m4b m4v mpeg mpg mts mxf
        oga ogm ogv opus ra rf64 rm snd spx svcd swf tak ts vob wav wave webm wma
        wmv wv
        """.split()
    )
    assert known - claimed <= others
    assert len(known & claimed) > 25


def test_no_text_or_picture_is_taken_for_audio():
    assert not formats.SUFFIXES & formats.COMPANION_SUFFIXES


def test_every_format_is_found_in_folders_too():
    assert {f".{name}" for name in formats.FORMATS} <= formats.SUFFIXES
    assert all(suffix == suffix.lower() for suffix in formats.SUFFIXES)


@pytest.mark.parametrize(
    ("path", "wished", "nearest"),
    [
        *[("x.wav", 16, 16), ("x.wav", 24, 24), ("x.WAV", 32, 32)],
        *[("x.flac", 16, 16), ("x.flac", 32, 24), ("x.mp3", 16, 0), ("x.opus", 32, 0)],
    ],
)
def test_the_nearest_bit_depth_is_the_highest_that_is_not_above(path, wished, nearest):
    assert formats.nearest_bit_depth(path, wished) == nearest


@pytest.mark.parametrize(
    ("path", "is_float"), [("x.wav", True), ("x.mp3", False), ("x.ogg", False)]
)
def test_only_lossless_files_of_32_bits_are_float(path, is_float):
    assert formats.is_float(path, 32) is is_float
    assert not formats.is_float(path, 16)


@pytest.mark.parametrize(
    ("path", "wished_hz", "nearest_hz"),
    [
        *[("x.wav", 8192, 8192), ("x.flac", 1, 1), ("x.wav", 768_000, 768_000)],
        *[("x.ogg", 8192, 8192), ("x.ogg", 192_000, 192_000)],
        *[("x.ogg", 384_000, 192_000), ("x.m4a", 8000, 8000)],
        *[("x.flac", 65535, 65535), ("x.flac", 65536, 65540), ("x.flac", 96001, 96010)],
        *[("x.flac", 655_350, 655_350), ("x.flac", 1_411_200, 655_350)],
        *[("x.opus", 8000, 48000), ("x.opus", 44100, 48000), ("x.opus", 96000, 48000)],
        *[("x.mp3", 8000, 8000), ("x.mp3", 8192, 11025), ("x.mp3", 44101, 48000)],
        *[("x.mp3", 96000, 48000), ("x.m4a", 50000, 64000), ("x.m4a", 192_000, 96000)],
    ],
)
def test_the_nearest_rate_is_the_lowest_that_loses_nothing(path, wished_hz, nearest_hz):
    assert formats.nearest_rate_hz(path, wished_hz) == nearest_hz
    formats.check_format(path, 16, nearest_hz)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("a/x.wma",), r"a/x\.wma: its format must be one of wav, flac, ogg, opus"),
        (("x",), "x: its format must be one of"),
        (("x.flac", 32), "flac must have a bit depth of 16 or 24. Received: 32"),
        (("x.wav", 8), "wav must have a bit depth of 16 or 24 or 32. Received: 8"),
        (("x.opus", 16, 44100), "such as 48000 Hz. Received: 44100 Hz"),
        (("x.mp3", None, 96000), "such as 48000 Hz. Received: 96000 Hz"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        formats.check_format(*arguments)


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_formats_rates_ascend_and_its_kind_is_frozen(name):
    written = formats.written_format(f"x.{name}")
    assert list(written.rates_hz) == sorted(set(written.rates_hz))
    assert not (written.rates_hz and written.max_rate_hz)
    assert written.is_lossy == (set(written.codecs) == {0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        written.rates_hz = ()
