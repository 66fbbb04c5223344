"""The worker's files in headless Chromium: their names, and what cancelling leaves."""

import io
import zipfile

import numpy as np
import pytest
import soundfile

from tests.export.web import browser
from waveunet_tf.export.android import golden

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]
HZ = 8000
# Tells of the workers of the worker: encoders of flac.
COUNT = """{
    const Native = Worker;
    self.Worker = class extends Native {
        constructor(...options) {
            super(...options);
            console.log("made");
        }
        terminate() {
            super.terminate();
            console.log("ended");
        }
    };
}"""
CANCEL_A_FLAC = """async () => {
    const cancel = new AbortController();
    const options = { signal: cancel.signal, onProgress: () => cancel.abort() };
    const file = separator.encode(song.id, "vocals", "flac", options);
    return file.then(() => "saved", (error) => error.name);
}"""
CANCEL_A_ZIP = """async () => {
    const cancel = new AbortController();
    const lanes = ["accompaniment", "vocals"];
    const zip = separator.zip(song.id, lanes, "wav32f", { signal: cancel.signal });
    setTimeout(() => cancel.abort(), 1);
    return zip.then(() => "saved", (error) => error.name);
}"""


@pytest.mark.parametrize(
    ("name", "title", "folder"),
    [
        ("...mp3", "..", "song"),
        (".wav", ".wav", ".wav"),
        ("AC:DC\\live?.wav", "AC:DC\\live?", "AC_DC_live_"),
        ("Where are you....mp3", "Where are you...", "Where are you"),
        ("日本 & <b>.mp3", "日本 & <b>", "日本 & _b_"),
    ],
)
def test_a_zips_folder_is_one_on_any_system(fresh_lab, small_site, name, title, folder):
    browser.load(fresh_lab, "models/stereo.tflite")
    browser.separated(fresh_lab, small_site, golden.song(500, 2, HZ), HZ)
    told = fresh_lab.evaluate("(name) => separate('song.wav', name)", name)
    assert told["name"] == title
    content = browser.blob(fresh_lab, "separator.zip(song.id, ['vocals'], 'wav16')")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [f"{folder}/vocals.wav"]


def test_cancelling_ends_a_zip_and_the_encoder_of_a_flac(
    fresh_lab, small_site, request
):
    script = (small_site / "worker.js").read_text(encoding="utf-8")
    request.addfinalizer((small_site / "counting.js").unlink)
    (small_site / "counting.js").write_text(COUNT + script, encoding="utf-8")
    said = []
    fresh_lab.on("console", lambda line: said.append(line.text))
    fresh_lab.evaluate("() => { window.separator = new Separator('counting.js'); }")
    browser.load(fresh_lab, "models/stereo.tflite")
    soundfile.write(small_site / "song.wav", np.zeros((3_000_000, 2), np.int16), HZ)
    assert isinstance(fresh_lab.evaluate("separate('song.wav')"), dict)
    assert fresh_lab.evaluate(CANCEL_A_FLAC) == "AbortError"
    fresh_lab.wait_for_timeout(100)
    assert said.count("made") == said.count("ended") == 1
    assert fresh_lab.evaluate(CANCEL_A_ZIP) == "AbortError"
