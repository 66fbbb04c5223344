"""The report's page where something fails, is reloaded, or is used by keys alone."""

import shutil

import pytest

from tests.chromium import headless_chromium, wait_until
from tests.evaluate.report.report_songs import write_noise_report
from tests.firefox import headless_firefox

pytestmark = pytest.mark.slow
SHOWN = "typeof player === 'object' && player.mixer !== null"
STATUS = "find('#status').textContent"
DECODED = f"{STATUS} === ''"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_noise_report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def chromium():
    with headless_chromium("--disable-gpu") as browser:
        yield browser


def opened(browser, report, **options):
    page = browser.new_context(**options).new_page()
    page.goto((report / "index.html").as_uri())
    wait_until(page, f"{SHOWN} && {DECODED}")
    return page


def test_a_device_without_sound_is_one_line(chromium, report):
    page = opened(chromium, report)
    page.evaluate(
        """() => {
            AudioContext.prototype.resume = () => new Promise(() => {});
            const state = { get: () => "suspended" };
            Object.defineProperty(AudioContext.prototype, "state", state);
        }"""
    )
    page.click("#play")
    status = page.locator("#status")
    status.filter(has_text="No sound begins. Does this device have").wait_for()
    assert page.evaluate("player.mixer.paused")
    page.context.close()


def test_playing_what_cannot_be_decoded_says_so_again(chromium, report, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(report, broken)
    for path in broken.glob("tracks/*.js"):
        text = path.read_text(encoding="ascii")
        path.write_text(text.replace('"audio":"', '"audio":"AAAA'), encoding="ascii")
    page = chromium.new_page()
    page.goto((broken / "index.html").as_uri())
    wait_until(page, f"{SHOWN} && !/^(Loading|Decoding)/.test({STATUS})")
    line = page.inner_text("#status")
    page.click("#play")
    page.wait_for_timeout(300)
    assert page.inner_text("#status") == line
    assert line.startswith("This browser cannot decode the audio: ")
    page.close()


def test_arrows_scroll_a_table_that_is_wider_than_the_screen(chromium, report):
    page = opened(chromium, report, viewport={"width": 400, "height": 800})
    page.focus("details[open] .scroll")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    wait_until(page, "find('details[open] .scroll').scrollLeft > 20")
    assert page.evaluate("player.mixer.currentTime") == 0
    page.context.close()


def test_a_key_that_is_held_acts_once(chromium, report):
    page = opened(chromium, report)
    for key in ("Space", "4"):
        for _ in range(4):  # all but the first are repeats
            page.keyboard.down(key)
        page.keyboard.up(key)
    assert not page.evaluate("player.mixer.paused")
    assert page.locator(".solo").nth(3).get_attribute("aria-pressed") == "true"
    page.context.close()


def test_all_columns_of_a_table_are_on_a_printed_page(chromium, report):
    page = opened(chromium, report, viewport={"width": 718, "height": 1000})  # A4
    page.emulate_media(media="print")
    right = """([...parts]) => Math.max(
        ...parts.map((part) => part.getBoundingClientRect().right))"""
    assert page.locator("details[open] td").evaluate_all(right) < 718
    page.context.close()


def test_what_firefox_keeps_of_the_options_on_reload_is_done(report):
    with headless_firefox() as firefox:
        page = opened(firefox, report)
        for option in ("#loop", "[value=spectrogram]", "#one"):
            page.evaluate(f"find('{option}').click()")
        page.reload()
        page.wait_for_timeout(500)
        wait_until(page, SHOWN)
        done = page.evaluate(
            "[player.loop, player.root.dataset.view, !player.oneSolo, player.looped]"
        )
        shown = page.evaluate(
            """[find("#loop").checked, find("[name=view]:checked").value,
                !find("#one").checked, find("#loop").checked]"""
        )
        assert done == shown == [True, "spectrogram", True, True]
