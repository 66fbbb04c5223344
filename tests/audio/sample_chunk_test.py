import io as streams
import struct

import numpy as np
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, noise
from waveunet_tf.audio import io
from waveunet_tf.audio.sample_chunk import MendedFile, find_samples, is_placeholder
from waveunet_tf.errors import InputError

FRAMES = 5000
# Format → the name of the chunk of samples, where its size is, and what it also counts.
FORMATS = {
    "WAV": (b"data", "<I", 4, 0),
    "AIFF": (b"SSND", ">I", 4, 8),
    "W64": (b"data", "<Q", 16, 24),
    "AU": (b".snd", ">I", 8, 0),
    "CAF": (b"data", ">Q", 4, 4),
    "RF64": (b"ds64", "<Q", 16, 0),
}
SIZES = {"<I": [0, 0x7F000000, 0x7FFFF000, 2**31 - 1, 2**32 - 1]}
SIZES[">I"] = SIZES["<I"]
SIZES["<Q"] = SIZES[">Q"] = [*SIZES["<I"], 2**63 - 1, 2**64 - 1]


def encoded(kind, subtype="PCM_16"):
    buffer = streams.BytesIO()
    soundfile.write(buffer, noise(FRAMES), RATE_HZ, subtype, format=kind)
    return bytearray(buffer.getvalue())


def with_size(content, kind, size):
    """The file with another size of its samples in its header."""
    word, layout, behind, also = FORMATS[kind]
    content = bytearray(content)
    size = min(size + also, 2 ** (8 * struct.calcsize(layout)) - 1)
    struct.pack_into(layout, content, content.index(word) + behind, size)
    return content


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("kind", FORMATS)
def test_placeholders_of_the_size_are_read_to_the_files_end(tmp_path, kind, subtype):
    content = encoded(kind, subtype)
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(content)
    expected = io.read(path)[0]
    for size in SIZES[FORMATS[kind][1]]:
        path.write_bytes(with_size(content, kind, size))
        np.testing.assert_array_equal(io.read(path)[0], expected, err_msg=hex(size))


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_that_ends_before_its_samples_is_truncated(tmp_path, kind):
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(encoded(kind)[:12_000])
    with pytest.raises(InputError, match=r"truncated: it ends after \d+ frames"):
        io.read(path)


@pytest.mark.parametrize("size", [0, 4096])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_size_of_an_earlier_moment_is_told(tmp_path, kind, size, caplog):
    """A recorder that dies leaves the size that it wrote last."""
    path = tmp_path / f"x.{kind.lower()}"
    path.write_bytes(with_size(encoded(kind), kind, size))
    assert io.read(path)[0].shape == (FRAMES, 2)
    message = f"{path}: its header tells of {size} bytes of samples"
    assert [message in each for each in caplog.messages] == [True]


def test_a_file_without_samples_has_none_whatever_follows(tmp_path):
    chunk = b"LIST" + struct.pack("<I", 26) + b"INFOINAM" + struct.pack("<I", 14)
    header = with_size(encoded("WAV"), "WAV", 0)[:44]
    for behind in (b"", chunk + b"hello, world!\0"):
        (tmp_path / "x.wav").write_bytes(header + behind)
        with pytest.raises(InputError, match="zero frames"):
            io.read(tmp_path / "x.wav")


@pytest.mark.parametrize(
    ("foreign", "outer", "told"),
    [
        (b"TAG" + bytes(125), 0, ""),
        (b"\1" * 5000, 0, "5000 bytes behind its audio are left out"),
        (b"", 99_999, "its header promises 99999 more bytes than the file has"),
        (b"", 2**32 - 1, ""),
    ],
)
def test_what_is_wrong_beside_whole_samples_is_told(
    tmp_path, foreign, outer, told, caplog
):
    content = encoded("WAV")
    if outer:
        size = min(len(content) - 8 + outer, 2**32 - 1)
        struct.pack_into("<I", content, 4, size)
    (tmp_path / "x.wav").write_bytes(content + foreign)
    assert io.read(tmp_path / "x.wav")[0].shape == (FRAMES, 2)
    assert [told in each for each in caplog.messages] == [True] * bool(told)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", b"fLaC" * 9, b"RIFF1234WAVE", b"FORM"]
)
def test_other_files_have_no_such_chunk(content):
    assert find_samples(streams.BytesIO(content)) is None


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0x7FFFF000, True), (2**32 - 1, True), (2**63 - 1, True)]
    + [(3_000_000_000, False), (705_600, False), (2**30, False)],
)
def test_placeholders_are_near_powers_of_two_or_beyond_any_song(size, expected):
    assert is_placeholder(size) is expected


def test_a_mended_file_reads_as_one_with_the_right_size(tmp_path):
    whole = encoded("WAV")
    (tmp_path / "x.wav").write_bytes(with_size(whole, "WAV", 0))
    with (tmp_path / "x.wav").open("rb") as file:
        mended = MendedFile(file, find_samples(file))
        for start, count in [(0, 44), (0, -1), (41, 2), (43, 9), (40, 4), (30, 11)]:
            assert mended.seek(start) == mended.tell() == start
            end = len(whole) if count < 0 else start + count
            assert mended.read(count) == whole[start:end]


@pytest.mark.parametrize("size", [2**62, 2**63 - 1, 2**64 - 1])
def test_a_chunk_larger_than_any_file_is_no_traceback(tmp_path, size):
    path = tmp_path / "x.w64"
    soundfile.write(path, noise(2000), RATE_HZ)
    content = bytearray(path.read_bytes())
    content[56:64] = struct.pack("<Q", size)  # of the first chunk, before the samples
    path.write_bytes(content)
    with path.open("rb") as file:
        assert find_samples(file) is None
    with pytest.raises(InputError, match="must be an audio file"):
        io.read(path)
