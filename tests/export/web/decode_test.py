"""What the worker decodes where a browser's decoders give up, in headless Chromium."""

import numpy as np
import pytest

from tests.export.web import browser
from waveunet_tf.export.android import golden

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]
# The hundredth packet is one too much.
GIVE_UP = """{
    const { decode } = AudioDecoder.prototype;
    let packets = 0;
    AudioDecoder.prototype.decode = function (chunk) {
        if (++packets % 100 === 0) throw new Error("broken");
        decode.call(this, chunk);
    };
}"""


@pytest.fixture
def page(chromium, small_site):
    with browser.served(small_site, isolated=False) as address:
        page = browser.open_lab(chromium, address)
        yield page
        page.context.close()
        assert not page.faults


def test_a_song_of_unknown_length_that_breaks_off_says_so(page, small_site, request):
    av = pytest.importorskip("av")
    path = small_site / "song.mp3"
    tones = np.ascontiguousarray(golden.song(5 * 44100, 2, 44100).T / 3)
    options = {"write_xing": "0", "id3v2_version": "0"}
    with av.open(str(path), "w", format="mp3", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(tones, format="fltp", layout="stereo")
        frame.rate = 44100
        for some in (frame, None):
            container.mux(stream.encode(some))
    script = (small_site / "worker.js").read_text(encoding="utf-8")
    request.addfinalizer((small_site / "broken.js").unlink)
    (small_site / "broken.js").write_text(GIVE_UP + script, encoding="utf-8")
    page.evaluate(
        """() => {
            window.separator = new Separator("broken.js");
            OfflineAudioContext.prototype.decodeAudioData = async () => {
                throw new Error("too long");
            };
        }"""
    )
    browser.load(page, "models/stereo.tflite")
    told = page.evaluate("separate('song.mp3')")
    assert 0 < told["frames"] < 3 * 44100
    line = "the browser's decoder gave up before the end of the file"
    assert line in told["remarks"]
