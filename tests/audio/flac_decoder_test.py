import numpy as np
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, noise
from waveunet_tf.audio import io
from waveunet_tf.audio.flac_decoder import is_flac
from waveunet_tf.errors import InputError

FRAMES = 100_000


@pytest.fixture
def flac(tmp_path):
    soundfile.write(tmp_path / "x.flac", noise(FRAMES), RATE_HZ, "PCM_24")
    return tmp_path / "x.flac"


def with_length(content, frames):
    """The file with another number of frames in its header, of 36 bits."""
    content = bytearray(content)
    content[21] &= 0xF0
    content[22:26] = frames.to_bytes(4, "big")
    return content


@pytest.mark.parametrize("told", [0, FRAMES // 3])
def test_a_header_with_a_wrong_length_loses_nothing(flac, told, caplog):
    """0 stands in what an encoder wrote into a pipe."""
    expected = io.read(flac)[0]
    flac.write_bytes(with_length(flac.read_bytes(), told))
    np.testing.assert_array_equal(io.read(flac)[0], expected)
    told_wrong = [
        f"{flac}: is longer than its header says" in m for m in caplog.messages
    ]
    assert told_wrong == [True] * bool(told)


def test_a_damaged_frame_costs_that_frame(flac, caplog):
    expected, content = io.read(flac)[0], bytearray(flac.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    flac.write_bytes(content)
    samples = io.read(flac)[0]
    assert abs(len(samples) - FRAMES) <= 2 * 4608
    for part in (slice(0, 30_000), slice(-30_000, None)):
        np.testing.assert_array_equal(samples[part], expected[part])
    assert len(caplog.messages) == 1
    assert f"{flac}: is damaged near" in caplog.text


def test_two_flac_in_a_row_are_both_read(flac, caplog):
    expected = io.read(flac)[0]
    flac.write_bytes(flac.read_bytes() * 2)
    np.testing.assert_array_equal(io.read(flac)[0], np.tile(expected, (2, 1)))


@pytest.mark.parametrize("head", [b"", b"ID3\x04\x00\x00\x00\x00\x02\x01" + bytes(257)])
def test_half_of_a_flac_is_truncated(flac, head):
    content = flac.read_bytes()
    flac.write_bytes(head + content[: len(content) // 2])
    with pytest.raises(InputError, match="truncated"):
        io.read(flac)


def test_a_tag_behind_a_flac_is_no_audio(flac, caplog):
    flac.write_bytes(flac.read_bytes() + b"TAG" + bytes(125))
    assert len(io.read(flac)[0]) == FRAMES
    assert not caplog.messages


@pytest.mark.parametrize(("head", "expected"), [(b"fLaC", True), (b"RIFF", False)])
def test_flac_is_known_by_its_first_bytes(tmp_path, head, expected):
    (tmp_path / "x").write_bytes(head)
    with (tmp_path / "x").open("rb") as file:
        assert is_flac(file) is expected
