import resource

import av
import numpy as np
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, noise, tone
from waveunet_tf.audio import encode, formats, io
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.errors import InputError, one_line

TAGS = {"title": "Ä b", "artist": "C", "date": "1999", "tracknumber": "7"}


@pytest.mark.parametrize(
    ("bit_depth", "steps"), [(16, 2**15), (24, 2**23), (32, 2**30)]
)
def test_samples_are_rounded_without_bias(tmp_path, bit_depth, steps):
    samples = np.random.default_rng(1).uniform(-1.1, 1.1, (20_000, 2)).astype("f")
    io.write_wav(tmp_path / "x.wav", samples, RATE_HZ, bit_depth=bit_depth)
    written, rate_hz = soundfile.read(tmp_path / "x.wav", dtype="float32")
    assert rate_hz == RATE_HZ
    expected = samples if bit_depth == 32 else samples.clip(-1, 1 - 1 / steps)
    error = (written - expected) * steps
    assert np.abs(error).max() <= (1.5 if bit_depth == 16 else 0.5) + 1e-6
    assert abs(error.mean()) < 0.02


def test_silence_is_written_as_silence_and_other_audio_with_other_dither(tmp_path):
    samples = np.zeros((1000, 2), np.float32)
    io.write_wav(tmp_path / "x.wav", samples, RATE_HZ)
    assert not soundfile.read(tmp_path / "x.wav")[0].any()
    errors = []
    for level in (0.1, 0.2):
        io.write_wav(tmp_path / "x.wav", samples + level, RATE_HZ)
        errors.append(soundfile.read(tmp_path / "x.wav")[0] - level)
    assert abs(np.corrcoef(errors[0].ravel(), errors[1].ravel())[0, 1]) < 0.1


def test_dither_makes_the_error_independent_of_the_signal(tmp_path):
    """A tone of less than one step is still heard: the mean follows it."""
    level = 0.3 / 2**15
    io.write_wav(tmp_path / "x.wav", np.full((200_000, 1), level), RATE_HZ)
    written, _ = soundfile.read(tmp_path / "x.wav")
    assert written.mean() == pytest.approx(level, rel=0.05)


