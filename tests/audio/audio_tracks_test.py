import io as streams

import av
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, noise, tone, write_tracks, write_with_ffmpeg
from waveunet_tf.audio import audio_tracks, io
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.errors import InputError


def level_of(path, stream=None):
    return io.read(path, stream=stream)[0].mean()


@pytest.mark.parametrize(("default", "expected"), [(0, 0.1), (2, 0.3), (None, 0.1)])
def test_the_default_track_is_taken_unless_one_is_named(tmp_path, default, expected):
    path = tmp_path / "x.mkv"
    write_tracks(path, [0.1, 0.2, 0.3], default=default)
    assert level_of(path) == pytest.approx(expected, abs=1e-3)
    for number in range(3):
        assert level_of(path, number) == pytest.approx((number + 1) / 10, abs=1e-3)


def test_commentary_is_taken_only_where_there_is_nothing_else(tmp_path):
    write_tracks(tmp_path / "x.mkv", [0.1, 0.2], purposes=[0])
    assert level_of(tmp_path / "x.mkv") == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize("number", [2, 99, -1])
def test_a_track_that_is_not_there_lists_those_that_are(tmp_path, number):
    path = tmp_path / "x.mkv"
    titles = [("eng", "Main mix"), ("fra", "Version\nfrançaise")]
    write_tracks(path, [0.1, 0.2], default=1, titles=titles)
    with pytest.raises(InputError) as error:
        io.read(path, stream=number)
    assert str(error.value) == (
        f"{path}: must have audio track {number + 1}, but has 2: 1 (eng, Main mix), 2 "
        "(fra, Version française, default)"
    )


def test_a_wav_has_one_track(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(100), RATE_HZ)
    assert len(io.read(tmp_path / "x.wav", stream=0)[0]) == 100
    with pytest.raises(InputError, match="must have audio track 2, but has 1: 1"):
        io.read(tmp_path / "x.wav", stream=1)


def promised(path):
    with path.open("rb") as file, av.open(str(path)) as container:
        return audio_tracks.promise_of(container, container.streams.audio[0], file)


@pytest.mark.parametrize(
    ("name", "codec", "is_told"),
    [("x.m4a", "aac", True), ("x.mka", "aac", True), ("x.tta", "tta", True)]
    + [("x.wv", "wavpack", True), ("x.aac", "aac", False), ("x.ts", "mp2", False)],
)
def test_what_a_header_promises_is_not_what_ffmpeg_guesses(
    tmp_path, name, codec, is_told
):
    write_with_ffmpeg(tmp_path / name, codec, tone(2 * RATE_HZ))
    seconds = promised(tmp_path / name).end_seconds
    assert seconds == pytest.approx(2 if is_told else 0, abs=0.1)


@pytest.mark.parametrize("rate_hz", [48000, 22050])
def test_an_mp3_promises_the_frames_and_bytes_of_its_first_frame(tmp_path, rate_hz):
    content = streams.BytesIO()
    soundfile.write(content, noise(2 * rate_hz), rate_hz, format="MP3")
    path = tmp_path / "x.mp3"
    path.write_bytes(content.getvalue() * 2)
    promise = promised(path)
    assert promise.end_seconds == pytest.approx(2, abs=0.1)
    assert promise.file_bytes == pytest.approx(len(content.getvalue()), abs=500)


def test_a_cover_is_no_picture_that_audio_waits_for(example):
    with av.open(example) as container, AudioReader(example) as reader:
        track = container.streams.audio[0]
        assert audio_tracks.start_of_others(container, track) == 0  # the stems
        assert len(next(reader.blocks())) > 0
