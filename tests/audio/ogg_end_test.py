import pytest
import soundfile

from tests.audio.signals import tone
from waveunet_tf.audio import io
from waveunet_tf.audio.ogg_end import has_end
from waveunet_tf.errors import InputError

RATE_HZ = 48000


@pytest.fixture(params=["OPUS", "VORBIS"])
def ogg(tmp_path, request):
    path = tmp_path / "x.ogg"
    soundfile.write(path, tone(6 * RATE_HZ), RATE_HZ, request.param, format="OGG")
    return path


def ends(path):
    with path.open("rb") as file:
        return has_end(file)


def test_a_whole_file_has_its_end_and_a_part_has_not(ogg):
    content = ogg.read_bytes()
    assert ends(ogg)
    for part in (content[:-1], content[: len(content) // 2], content[:20], b"x" * 99):
        ogg.write_bytes(part)
        assert not ends(ogg)


@pytest.mark.parametrize("foreign", [bytes(5000), b"TAG" + bytes(125), b"<html>" * 500])
def test_foreign_bytes_behind_the_end_are_no_cut(ogg, foreign):
    frames = len(io.read(ogg)[0])
    ogg.write_bytes(ogg.read_bytes() + foreign)
    assert len(io.read(ogg)[0]) == pytest.approx(frames, abs=1000)


@pytest.mark.parametrize("share", [0.4, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99])
def test_a_part_of_a_file_is_truncated(ogg, share):
    content = ogg.read_bytes()
    ogg.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match="truncated"):
        io.read(ogg)
