"""The worker's files in headless Chromium."""

import io
import zipfile

import pytest

from tests.export.web import browser
from waveunet_tf.export.android import golden

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]
HZ = 8000


@pytest.fixture
def page(chromium, small_site):
    with browser.served(small_site, isolated=False) as address:
        page = browser.open_lab(chromium, address)
        yield page
        page.context.close()
        assert not page.faults


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
def test_a_zips_folder_is_one_on_any_system(page, small_site, name, title, folder):
    browser.load(page, "models/stereo.tflite")
    browser.separated(page, small_site, golden.song(500, 2, HZ), HZ)
    told = page.evaluate("(name) => separate('song.wav', name)", name)
    assert told["name"] == title
    content = browser.blob(page, "separator.zip(song.id, ['vocals'], 'wav16')")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [f"{folder}/vocals.wav"]
