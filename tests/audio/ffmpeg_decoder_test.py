import av
import numpy as np
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, noise, tone, write_with_ffmpeg
from waveunet_tf.audio import ffmpeg_decoder, io
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.audio.ffmpeg_decoder import FFmpegDecoder
from waveunet_tf.errors import InputError


def decode(path, *, stream=0, downmix=False):
    """The decoder, after its blocks, and their frames."""
    with path.open("rb") as file:
        decoder = FFmpegDecoder(path, file, stream=stream, downmix=downmix)
        blocks = list(decoder.blocks())
        decoder.close()
    return decoder, np.concatenate(blocks)


@pytest.mark.parametrize(
    "tags",
    [b"", b"ID3\x04\x00\x00\x00\x00\x02\x01" + bytes(257)],
    ids=["untagged", "tagged"],
)
@pytest.mark.parametrize("quiet_first", [True, False])
def test_an_mp3_of_unknown_length_is_read_to_its_end(tmp_path, tags, quiet_first):
    samples = noise(441_000)
    samples[: len(samples) // 2] *= 1e-3 if quiet_first else 1
    samples[len(samples) // 2 :] *= 1 if quiet_first else 1e-3
    with soundfile.SoundFile(
        tmp_path / "x.mp3", "w", RATE_HZ, 2, bitrate_mode="VARIABLE", format="MP3"
    ) as file:
        file.write(samples)
    content = (tmp_path / "x.mp3").read_bytes()
    header_frame = content.index(b"Xing")
    (tmp_path / "x.mp3").write_bytes(tags + content)
    assert len(io.read(tmp_path / "x.mp3")[0]) == 441_000
    frames_after = content[content.index(b"\xff\xfb", header_frame) :]
    (tmp_path / "x.mp3").write_bytes(tags + frames_after)
    assert 441_000 <= len(io.read(tmp_path / "x.mp3")[0]) < 441_000 + 3 * 1152


def mp3(path, samples, rate_hz=RATE_HZ):
    """Writes an mp3 with its length in its first frame; returns its bytes."""
    soundfile.write(path, samples, rate_hz)
    return path.read_bytes()


@pytest.mark.parametrize(("rate_hz", "channels"), [(44100, 2), (32000, 2), (48000, 1)])
def test_joined_mp3_are_read_to_the_end_at_the_firsts_rate(
    tmp_path, rate_hz, channels, caplog
):
    first = mp3(tmp_path / "a.mp3", tone(2 * RATE_HZ))
    second = mp3(tmp_path / "b.mp3", tone(2 * rate_hz)[:, :channels], rate_hz)
    (tmp_path / "both.mp3").write_bytes(first + second)
    samples, joined_hz = io.read(tmp_path / "both.mp3")
    assert (samples.shape[1], joined_hz) == (2, RATE_HZ)
    assert len(samples) == pytest.approx(4 * RATE_HZ, abs=5000)
    assert samples[3 * RATE_HZ :].std() == pytest.approx(0.5 / np.sqrt(2), rel=0.05)
    is_other = (rate_hz, channels) != (44100, 2)
    assert ["changes at" in each for each in caplog.messages] == [True] * is_other


FOREIGN = {
    "ID3v1": b"TAG" + b"x" * 125,
    "APE": b"APETAGEX" + b"\xd0\x07\0\0\x20\0\0\0" + bytes(16),
    "zeros": bytes(9000),
    "html": b"<html><body>404</body></html>" * 40,
    "noise": np.random.default_rng(0).bytes(5000),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_bytes_behind_an_mp3_are_left_out(tmp_path, name, caplog):
    content = mp3(tmp_path / "x.mp3", noise(2 * RATE_HZ))
    (tmp_path / "x.mp3").write_bytes(content + FOREIGN[name])
    samples, _ = io.read(tmp_path / "x.mp3")
    assert 2 * RATE_HZ <= len(samples) < 2 * RATE_HZ + 1152
    told = name in ("html", "noise")
    assert ["behind its audio" in each for each in caplog.messages] == [True] * told


def test_two_mp3_with_covers_in_a_row_have_no_silence_between(tmp_path, caplog):
    cover = np.random.default_rng(0).bytes(50_000)
    frame = b"APIC" + bytes([0, 3, 6, 80]) + bytes(2) + cover
    size = bytes([0, len(frame) >> 14, len(frame) >> 7 & 127, len(frame) & 127])
    content = mp3(tmp_path / "x.mp3", tone(RATE_HZ))
    tagged = b"ID3\x04\0\0" + size + frame + content
    (tmp_path / "x.mp3").write_bytes(tagged * 2)
    samples, _ = io.read(tmp_path / "x.mp3")
    assert len(samples) == pytest.approx(2 * RATE_HZ, abs=6 * 1152)
    assert "silence" not in caplog.text


@pytest.mark.parametrize("codec", ["aac", "mp2"])
def test_a_broadcast_with_foreign_bytes_behind_is_whole(tmp_path, codec):
    write_with_ffmpeg(tmp_path / "x.ts", codec, tone(2 * RATE_HZ))
    content = (tmp_path / "x.ts").read_bytes()
    for foreign in (b"", bytes(5000), FOREIGN["html"], FOREIGN["noise"]):
        (tmp_path / "x.ts").write_bytes(content + foreign)
        assert len(io.read(tmp_path / "x.ts")[0]) >= 2 * RATE_HZ


@pytest.mark.parametrize(
    "bad",
    [bytes(400), b"\xff" * 400, FOREIGN["noise"][:400]],
    ids=["zeros", "ones", "noise"],
)
@pytest.mark.parametrize("has_length", [True, False])
def test_a_bad_frame_in_an_mp3_is_told_and_the_rest_stays(
    tmp_path, bad, has_length, caplog
):
    content = mp3(tmp_path / "x.mp3", tone(4 * RATE_HZ))
    if not has_length:
        content = content[content.index(b"\xff\xfb", 4) :]
    middle = len(content) // 2
    content = content[:middle] + bad + content[middle + len(bad) :]
    (tmp_path / "x.mp3").write_bytes(content)
    samples, _ = io.read(tmp_path / "x.mp3")
    assert len(samples) == pytest.approx(4 * RATE_HZ, abs=4 * 1152)
    assert len(caplog.messages) == 1
    assert "packets are damaged" in caplog.text and "x.mp3" in caplog.text
    (tmp_path / "x.mp3").write_bytes(content[: len(content) * 8 // 10])
    if has_length:
        with pytest.raises(InputError, match="truncated"):
            io.read(tmp_path / "x.mp3")


@pytest.mark.parametrize("suffix", ["wav", "w64"])
def test_an_mp3_in_a_wav_is_read_and_its_end_is_seen(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    write_with_ffmpeg(path, "libmp3lame", tone(2 * RATE_HZ))
    assert len(io.read(path)[0]) == pytest.approx(2 * RATE_HZ, abs=4 * 1152)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="truncated"):
        io.read(path)


def test_lossless_samples_are_those_that_libsndfile_reads(tmp_path):
    path = tmp_path / "x.flac"
    soundfile.write(path, noise(30_000), RATE_HZ)
    decoder, samples = decode(path)
    assert (decoder.sample_rate_hz, decoder.channels) == (RATE_HZ, 2)
    assert decoder.duration_seconds == pytest.approx(30_000 / RATE_HZ, abs=1e-3)
    np.testing.assert_array_equal(samples, soundfile.read(path, dtype="float32")[0])


def test_mono_aac_has_one_channel_and_its_tone(tmp_path):
    write_with_ffmpeg(tmp_path / "x.m4a", "aac", tone(channels=1), "mono")
    decoder, samples = decode(tmp_path / "x.m4a")
    assert decoder.channels == samples.shape[1] == 1
    levels = np.abs(np.fft.rfft(samples[:RATE_HZ, 0]))
    assert np.argmax(levels) == pytest.approx(440, abs=1)


@pytest.mark.parametrize("frames", [30_000, 44_100])
def test_an_m4a_keeps_the_padding_of_its_last_packet(tmp_path, frames):
    """Packets have 1024 frames; MUSDB18's lengths are whole ones of these, too."""
    with AudioWriter(tmp_path / "x.m4a", RATE_HZ, 2) as writer:
        writer.write(tone(frames))
    _, samples = decode(tmp_path / "x.m4a")
    assert len(samples) == (frames // 1024 + 1) * 1024
    np.testing.assert_allclose(samples[2000:frames], tone(frames)[2000:], atol=0.05)


@pytest.mark.parametrize("container", ["m4a", "mka"])
def test_a_stream_shorter_than_its_header_promises_is_cut(tmp_path, container):
    path = tmp_path / f"x.{container}"
    write_with_ffmpeg(path, "aac", tone(2 * RATE_HZ))
    decoder, samples = decode(path)
    assert not decoder.is_cut(len(samples))
    assert decoder.is_cut(len(samples) // 2)


def test_a_length_that_ffmpeg_guesses_promises_nothing(tmp_path):
    write_with_ffmpeg(tmp_path / "x.aac", "aac", tone())
    decoder, _ = decode(tmp_path / "x.aac")
    assert not decoder.is_cut(1)


def test_a_file_without_audio_is_refused(tmp_path):
    with av.open(str(tmp_path / "x.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width = stream.height = 64
        frame = av.VideoFrame(64, 64, "yuv420p")
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(InputError, match=r"x\.mp4: must be an audio file, but has no"):
        io.read(tmp_path / "x.mp4")


def test_tags_have_one_name_in_every_container(tmp_path):
    expected = {"title": "Ä b", "artist": "C", "tracknumber": "7"}
    tags = {"title": "Ä b", "artist": "C", "track": "7", "encoded_by": "nobody"}
    for name, codec in {"x.m4a": "aac", "x.mp3": "libmp3lame", "x.mka": "aac"}.items():
        write_with_ffmpeg(tmp_path / name, codec, tone(), tags=tags)
        assert decode(tmp_path / name)[0].tags == expected
        assert ffmpeg_decoder.read_tags(tmp_path / name) == expected


def test_what_has_no_tags_has_none(tmp_path):
    (tmp_path / "text").write_bytes(b"this is not music\n" * 99)
    assert ffmpeg_decoder.read_tags(tmp_path / "text") == {}


@pytest.mark.parametrize(
    ("head", "is_mp3"),
    [
        *[(b"ID3\x04", True), (b"\xff\xfb\x90", True), (b"\xff\xe2", True)],
        *[(b"RIFF", False), (b"\xff\xd8\xff", False), (b"\xff", False), (b"", False)],
    ],
)
def test_an_mp3_is_known_by_its_first_bytes(tmp_path, head, is_mp3):
    (tmp_path / "x").write_bytes(head)
    assert ffmpeg_decoder.may_be_mp3(tmp_path / "x") is is_mp3


@pytest.mark.parametrize(
    ("suffix", "codec", "sample", "bit_depth"),
    [
        ("m4a", "alac", "s16p", 16),
        ("m4a", "alac", "s32p", 24),
        ("mov", "pcm_s16le", None, 16),
        ("mov", "pcm_s24le", None, 24),
        ("mka", "pcm_s32le", None, 32),
        ("mka", "pcm_f32le", None, 32),
        ("mka", "pcm_u8", None, 16),
        ("flac", "flac", "s16", 16),
        ("wv", "wavpack", "s32p", 24),
        ("mka", "aac", None, 16),
        ("mp3", "libmp3lame", "s32p", 16),
        ("mka", "pcm_mulaw", None, 16),
    ],
)
def test_the_bit_depth_is_that_of_the_stream(
    tmp_path, suffix, codec, sample, bit_depth
):
    """And a lossless stream loses nothing on the way."""
    path = tmp_path / f"song.{suffix}"
    write_with_ffmpeg(path, codec, tone(8192), sample=sample)
    decoder, samples = decode(path)
    assert decoder.bit_depth == bit_depth
    if decoder.bit_depth > 16:
        steps = 2 ** (bit_depth - 1) if bit_depth < 32 else 2**24
        assert np.abs(samples[:8192] - tone(8192)).max() <= 1.01 / steps


def test_the_stems_of_a_lossless_song_have_its_bit_depth(tmp_path):
    """A flac behind an ID3 tag, and many channels folded down: FFmpeg reads them."""
    soundfile.write(tmp_path / "x.flac", tone(), RATE_HZ, subtype="PCM_24")
    tagged = b"ID3\x04\x00\x00\x00\x00\x02\x01" + bytes(257)
    (tmp_path / "y.flac").write_bytes(tagged + (tmp_path / "x.flac").read_bytes())
    with AudioReader(tmp_path / "y.flac") as reader:
        assert reader.bit_depth == 24
    six = np.repeat(tone(), 3, axis=1)
    soundfile.write(tmp_path / "six.wav", six, RATE_HZ, subtype="PCM_24")
    with AudioReader(tmp_path / "six.wav", downmix=True) as reader:
        assert (reader.channels, reader.bit_depth) == (2, 24)


@pytest.mark.parametrize(
    ("suffix", "container", "codec"),
    [
        ("mpg", "mpeg", "mp2"),
        ("vob", "vob", "mp2"),
        ("svcd", "svcd", "mp2"),
        ("flv", "flv", "aac"),
        ("swf", "swf", "libmp3lame"),
        ("ts", "mpegts", "mp2"),
        ("avi", "avi", "mp2"),
    ],
)
def test_containers_that_show_no_stream_at_first_are_decoded(
    tmp_path, suffix, container, codec
):
    """Python would crash on some of them, and not raise an error."""
    path = tmp_path / f"song.{suffix}"
    write_with_ffmpeg(path, codec, tone(), container=container)
    decoder, samples = decode(path)
    assert (decoder.sample_rate_hz, decoder.channels) == (RATE_HZ, 2)
    assert RATE_HZ <= len(samples) < RATE_HZ + 4096
    middle = samples[10_000:30_000]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))[:, None], axis=0))
    loudest_hz = np.argmax(spectrum, axis=0) * RATE_HZ / len(middle)
    np.testing.assert_allclose(loudest_hz, [440, 660], atol=3)
    np.testing.assert_allclose(middle.std(axis=0), tone().std(axis=0), rtol=0.1)


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile '{}'\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nfile://{}\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    ],
    ids=["concat", "hls", "hls of file://", "sdp"],
)
@pytest.mark.parametrize("name", ["list.mp4", "list.m3u8", "list.ts"])
def test_a_playlist_opens_no_other_file(tmp_path, text, name):
    song = tmp_path / "song.ts"
    write_with_ffmpeg(song, "mp2", tone())
    path = tmp_path / name
    path.write_text(text.format(song))
    with pytest.raises(InputError, match="must be an audio file"):
        decode(path)


def test_a_stream_of_an_unknown_codec_is_refused(tmp_path):
    path = tmp_path / "unknown.wav"
    soundfile.write(path, noise(6000), RATE_HZ)
    content = path.read_bytes()
    path.write_bytes(content[:20] + b"\x34\x12" + content[22:])  # the format's tag
    with pytest.raises(InputError, match="its codec is unknown"):
        AudioReader(path)


def test_a_wavpack_that_tells_no_kind_of_sample_is_refused(tmp_path, caplog):
    """Where all of its samples come out all the same, the broken rest is told."""
    path = tmp_path / "song.wv"
    write_with_ffmpeg(path, "wavpack", tone(6000))
    content = path.read_bytes()
    for place in range(32, 200):
        path.write_bytes(content[:place] + bytes(len(content) - place))
        caplog.clear()
        try:
            frames = len(io.read(path)[0])
        except InputError:
            continue
        assert frames == 6000
        assert "cannot be read" in caplog.text


def write_at(path, codec, start_seconds, *, with_picture=False, gap_seconds=0.0):
    """Writes two seconds of a tone that begin late; returns the decoder's samples.

    The picture, if there is one, begins at zero; the gap is in the middle.
    """
    picture = {".ts": "mpeg2video", ".flv": "flv"}.get(path.suffix, "mpeg4")
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as file:
        stream = file.add_stream(codec, rate=RATE_HZ, layout="stereo")
        if with_picture:
            video = file.add_stream(picture, rate=25)
            video.width = video.height = 64
            for number in range(100):
                frame = av.VideoFrame(64, 64, "yuv420p")
                frame.pts = number
                file.mux(video.encode(frame))
            file.mux(video.encode(None))
        to_codec = av.AudioResampler(
            stream.format.name, "stereo", RATE_HZ, stream.frame_size or None
        )
        sound = np.ascontiguousarray(tone(2 * RATE_HZ).T, np.float32)
        frame = av.AudioFrame.from_ndarray(sound, "fltp", "stereo")
        frame.sample_rate, frame.pts = RATE_HZ, 0
        packets = [p for f in to_codec.resample(frame) for p in stream.encode(f)]
        for packet in [*packets, *stream.encode(None)]:
            seconds = float(packet.pts * packet.time_base)
            late = start_seconds + (gap_seconds if seconds > 1 else 0)
            packet.pts += round(late / packet.time_base)
            packet.dts = packet.pts
            file.mux(packet)
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks())), reader.duration_seconds


@pytest.mark.parametrize(
    ("name", "codec"),
    [("x.mka", "flac"), ("x.mka", "aac"), ("x.mov", "pcm_s16le"), ("x.ts", "aac")],
)
def test_audio_alone_has_no_silence_before_it(tmp_path, name, codec, caplog):
    samples, _ = write_at(tmp_path / name, codec, 10)
    assert len(samples) == pytest.approx(2 * RATE_HZ, abs=3000)
    assert not caplog.messages


@pytest.mark.parametrize(
    ("name", "codec"),
    [("x.mkv", "flac"), ("x.mkv", "aac"), ("x.mp4", "aac"), ("x.mov", "pcm_s16le")]
    + [("x.ts", "mp2"), ("x.flv", "aac")],
)
def test_audio_behind_a_picture_lies_where_it_is_heard(tmp_path, name, codec):
    samples, seconds = write_at(tmp_path / name, codec, 1.5, with_picture=True)
    assert len(samples) == pytest.approx(3.5 * RATE_HZ, abs=4000)
    loud = np.flatnonzero(np.abs(samples[:, 0]) > 0.2)[0]
    assert loud == pytest.approx(1.5 * RATE_HZ, abs=2500)
    assert seconds >= 3.4


@pytest.mark.parametrize(("name", "codec"), [("x.mkv", "flac"), ("x.ts", "aac")])
def test_a_gap_in_the_timestamps_is_silent_and_told(tmp_path, name, codec, caplog):
    samples, _ = write_at(tmp_path / name, codec, 0, gap_seconds=1.0)
    assert len(samples) == pytest.approx(3 * RATE_HZ, abs=3000)
    assert np.abs(samples[int(1.2 * RATE_HZ) : int(1.9 * RATE_HZ)]).max() == 0
    assert "1.00 s of silence stand at 1.0" in caplog.text


def test_speex_that_comes_out_twice_as_long_is_refused(tmp_path):
    """FFmpeg does so at 16 kHz, with a gap after each packet."""
    path = tmp_path / "x.mka"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=16000, layout="mono")
        for number in range(100):  # 40 ms of samples, every 20 ms
            frame = av.AudioFrame.from_ndarray(
                np.ones((1, 640), np.int16), "s16", "mono"
            )
            frame.sample_rate, frame.pts = 16000, 320 * number
            file.mux(stream.encode(frame))
    with pytest.raises(InputError, match=r"decodes to 4\.00 s where they say 2\.02 s"):
        io.read(path)


@pytest.mark.parametrize("codec", ["mp3", "pcm_s16le"])
def test_a_part_of_an_avi_is_truncated(tmp_path, codec):
    path = tmp_path / "x.avi"
    write_with_ffmpeg(path, codec, tone(4 * RATE_HZ))
    assert len(io.read(path)[0]) == pytest.approx(4 * RATE_HZ, abs=3000)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InputError, match="truncated: it ends after"):
        io.read(path)


