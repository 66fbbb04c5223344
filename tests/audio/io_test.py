import resource

import numpy as np
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, tone, write_with_ffmpeg
from waveunet_tf.audio import io
from waveunet_tf.errors import InputError, one_line


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
    with pytest.raises(InputError, match="must have audio track 6, but has 5: 1 "):
        io.read(example, stream=5)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        io.read(tmp_path / "missing.wav")


@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_written_is_read_again(tmp_path, channels):
    samples = tone(channels=channels).astype(np.float32)
    io.write_wav(tmp_path / "new" / "x.wav", samples, 8192, bit_depth=32)
    again, rate_hz = io.read(tmp_path / "new" / "x.wav")
    np.testing.assert_array_equal(again, samples)
    assert rate_hz == 8192


def test_a_file_of_that_name_is_replaced(tmp_path):
    for level in (0.25, 0.5):
        io.write_wav(tmp_path / "x.wav", np.full((10, 1), level), 8000, bit_depth=32)
    assert (soundfile.read(tmp_path / "x.wav")[0] == 0.5).all()
    assert [path.name for path in tmp_path.iterdir()] == ["x.wav"]


def test_write_wav_leaves_nothing_behind_when_it_fails(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # as a full disk
    try:
        with pytest.raises(OSError) as error:
            io.write_wav(tmp_path / "x.wav", tone(), RATE_HZ)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    # libsndfile itself gives no reason.
    assert one_line(error.value) == f"{tmp_path}/x.wav: File too large"
    assert list(tmp_path.iterdir()) == []
