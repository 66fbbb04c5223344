import os
import pathlib
import struct

import av
import numpy as np
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, noise, tone, write_with_ffmpeg
from waveunet_tf.audio import io
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.errors import InputError

SUFFIXES = ("wav", "flac", "ogg", "mp3", "aiff", "w64")


@pytest.fixture(scope="module")
def broken_files(tmp_path_factory, example):
    """Name → content, and the rule that it breaks."""
    folder = tmp_path_factory.mktemp("whole")
    for suffix in SUFFIXES:
        soundfile.write(folder / f"whole.{suffix}", noise(441_000), RATE_HZ)
    whole = {suffix: (folder / f"whole.{suffix}").read_bytes() for suffix in SUFFIXES}
    stem = pathlib.Path(example).read_bytes()
    return {
        "empty.wav": (b"", "is empty"),
        "text.wav": (b"this is not music\n" * 99, "cannot be decoded"),
        "text.mp3": (b"this is not music\n" * 99, "cannot be decoded"),
        "text.m4a": (b"this is not music\n" * 99, "cannot be decoded"),
        "cut.wav": (whole["wav"][:100_000], "truncated"),
        "cut.aiff": (whole["aiff"][:100_000], "truncated"),
        "cut.w64": (whole["w64"][:100_000], "truncated"),
        "list.wav": (b"ffconcat version 1.0\nfile whole.wav\n", "cannot be decoded"),
        "cut.flac": (whole["flac"][: len(whole["flac"]) // 2], "truncated"),
        "cut.ogg": (whole["ogg"][: len(whole["ogg"]) // 2], "truncated"),
        "cut.mp3": (whole["mp3"][: len(whole["mp3"]) // 2], "truncated"),
        "cut.stem.mp4": (stem[: len(stem) // 2], "truncated"),
    }


@pytest.mark.parametrize(
    "name",
    ["empty.wav", "text.wav", "text.mp3", "text.m4a", "cut.wav", "cut.flac", "cut.ogg"]
    + ["cut.mp3", "cut.stem.mp4", "cut.aiff", "cut.w64", "list.wav"],
)
def test_a_broken_file_is_refused_with_its_name_and_the_rule(
    tmp_path, broken_files, name
):
    content, rule = broken_files[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        io.read(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert rule in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name", ["http:1.mp3", "Mix: 1.m4a", "café\udce9.wav", "%d.mp3"]
)
def test_any_file_name_is_read(tmp_path, name, monkeypatch):
    whole = tmp_path / f"whole.{name.rsplit('.')[-1]}"
    if whole.suffix == ".m4a":
        write_with_ffmpeg(whole, "aac", tone())
    else:
        soundfile.write(whole, tone(), RATE_HZ)
    whole.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(io.read(name)[0]) >= RATE_HZ


def test_a_headerless_file_is_refused(tmp_path):
    (tmp_path / "x.raw").write_bytes(bytes(9999))
    with pytest.raises(InputError, match=r"x\.raw: must be an audio file"):
        io.read(tmp_path / "x.raw")


@pytest.mark.parametrize("suffix", ["wav", "aiff"])
def test_a_file_without_frames_is_refused(tmp_path, suffix):
    path = tmp_path / f"none.{suffix}"
    soundfile.write(path, np.zeros((0, 2)), RATE_HZ)
    with pytest.raises(InputError, match="zero frames"):
        io.read(path)


@pytest.mark.parametrize(
    ("name", "subtype", "bit_depth"),
    [
        *[("x.wav", "PCM_16", 16), ("x.wav", "PCM_24", 24), ("x.wav", "FLOAT", 32)],
        *[("x.wav", "DOUBLE", 32), ("x.wav", "PCM_U8", 16), ("x.flac", "PCM_24", 24)],
        *[("x.ogg", "VORBIS", 16), ("x.mp3", "MPEG_LAYER_III", 16)],
        *[("x.caf", "ALAC_16", 16), ("x.caf", "ALAC_20", 24)],
        *[("x.caf", "ALAC_24", 24), ("x.caf", "ALAC_32", 32)],
    ],
)
def test_a_reader_tells_what_a_header_says(tmp_path, name, subtype, bit_depth):
    soundfile.write(tmp_path / name, tone(22050), RATE_HZ, subtype=subtype)
    with AudioReader(tmp_path / name) as reader:
        assert reader.path == tmp_path / name
        assert (reader.sample_rate_hz, reader.channels) == (RATE_HZ, 2)
        assert reader.bit_depth == bit_depth
        assert reader.duration_seconds == pytest.approx(0.5, abs=0.05)
        assert reader.tags == {}
        frames = sum(len(block) for block in reader.blocks())
    assert frames == pytest.approx(22050, abs=2304)


# Of each format, a chunk that may follow the samples: its name and size.
BEHIND = {
    "wav": b"LIST" + struct.pack("<I", 4000),
    "rf64": b"LIST" + struct.pack("<I", 4000),
    "aiff": b"ANNO" + struct.pack(">I", 4000),
    "caf": b"info" + struct.pack(">Q", 4000),
    "w64": b"levl"
    + bytes.fromhex("f3acd3118cd100c04f8edb8a")
    + struct.pack("<Q", 4024),
}


@pytest.mark.parametrize("suffix", BEHIND)
def test_a_chunk_behind_the_samples_is_no_audio(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, noise(5000), RATE_HZ, subtype="PCM_24")
    expected, _ = soundfile.read(path, dtype="float32")
    path.write_bytes(path.read_bytes() + BEHIND[suffix] + 1000 * b"\x12\x7f\x34\x80")
    np.testing.assert_array_equal(io.read(path)[0], expected)


@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_a_voc_of_several_blocks_has_no_noise_between_them(tmp_path, layout):
    channels = 1 if layout == "mono" else 2
    samples = (tone(9000, channels) * 32767).astype(np.int16)
    with av.open(str(tmp_path / "x.voc"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=RATE_HZ, layout=layout)
        for block in np.split(samples, [4096, 5000]):
            frame = av.AudioFrame.from_ndarray(block.reshape(1, -1), "s16", layout)
            frame.sample_rate = RATE_HZ
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    decoded, rate_hz = io.read(tmp_path / "x.voc")
    assert rate_hz == RATE_HZ
    np.testing.assert_array_equal(decoded, np.float32(samples) / 2**15)


@pytest.mark.parametrize("name", ["x.wav", "x.flac"])
def test_lossless_files_have_the_samples_that_soundfile_reads(tmp_path, name):
    soundfile.write(tmp_path / name, noise(200_000), RATE_HZ)
    expected, _ = soundfile.read(tmp_path / name, dtype="float32")
    with AudioReader(tmp_path / name) as reader:
        blocks = list(reader.blocks())
    assert max(map(len, blocks)) < len(expected)  # a stream, not the whole
    np.testing.assert_array_equal(np.concatenate(blocks), expected)


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.mp3", "text.m4a"])
def test_a_file_is_closed_after_use_and_after_errors(tmp_path, name):
    soundfile.write(tmp_path / "x.wav", tone(), RATE_HZ)
    if name.startswith("text"):
        (tmp_path / name).write_bytes(b"this is not music\n" * 99)
    else:
        soundfile.write(tmp_path / name, tone(), RATE_HZ)
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        try:
            with AudioReader(tmp_path / name) as reader:
                next(reader.blocks())
        except InputError:
            assert name.startswith("text")
    assert len(os.listdir("/proc/self/fd")) <= len(before)


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg"])
def test_surround_is_folded_down_only_where_that_is_wished(tmp_path, name):
    soundfile.write(tmp_path / name, np.repeat(tone(channels=1), 6, 1) / 4, RATE_HZ)
    with AudioReader(tmp_path / name) as reader:
        assert reader.channels == 6
        assert next(reader.blocks()).shape[1] == 6
    with AudioReader(tmp_path / name, downmix=True) as reader:
        assert reader.channels == 2
        stereo = np.concatenate(list(reader.blocks()))
    assert stereo.shape[1] == 2
    assert np.abs(stereo[1000:-1000]).max() > 0.1


def test_a_downmix_is_the_one_of_ffmpegs_rules(tmp_path):
    """Front left 1, centre and surround left √½ each, scaled to stay in full scale."""
    levels = np.array([0.5, 0.0, 0.25, 0.0, 0.125, 0.0])  # L R C LFE Ls Rs
    soundfile.write(tmp_path / "x.wav", np.tile(levels, (5000, 1)), RATE_HZ, "FLOAT")
    with AudioReader(tmp_path / "x.wav", downmix=True) as reader:
        left, right = np.concatenate(list(reader.blocks()))[2500]
    root = np.sqrt(0.5)
    expected = (0.5 + root * 0.25 + root * 0.125, root * 0.25)
    assert right / left == pytest.approx(expected[1] / expected[0], rel=1e-3)


def test_stereo_stays_as_it_is_where_surround_would_be_folded_down(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(), RATE_HZ)
    with AudioReader(tmp_path / "x.wav", downmix=True) as reader:
        stereo = np.concatenate(list(reader.blocks()))
    np.testing.assert_array_equal(stereo, io.read(tmp_path / "x.wav")[0])


@pytest.mark.parametrize("rate_hz", [1, 24, 999, 2**31 - 1])
def test_a_rate_that_no_music_has_is_refused(tmp_path, rate_hz):
    path = tmp_path / "slow.wav"
    soundfile.write(path, noise(6000), rate_hz)
    with pytest.raises(
        InputError, match=f"slow.wav: must have a sample rate.*{rate_hz}"
    ):
        AudioReader(path)


def test_a_pipe_is_told_by_its_name(tmp_path):
    reading, writing = os.pipe()
    os.close(writing)
    try:
        with pytest.raises(InputError, match=f"^/dev/fd/{reading}: .* but is a pipe"):
            AudioReader(f"/dev/fd/{reading}")
    finally:
        os.close(reading)
