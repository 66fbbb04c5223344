"""Live mode that is begun twice or stopped early, in headless Chromium."""

import pytest

from tests.chromium import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]
KEEP_STREAMS = """() => {
    const { mediaDevices } = navigator;
    const ask = mediaDevices.getUserMedia.bind(mediaDevices);
    window.tracks = [];
    mediaDevices.getUserMedia = async (wish) => {
        const stream = await ask(wish);
        tracks.push(...stream.getTracks());
        return stream;
    };
}"""


def test_a_double_click_begins_one_session_which_stop_ends(page):
    page.evaluate(KEEP_STREAMS)
    page.evaluate(
        "() => [1, 2].forEach(() => document.querySelector('#microphone').click())"
    )
    page.locator("#live-lanes .lane").first.wait_for()
    page.click("#stop-live")
    page.wait_for_timeout(300)
    assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended"]
    assert not page.locator(".notice").count()


def test_stop_while_it_measures_is_no_error_and_ends_no_later_session(page):
    page.click("#microphone")
    state = "document.querySelector('#live-state').textContent"
    wait_until(page, f"{state}.startsWith('Measuring')")
    page.click("#stop-live")
    page.click("#microphone")
    page.locator("#live-lanes .lane").first.wait_for()
    assert page.is_visible("#live")
    assert not page.locator(".notice").count()
