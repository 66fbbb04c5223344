"""Chained Ogg: what each link holds is what libsndfile reads of it alone."""

import io as standard_io

import numpy as np
import pytest
import soundfile

from tests.audio.signals import RATE_HZ, noise, tone
from waveunet_tf.audio import io
from waveunet_tf.audio.chained_ogg import Link, find_links
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.resample import resample
from waveunet_tf.errors import InputError


def write(path, audio, *, rate_hz=RATE_HZ, kind="VORBIS"):
    """Writes one link; gives its bytes, and what libsndfile reads of it."""
    soundfile.write(path, audio, rate_hz, format="OGG", subtype=kind)
    return path.read_bytes(), soundfile.read(path, dtype="float32", always_2d=True)[0]


@pytest.mark.parametrize(("kind", "rate_hz"), [("VORBIS", RATE_HZ), ("OPUS", 48000)])
def test_all_links_are_read_one_after_the_other(tmp_path, kind, rate_hz):
    parts = [
        write(tmp_path / "link.ogg", audio, rate_hz=rate_hz, kind=kind)
        for audio in (tone(30_000), noise(20_000), tone(999))
    ]
    path = tmp_path / "chain.ogg"
    path.write_bytes(b"".join(content for content, _ in parts))
    with AudioReader(path) as reader:
        assert reader.sample_rate_hz == rate_hz
        assert reader.duration_seconds > 0
        samples = np.concatenate(list(reader.blocks()))
    expected = np.concatenate([audio for _, audio in parts])
    np.testing.assert_array_equal(samples, expected)


def test_links_of_other_rates_and_channels_are_made_like_the_first(tmp_path):
    first, stereo = write(tmp_path / "1.ogg", tone(20_000))
    second, mono = write(tmp_path / "2.ogg", tone(16_000, 1), rate_hz=32000)
    path = tmp_path / "chain.ogg"
    path.write_bytes(first + second)
    samples, rate_hz = io.read(path)
    assert rate_hz == RATE_HZ
    repeated = np.repeat(resample(mono, 32000, RATE_HZ), 2, axis=1)
    assert samples.shape == (len(stereo) + len(repeated), 2)
    np.testing.assert_array_equal(samples[: len(stereo)], stereo)
    np.testing.assert_allclose(samples[len(stereo) :], repeated, atol=1e-5)
    path.write_bytes(second + first)
    samples, rate_hz = io.read(path)
    assert (rate_hz, samples.shape[1]) == (32000, 1)
    mixed = resample(stereo.mean(axis=1, keepdims=True), RATE_HZ, 32000)
    np.testing.assert_allclose(samples[len(mono) :], mixed, atol=1e-5)


@pytest.mark.parametrize("cut", [3000, 1, 40])
def test_a_truncated_link_is_told(tmp_path, cut):
    content, _ = write(tmp_path / "1.ogg", tone())
    path = tmp_path / "chain.ogg"
    for broken in (content + content[:-cut], content[:-cut] + content):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="(truncated|be decoded)") as error:
            io.read(path)
        assert str(error.value).startswith(f"{path}: ")


def test_a_link_that_cannot_be_decoded_is_told(tmp_path):
    content, _ = write(tmp_path / "1.ogg", tone())
    page = b"OggS\x00\x02" + bytes(20) + b"\x01\x08" + b"nothing!"
    (tmp_path / "chain.ogg").write_bytes(content + page)
    with pytest.raises(InputError, match="link 2 of 2 cannot be decoded"):
        io.read(tmp_path / "chain.ogg")


class _CountingFile(standard_io.BytesIO):
    """Counts the bytes that are read."""

    count = 0

    def read(self, size=-1):
        content = super().read(size)
        self.count += len(content)
        return content


def test_a_file_of_beginnings_of_pages_is_read_a_few_times_only(tmp_path):
    content, _ = write(tmp_path / "link.ogg", tone(1000))
    content += b"OggS" * 2000
    file = _CountingFile(content)
    find_links(file)
    assert file.count < 100 * len(content)


def test_links_are_found_behind_foreign_bytes(tmp_path):
    content, audio = write(tmp_path / "1.ogg", tone(5000))
    path = tmp_path / "chain.ogg"
    path.write_bytes(content + b"foreign" * 20_000 + content)
    with path.open("rb") as file:
        links = find_links(file)
    second = len(content) + 140_000
    assert links == [Link(0, second), Link(second, second + len(content))]


@pytest.mark.parametrize(
    "content", [b"", b"Ogg", b"OggS", b"OggS" + bytes(22), b"RIFF"]
)
def test_what_has_no_whole_page_has_no_links(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with path.open("rb") as file:
        assert find_links(file) == []


def test_an_ordinary_file_is_one_link(tmp_path):
    content, _ = write(tmp_path / "1.ogg", tone())
    with (tmp_path / "1.ogg").open("rb") as file:
        assert find_links(file) == [Link(0, len(content))]
