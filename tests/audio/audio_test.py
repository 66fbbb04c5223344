import resource

import av
import numpy as np
import pytest
import soundfile

from waveunet_tf.audio import formats, io, resample
from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.data.sigsep import import_sigsep
from waveunet_tf.errors import InputError

RATE_HZ = 44100
SUFFIXES = ("wav", "flac", "ogg", "mp3", "aiff", "w64")


def tone(frames=RATE_HZ, channels=2):
    seconds = np.arange(frames)[:, None] / RATE_HZ
    return 0.5 * np.sin(2 * np.pi * seconds * [440.0, 660.0][:channels])


def noise(frames):
    return np.random.default_rng(0).normal(0, 0.1, (frames, 2))


@pytest.fixture
def example():
    """The stem.mp4 of MUSDB18 that stempeg carries."""
    return import_sigsep("stempeg").example_stem_path()


def write_with_ffmpeg(path, codec, samples):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T, np.float32), "fltp", "stereo"
        )
        frame.sample_rate = RATE_HZ
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("x.wav", 1e-4), ("x.flac", 1e-4), ("x.ogg", 0.1), ("x.mp3", 0.1)],
)
def test_read_gives_float_frames_and_channels(tmp_path, name, tolerance):
    soundfile.write(tmp_path / name, tone(), RATE_HZ)
    samples, rate_hz = io.read(tmp_path / name)
    assert samples.dtype == np.float32
    assert rate_hz == RATE_HZ
    assert samples.shape[1] == 2
    middle = slice(5000, 40000)
    np.testing.assert_allclose(samples[middle], tone()[middle], atol=tolerance)


def test_read_decodes_m4a_without_a_system_ffmpeg(tmp_path):
    write_with_ffmpeg(tmp_path / "x.m4a", "aac", tone())
    samples, rate_hz = io.read(tmp_path / "x.m4a")
    assert rate_hz == RATE_HZ
    level = np.sqrt(np.mean(samples[5000:40000] ** 2))
    assert level == pytest.approx(0.5 / np.sqrt(2), rel=0.02)


def test_read_gives_each_stream_of_a_stem_file(example):
    mixture, rate_hz = io.read(example)
    assert (mixture.shape, rate_hz) == ((268288, 2), 44100)
    stems = [io.read(example, stream=number)[0] for number in range(1, 5)]
    residual = mixture - sum(stems)
    assert np.mean(residual**2) < 0.1 * np.mean(mixture**2)
    with pytest.raises(InputError, match="must have audio stream 5, but has 5"):
        io.read(example, stream=5)


