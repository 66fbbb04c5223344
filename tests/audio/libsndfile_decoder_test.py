import io as streams
import struct

import numpy as np
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, noise, tone
from waveunet_tf.audio import io, libsndfile_decoder
from waveunet_tf.audio.libsndfile_decoder import LibsndfileDecoder
from waveunet_tf.errors import InputError


def wav_bytes(samples, subtype="PCM_16"):
    buffer = streams.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, subtype, format="WAV")
    return bytearray(buffer.getvalue())


@pytest.mark.parametrize(
    ("name", "decodes"),
    [("x.wav", True), ("x.aiff", True), ("x.flac", True), ("x.ogg", True)]
    + [("x.mp3", False), ("text.wav", False), ("x.raw", False)],
)
def test_libsndfile_decodes_what_it_decodes_to_the_end(tmp_path, name, decodes):
    if name in ("text.wav", "x.raw"):
        (tmp_path / name).write_bytes(b"this is not music\n" * 99)
    else:
        soundfile.write(tmp_path / name, tone(), RATE_HZ)
    assert libsndfile_decoder.can_decode(tmp_path / name, downmix=False) is decodes


@pytest.mark.parametrize(("channels", "decodes"), [(1, True), (2, True), (4, False)])
def test_it_does_not_fold_surround_down(tmp_path, channels, decodes):
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros((100, channels)), RATE_HZ)
    assert libsndfile_decoder.can_decode(path, downmix=True) is decodes
    assert libsndfile_decoder.can_decode(path, downmix=False)


@pytest.mark.parametrize("promised_bytes", [2**31, 2**32 - 1, 0x7FFFFFFF + 1])
def test_the_sizes_of_a_writer_into_a_pipe_promise_nothing(tmp_path, promised_bytes):
    content = wav_bytes(noise(1000))
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", promised_bytes)
    (tmp_path / "x.wav").write_bytes(content)
    assert io.read(tmp_path / "x.wav")[0].shape == (1000, 2)


@pytest.mark.parametrize(
    ("more_bytes", "is_cut"), [(0, False), (8, False), (400, True)]
)
def test_a_size_beyond_the_files_end_is_a_cut_but_for_a_few_bytes(
    tmp_path, more_bytes, is_cut
):
    content = wav_bytes(noise(1000))
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", 4000 + more_bytes)
    (tmp_path / "x.wav").write_bytes(content)
    decoder = LibsndfileDecoder(tmp_path / "x.wav")
    frames = sum(map(len, decoder.blocks()))
    assert frames == 1000
    assert decoder.is_cut(frames) is is_cut
    decoder.close()


def test_a_broken_block_is_refused_by_name(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, noise(200_000), RATE_HZ)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    path.write_bytes(content)
    decoder = LibsndfileDecoder(path)
    with pytest.raises(InputError, match=r"x\.flac: cannot be decoded"):
        list(decoder.blocks())
    decoder.close()


def test_tags_are_read_by_their_names(tmp_path):
    with soundfile.SoundFile(tmp_path / "x.flac", "w", RATE_HZ, 2) as file:
        file.title, file.artist, file.tracknumber = "Ä b", "C", "7"
        file.copyright = "not carried over"
        file.write(tone())
    decoder = LibsndfileDecoder(tmp_path / "x.flac")
    assert decoder.tags == {"title": "Ä b", "artist": "C", "tracknumber": "7"}
    decoder.close()


def test_a_long_comment_in_a_wav_costs_no_tags(tmp_path):
    """libsndfile skips it, and all that is behind it."""
    with soundfile.SoundFile(tmp_path / "x.wav", "w", RATE_HZ, 2) as file:
        file.title, file.comment, file.tracknumber = "a", "Ä" * 5000, "7"
        file.write(tone(100))
    decoder = LibsndfileDecoder(tmp_path / "x.wav")
    assert decoder.tags == {"title": "a", "comment": "Ä" * 5000, "tracknumber": "7"}
    decoder.close()


def test_tags_of_windows_1252_are_read_as_such(tmp_path):
    with soundfile.SoundFile(tmp_path / "x.wav", "w", RATE_HZ, 2) as file:
        file.title = "M?nchen"
        file.write(tone(100))
    content = (tmp_path / "x.wav").read_bytes().replace(b"M?nchen", b"M\xfcnchen")
    (tmp_path / "x.wav").write_bytes(content)
    decoder = LibsndfileDecoder(tmp_path / "x.wav")
    assert decoder.tags["title"] == "München"
    decoder.close()


@pytest.mark.parametrize("name", ["x.wav", "x.aiff", "x.caf", "x.rf64"])
def test_a_second_recording_in_a_file_is_noted(tmp_path, name, caplog):
    path = tmp_path / name
    soundfile.write(path, noise(5000), RATE_HZ)
    content = path.read_bytes()
    path.write_bytes(2 * content)
    assert io.read(path)[0].shape == (5000, 2)
    assert f"its audio; its {len(content)} bytes are left out" in caplog.text


@pytest.mark.parametrize("name", ["x.mp3", "x.au", "x.vox"])
@pytest.mark.parametrize(
    "content",
    [b"<html>404 not found</html>" * 99, bytes(99_000)],
    ids=["html", "zeros"],
)
def test_a_suffix_makes_no_audio_of_other_bytes(tmp_path, name, content, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match="must be an audio file"):
        io.read(tmp_path / name)
    assert capfd.readouterr().err == ""