@pytest.mark.parametrize("rest", [0, 1], ids=["cut", "zeros"])
def test_an_flv_that_was_not_downloaded_to_its_end_is_noted(tmp_path, caplog, rest):
    path = tmp_path / "x.flv"
    write_with_ffmpeg(path, "mp3", tone(4 * RATE_HZ))
    assert len(io.read(path)[0]) == pytest.approx(4 * RATE_HZ, abs=3000)
    assert not caplog.text
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + rest * bytes(half))
    assert len(io.read(path)[0]) < 3 * RATE_HZ
    assert "its header tells of 4." in caplog.text


@pytest.mark.parametrize(("name", "chunk"), [("x.wav", "data"), ("x.aiff", "SSND")])
def test_of_a_file_with_two_chunks_of_samples_the_first_is_read(
    tmp_path, caplog, name, chunk
):
    """FFmpeg reads the last one, which is noted as left out."""
    order = "little" if chunk == "data" else "big"
    path, first = tmp_path / name, noise(5000)
    soundfile.write(path, first, RATE_HZ)
    other = chunk.encode() + (4000).to_bytes(4, order) + bytes(4000)
    path.write_bytes(path.read_bytes() + other)
    read, _ = io.read(path)
    np.testing.assert_allclose(read, first, atol=1 / 2**15)
    assert f"{len(other)} bytes are left out" in caplog.text


@pytest.mark.parametrize(
    "flags", ["disable_chpl", "faststart", "frag_keyframe+empty_moov"]
)
def test_a_second_recording_in_an_m4a_is_noted(tmp_path, caplog, flags):
    path = tmp_path / "x.m4a"
    with av.open(str(path), "w", options={"movflags": flags}) as file:
        stream = file.add_stream("alac", rate=RATE_HZ, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 4096), np.int16), "s16p")
        frame.sample_rate = RATE_HZ
        for part in (frame, None):
            file.mux(stream.encode(part))
    content = path.read_bytes()
    assert len(io.read(path)[0]) == 4096
    path.write_bytes(content + bytes(5000))
    assert len(io.read(path)[0]) == 4096
    assert not caplog.text
    path.write_bytes(2 * content)
    assert len(io.read(path)[0]) == 4096
    assert f"another recording follows its audio; its {len(content)}" in caplog.text
