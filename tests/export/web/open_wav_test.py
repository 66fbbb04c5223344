"""The engine with wav files whose writer does not know the length."""

import struct

import pytest
import soundfile

from tests.export.web import browser
from waveunet_tf.export.android import golden

pytestmark = pytest.mark.xdist_group("web")
HZ = 8000


@pytest.mark.parametrize(
    ("size", "is_cut"),
    [
        (0xFFFFFFFF, False),  # ffmpeg
        (0x7FFFF000, False),  # sox
        (0x7FFFEFFC, False),  # sox, in whole frames of 24 bits
        (0x7FFF0000, False),  # GStreamer
        (3 * 2**30, True),
    ],
)
def test_a_file_ends_early_only_where_its_writer_knew_the_length(
    lab, small_site, size, is_cut
):
    browser.load(lab, "models/stereo.tflite")
    path = small_site / "song.wav"
    soundfile.write(path, golden.song(999, 2, HZ).clip(-1, 1), HZ, subtype="PCM_16")
    content = path.read_bytes()
    path.write_bytes(content[:40] + struct.pack("<I", size) + content[44:])
    told = lab.evaluate("separate('song.wav')")
    assert told["frames"] == 999
    is_told = any("ends before the length" in remark for remark in told["remarks"])
    assert is_told == is_cut