@pytest.mark.parametrize("name", formats.FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_is_read_again_as_it_was_written(tmp_path, name, channels):
    path = tmp_path / f"x.{name}"
    rate_hz = formats.nearest_rate_hz(path, RATE_HZ)
    samples = tone(rate_hz, channels)
    with AudioWriter(path, rate_hz, channels, tags=TAGS) as writer:
        for start in range(0, rate_hz, 10_000):
            writer.write(samples[start : start + 10_000])
    with AudioReader(path) as reader:
        assert (reader.sample_rate_hz, reader.channels) == (rate_hz, channels)
        assert reader.tags == TAGS
        read = np.concatenate(list(reader.blocks()))
    assert rate_hz <= len(read) <= rate_hz + 4096
    error = read[: len(samples)] - samples
    assert np.sqrt(np.mean(error[5000:40000] ** 2)) < 0.03  # of 0.35


@pytest.mark.parametrize("name", formats.FORMATS)
def test_another_program_finds_the_tags(tmp_path, name):
    path = tmp_path / f"x.{name}"
    with AudioWriter(path, 48000, 2, tags={**TAGS, "mood": "unknown"}) as writer:
        writer.write(tone())
    with av.open(str(path)) as container:
        found = {**container.metadata, **container.streams.audio[0].metadata}
    found = {key.lower(): value for key, value in found.items()}
    assert {found["title"], found["artist"]} == {"Ä b", "C"}
    assert found["track"] == "7"
    assert "mood" not in found


@pytest.mark.parametrize(
    ("name", "bit_depth", "clip", "clipped"),
    [
        *[("x.wav", 16, False, True), ("x.wav", 32, False, False)],
        *[("x.wav", 32, True, True), ("x.flac", 24, False, True)],
    ],
)
def test_what_is_beyond_full_scale_is_clipped_and_counted(
    tmp_path, name, bit_depth, clip, clipped
):
    samples = np.array([[1.5, 0.5], [-2.0, 1.0]], np.float32)
    with AudioWriter(
        tmp_path / name, 8000, 2, bit_depth=bit_depth, clip=clip
    ) as writer:
        writer.write(samples)
        writer.write(samples[:0])
    assert writer.clipped_samples == (2 if clipped else 0)
    expected = samples.clip(-1, 1) if clipped else samples
    written = soundfile.read(tmp_path / name)[0]
    np.testing.assert_allclose(written, expected, atol=2.5 / 2**15)


def test_how_audio_is_cut_into_blocks_does_not_show(tmp_path):
    samples = noise(5000)
    for name, cuts in {"one.wav": [], "many.wav": [1000, 1001, 4000]}.items():
        with AudioWriter(tmp_path / name, 8000, 2, bit_depth=24) as writer:
            for block in np.split(samples, cuts):
                writer.write(block)
    one, many = ((tmp_path / name).read_bytes() for name in ("one.wav", "many.wav"))
    assert one == many


def test_a_long_block_of_vorbis_is_written_whole(tmp_path):
    with AudioWriter(tmp_path / "x.ogg", 8000, 2) as writer:
        writer.write(noise(1_000_000))
    assert soundfile.info(tmp_path / "x.ogg").frames == 1_000_000


def test_a_long_wav_has_a_header_for_its_length(tmp_path, monkeypatch):
    path = tmp_path / "long.wav"
    with AudioWriter(path, 8000, 2, expected_seconds=2**32 / 32000) as writer:
        writer.write(np.full((100, 2), 0.5, np.float32))
    assert path.read_bytes()[:4] == b"RF64"
    assert io.read(path)[0].shape == (100, 2)
    monkeypatch.setattr(encode, "_MAX_WAV_BYTES", 1000)
    with pytest.raises(OSError, match="cannot be longer than 4 GiB"):
        with AudioWriter(path, 8000, 2) as writer:
            writer.write(np.zeros((400, 2), np.float32))


@pytest.mark.parametrize(
    ("name", "rate_hz", "bit_depth", "message"),
    [
        ("x.aac", 44100, 16, "must be one of wav"),
        ("x.flac", 44100, 32, "bit depth of 16 or 24"),
        ("x.opus", 44100, 16, "such as 48000 Hz"),
    ],
)
def test_what_a_format_cannot_hold_is_not_begun(
    tmp_path, name, rate_hz, bit_depth, message
):
    with pytest.raises(InputError, match=message):
        AudioWriter(tmp_path / name, rate_hz, 2, bit_depth=bit_depth)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.wav", "x.mp3"])
def test_a_folder_that_is_not_there_is_an_os_error_with_the_files_name(tmp_path, name):
    path = tmp_path / "missing" / name
    with pytest.raises(OSError) as error:
        with AudioWriter(path, 44100, 2) as writer:
            writer.write(tone())
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["x.wav", "x.mp3", "x.m4a"])
def test_an_error_in_the_body_is_the_one_that_is_seen(tmp_path, name):
    with pytest.raises(KeyError):
        with AudioWriter(tmp_path / name, 44100, 2) as writer:
            writer.write(tone())
            raise KeyError


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "m4a"])
def test_a_text_that_is_too_long_for_a_header_is_cut(tmp_path, suffix):
    others = {**TAGS, "album": "D", "genre": "E"}
    tags = {**others, "comment": "é" * 100_000}
    with AudioWriter(tmp_path / f"x.{suffix}", 48000, 2, tags=tags) as writer:
        writer.write(noise(5000).astype(np.float32))
    with AudioReader(tmp_path / f"x.{suffix}") as reader:
        comment = reader.tags.pop("comment")
        assert reader.tags == others
        assert sum(map(len, reader.blocks())) >= 5000
    assert set(comment) == {"é"}
    assert len(comment) == (4000 if suffix in ("wav", "opus") else 100_000)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "m4a"])
@pytest.mark.parametrize("missing_bytes", [1, 9000])
def test_a_disk_that_is_full_at_the_end_is_told(tmp_path, suffix, missing_bytes):
    path, samples = tmp_path / f"x.{suffix}", tone(60_000).astype(np.float32)

    def write():
        with AudioWriter(path, 48000, 2) as writer:
            writer.write(samples)

    write()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = path.stat().st_size - missing_bytes
    path.unlink()
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))  # as a full disk
    try:
        with pytest.raises(OSError) as error:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert one_line(error.value) == f"{path}: File too large"