def broken_files(tmp_path, example):
    """Name → how its bytes come about."""
    for suffix in SUFFIXES:
        soundfile.write(tmp_path / f"whole.{suffix}", noise(441_000), RATE_HZ)
    whole = {suffix: (tmp_path / f"whole.{suffix}").read_bytes()
             for suffix in SUFFIXES}  # fmt: skip
    with open(example, "rb") as file:
        stem = file.read()
    return {
        "empty.wav": (b"", "is empty"),
        "text.wav": (b"this is not music\n" * 99, "cannot be decoded"),
        "text.mp3": (b"this is not music\n" * 99, "cannot be decoded"),
        "text.m4a": (b"this is not music\n" * 99, "cannot be decoded"),
        "cut.wav": (whole["wav"][:100_000], "truncated"),
        "cut.aiff": (whole["aiff"][:100_000], "truncated"),
        "cut.w64": (whole["w64"][:100_000], "truncated"),
        "list.wav": (b"ffconcat version 1.0\nfile whole.wav\n", "cannot be decoded"),
        "cut.flac": (whole["flac"][: len(whole["flac"]) // 2], "cannot be decoded"),
        "cut.ogg": (whole["ogg"][: len(whole["ogg"]) // 2], "truncated"),
        "cut.mp3": (whole["mp3"][: len(whole["mp3"]) // 2], "truncated"),
        "cut.stem.mp4": (stem[: len(stem) // 2], "truncated"),
    }


@pytest.mark.parametrize(
    "name",
    ["empty.wav", "text.wav", "text.mp3", "text.m4a", "cut.wav", "cut.flac", "cut.ogg"]
    + ["cut.mp3", "cut.stem.mp4", "cut.aiff", "cut.w64", "list.wav"],
)
def test_a_broken_file_is_refused_with_its_name_and_the_rule(tmp_path, example, name):
    content, rule = broken_files(tmp_path, example)[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        io.read(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)
    assert rule in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("tags", [b"", b"ID3\x04\x00\x00\x00\x00\x02\x01" + bytes(257)])
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


def test_a_file_whose_rate_changes_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.mp3", noise(44100), 44100)
    soundfile.write(tmp_path / "b.mp3", noise(32000), 32000)
    both = (tmp_path / "a.mp3").read_bytes() + (tmp_path / "b.mp3").read_bytes()
    (tmp_path / "both.mp3").write_bytes(both)
    with pytest.raises(InputError, match="changes at .* from .* Hz, 2 channels to"):
        io.read(tmp_path / "both.mp3")


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


def test_silence_is_written_as_silence_and_other_audio_with_other_dither(tmp_path):
    samples = np.zeros((1000, 2), np.float32)
    io.write_wav(tmp_path / "x.wav", samples, RATE_HZ)
    assert not soundfile.read(tmp_path / "x.wav")[0].any()
    errors = []
    for level in (0.1, 0.2):
        io.write_wav(tmp_path / "x.wav", samples + level, RATE_HZ)
        errors.append(soundfile.read(tmp_path / "x.wav")[0] - level)
    assert abs(np.corrcoef(errors[0].ravel(), errors[1].ravel())[0, 1]) < 0.1


def test_a_file_without_frames_is_refused(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 2)), RATE_HZ)
    with pytest.raises(InputError, match="zero frames"):
        io.read(tmp_path / "none.wav")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        io.read(tmp_path / "missing.wav")


@pytest.mark.parametrize(
    ("bit_depth", "steps"), [(16, 2**15), (24, 2**23), (32, 2**30)]
)
def test_write_wav_rounds_without_bias(tmp_path, bit_depth, steps):
    samples = np.random.default_rng(1).uniform(-1.1, 1.1, (20_000, 2)).astype("f")
    io.write_wav(tmp_path / "x.wav", samples, RATE_HZ, bit_depth=bit_depth)
    written, rate_hz = soundfile.read(tmp_path / "x.wav", dtype="float32")
    assert rate_hz == RATE_HZ
    expected = samples if bit_depth == 32 else samples.clip(-1, 1 - 1 / steps)
    error = (written - expected) * steps
    assert np.abs(error).max() <= (1.5 if bit_depth == 16 else 0.5) + 1e-6
    assert abs(error.mean()) < 0.02


def test_write_wav_leaves_nothing_behind_when_it_fails(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # as a full disk
    try:
        with pytest.raises(OSError, match=r"x\.wav: cannot be written"):
            io.write_wav(tmp_path / "x.wav", tone(), RATE_HZ)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


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
    assert len(resample.resample(there, 22050, 44100, frames=frames)) == frames


def test_channels_are_repeated_or_averaged():
    stereo = np.array([[1.0, 3.0]], np.float32)
    np.testing.assert_array_equal(to_channels(stereo, 1), [[2]])
    np.testing.assert_array_equal(to_channels(stereo[:, :1], 2), [[1, 1]])
    with pytest.raises(InputError, match="1 or 2 channels. Received: 6"):
        to_channels(np.zeros((5, 6)), 2)


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/b.stem.mp4", "b"), ("a/b.mp3", "b"), ("b.live.wav", "b.live"), ("b", "b")],
)
def test_a_songs_name_is_its_files_without_suffix(path, name):
    assert formats.song_name(path) == name


@pytest.mark.parametrize("path", ["...wav", ".stem.mp4", "a/..", ""])
def test_a_name_that_could_name_no_folder_is_refused(path):
    with pytest.raises(InputError, match="must have a name before its suffix"):
        formats.song_name(path)
