"""The report in headless Chromium: what is heard and seen when one uses it."""

import math
import shutil

import numpy as np
import pytest

from tests.chromium import headless_chromium, wait_until
from tests.evaluate.report.report_songs import PAGE_RATE_HZ as RATE_HZ
from tests.evaluate.report.report_songs import PAGE_SECONDS as SECONDS
from tests.evaluate.report.report_songs import (
    SDR,
    noise,
    read_track_script,
    write_noise_report,
)

# Of areas over the song's time, where their cursors stand.
CURSORS = """(areas) => areas.map((area) =>
    area.querySelector(".cursor").getBoundingClientRect().left)"""
# Hears all stems, from where the mixer adds them.
LISTEN = """() => {
    window.ears = player.lanes.map((lane) => {
        const ear = player.mixer.context.createAnalyser();
        ear.fftSize = 32768;
        lane.channel.node.connect(ear);
        return ear;
    });
    window.hear = (place) => {
        const samples = new Float32Array(32768);
        ears[place].getFloatTimeDomainData(samples);
        return samples;
    };
    window.levels = () => ears.map((_, place) =>
        Math.hypot(...hear(place).slice(-4096)) / 64);
}"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_noise_report(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser():
    with headless_chromium("--disable-gpu") as browser:
        yield browser


@pytest.fixture
def page(browser, report):
    """The report, opened; in the end it must have had no error and no network."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda said: (
            faults.append(said.text) if said.type in ("error", "warning") else None
        ),
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((f"file://{report}", "data:", "blob:"))
            else faults.append(request.url)
        ),
    )
    page.goto((report / "index.html").as_uri())
    wait_until(page, "typeof player === 'object' && player.mixer !== null")
    yield page
    page.close()
    assert not faults


def play(page):
    page.click("#play")
    wait_until(page, "player.mixer.currentTime > 0.2")


def levels(page):
    """What each lane gives to the mix, as RMS over the last quarter of a second."""
    page.evaluate(LISTEN)
    page.wait_for_timeout(900)
    return np.array(page.evaluate("levels()"))


def echo_frames(samples):
    """How late noise comes again in itself, in frames; 0: it does not."""
    spectrum = np.abs(np.fft.rfft(samples, 65536)) ** 2
    correlation = np.abs(np.fft.irfft(spectrum)[:32768])
    # A codec and a resampler make neighbouring samples alike.
    echo = 50 + int(np.argmax(correlation[50:]))
    return echo if correlation[echo] > 0.2 * correlation[0] else 0


def test_names_appear_as_they_are(page):
    texts = page.locator(".name").all_inner_texts()
    assert texts == ["mixture", *2 * ["true stem", "<i>ours</i>"]]
    assert page.locator("#track option").all_inner_texts() == [
        "first & <b>best",
        "second",
    ]


def test_playing_moves_the_cursor_and_pausing_stops_it(page):
    assert page.input_value("#seek") == "0"
    play(page)
    first = page.evaluate("[performance.now() / 1000, player.mixer.currentTime]")
    page.wait_for_timeout(2000)
    second = page.evaluate("[performance.now() / 1000, player.mixer.currentTime]")
    elapsed, moved = np.subtract(second, first)
    assert moved == pytest.approx(elapsed, abs=0.1)
    assert page.get_attribute("#play", "aria-label") == "Pause"
    lines = page.locator(".waveform").evaluate_all(CURSORS)
    area = page.locator(".waveform").first.bounding_box()
    shown = (np.array(lines) - area["x"]) / area["width"] * SECONDS
    np.testing.assert_allclose(shown, second[1], atol=0.3)
    page.click("#play")
    stopped = page.evaluate("player.mixer.currentTime")
    page.wait_for_timeout(500)
    assert page.evaluate("player.mixer.currentTime") == stopped


def test_solo_silences_the_others_and_mute_its_own_stem(page):
    play(page)
    # At first the mixture is soloed.
    heard = levels(page)
    assert heard[0] > 0.05 and np.all(heard[1:] == 0)
    page.get_by_role("button", name="Solo <i>ours</i>: vocals").click()
    heard = levels(page)
    assert heard[4] > 0.02 and np.all(heard[:4] == 0)
    # Solo several; then without any all are heard, but the muted one.
    page.uncheck("#one")
    page.get_by_role("button", name="Solo true stem: vocals").click()
    heard = levels(page)
    assert np.all(heard[3:] > 0.02) and np.all(heard[:3] == 0)
    page.get_by_role("button", name="Solo true stem: vocals").click()
    page.get_by_role("button", name="Solo <i>ours</i>: vocals").click()
    page.get_by_role("button", name="Mute mixture").click()
    heard = levels(page)
    assert heard[0] == 0 and np.all(heard[1:] > 0.02)
    assert page.locator(".lane.silent").count() == 1
    assert page.locator(".mute[aria-pressed=true]").count() == 1


def test_stems_stay_in_step_and_with_the_cursor(page, report):
    page.evaluate("document.querySelectorAll('.solo')[0].click()")  # all are heard
    play(page)
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(5000)
    page.evaluate(LISTEN)
    # Stems as loud as each other in one place: if one were late, it would be an echo.
    page.evaluate(
        """() => {
            const { context } = player.mixer;
            const ear = context.createAnalyser();
            ear.fftSize = 32768;
            player.lanes[3].channel.node.connect(ear);
            const twice = context.createGain();
            twice.gain.value = 2;
            player.lanes[4].channel.node.connect(twice).connect(ear);
            ears.push(ear);
        }"""
    )
    page.wait_for_timeout(1000)
    rate_hz = page.evaluate("player.mixer.rate")
    both, latest, cursor = page.evaluate(
        """() => [Array.from(hear(5)), Array.from(hear(3)), player.mixer.currentTime]"""
    )
    delay_ms = 1000 * echo_frames(both) / rate_hz
    print(f"between two stems: {delay_ms:.2f} ms")
    assert delay_ms < 20
    # The noise tells where in the song it is from.
    song = noise(SECONDS, seed=10, rate_hz=RATE_HZ)
    if read_track_script(report / "tracks/1.js")["name"] == "second":
        song = noise(SECONDS, seed=11, rate_hz=RATE_HZ)
    step = rate_hz / RATE_HZ
    heard = np.interp(
        np.arange(len(latest) / step) * step, np.arange(len(latest)), latest
    )
    length = 1 << 19
    spectrum = np.fft.rfft(song.mean(axis=1), length)
    correlation = np.fft.irfft(spectrum * np.conj(np.fft.rfft(heard, length)))
    at = (np.argmax(correlation) + len(heard)) / RATE_HZ
    print(f"cursor behind what is heard: {1000 * (at - cursor):.1f} ms")
    assert at == pytest.approx(cursor, abs=0.05)


def test_every_way_to_seek_moves_all(page):
    width = page.locator(".waveform").first.bounding_box()["width"]
    page.locator(".waveform").nth(2).click(position={"x": width * 3 / SECONDS, "y": 10})
    assert page.evaluate("player.mixer.currentTime") == pytest.approx(3, abs=0.05)
    page.locator(".spectrogram").nth(4).click(
        position={"x": width * 6 / SECONDS, "y": 10}
    )
    assert page.evaluate("player.mixer.currentTime") == pytest.approx(6, abs=0.05)
    assert float(page.input_value("#seek")) == pytest.approx(6, abs=0.05)
    page.locator(".plot .u-over").first.click(position={"x": 5, "y": 20})
    assert page.evaluate("player.mixer.currentTime") < 0.2
    page.fill("#seek", "9")
    page.wait_for_timeout(100)
    assert page.evaluate("player.mixer.currentTime") == pytest.approx(9)
    lines = page.locator(".waveform, .spectrogram").evaluate_all(CURSORS)
    lines += [
        box["x"]
        for box in (line.bounding_box() for line in page.locator(".u-cursor-x").all())
    ]
    assert len(lines) == 12  # two in each of five lanes, and two charts
    area = page.locator(".waveform").first.bounding_box()
    np.testing.assert_allclose(lines, area["x"] + area["width"] * 9 / SECONDS, atol=3)


def test_the_score_under_the_cursor_is_that_of_its_second(page):
    for seconds in (0.0, 0.99, 1.0, 2.5, 5.2, 10.9):
        page.evaluate(f"player.mixer.currentTime = {seconds}")
        scores = page.locator(".score").all_inner_texts()
        assert [bool(score) for score in scores] == [False, False, True, False, True]
        legends = page.locator(".plot .u-value").all_inner_texts()
        for source, score, values in [
            ("accompaniment", scores[2], legends[1:3]),
            ("vocals", scores[4], legends[4:6]),
        ]:
            sdr = SDR[source][int(seconds)]
            text = f"{sdr:.2f} dB".replace("-", "−")
            text = "no score" if math.isnan(sdr) else text
            assert score == f"SDR {text}"
            assert values == [text, text]
    page.evaluate("player.mixer.currentTime = 12.2")  # after the last whole second
    assert page.locator(".score").nth(2).inner_text() == "SDR no score"


def test_the_keyboard_does_it_all(page):
    page.keyboard.press("Space")
    wait_until(page, "player.mixer.currentTime > 0.2")
    page.keyboard.press("Space")
    assert page.evaluate("player.mixer.paused")
    page.keyboard.press("Home")
    assert page.evaluate("player.mixer.currentTime") == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("player.mixer.currentTime") == pytest.approx(5)
    page.keyboard.press("4")
    assert page.locator(".solo[aria-pressed=true]").count() == 1
    assert page.locator(".solo").nth(3).get_attribute("aria-pressed") == "true"
    # Tab reaches every control, and shows where it is.
    names = []
    for _ in range(60):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate(
                """() => {
                    const at = document.activeElement;
                    const ring = getComputedStyle(at).outlineStyle;
                    const name = at.id || at.getAttribute("aria-label");
                    return at === document.body ? null : [name || at.textContent, ring];
                }"""
            )
        )
    reached = {name for name, _ in filter(None, names)}
    assert {"play", "seek", "track", "loop", "one", "Solo mixture"} <= reached
    assert {"Mute <i>ours</i>: vocals", "SDR"} <= reached
    assert all(ring != "none" for _, ring in filter(None, names))
    page.focus(".solo >> nth=1")
    page.keyboard.press("Space")  # a button's own, not the player's
    assert page.locator(".solo").nth(1).get_attribute("aria-pressed") == "true"
    assert page.evaluate("player.mixer.paused")


def test_a_held_arrow_goes_on_while_it_plays(page):
    play(page)
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    assert 5.2 < page.evaluate("player.mixer.currentTime") < 7


def test_it_ends_at_the_end_or_begins_again(page):
    play(page)
    page.evaluate("player.mixer.currentTime = 12")
    wait_until(page, "player.mixer.paused")
    assert page.evaluate("player.mixer.currentTime") == 0
    page.check("#loop")
    page.click("#play")
    page.evaluate("player.mixer.currentTime = 12")
    page.wait_for_timeout(1500)
    assert 0 < page.evaluate("player.mixer.currentTime") < 2
    assert levels(page)[0] > 0.05


def test_another_track_takes_the_place_of_the_first(page):
    play(page)
    for number, name in 4 * [("2", "second"), ("1", "first & <b>best")]:
        page.evaluate("() => { window.former = player.mixer.run; }")
        page.select_option("#track", number)
        wait_until(page, f"shown.name === {name!r}")
        assert page.evaluate("former.stopped")
        place = page.evaluate("[player.mixer.currentTime, player.mixer.paused]")
        assert place == [0, True]
        assert page.locator(".lane").count() == 5
        play(page)
        heard = levels(page)
        assert heard[0] > 0.05 and np.all(heard[1:] == 0)


def test_audio_that_cannot_be_decoded_is_named(browser, report, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(report, broken)
    for path in broken.glob("tracks/*.js"):
        text = path.read_text(encoding="ascii")
        path.write_text(text.replace('"audio":"', '"audio":"AAAA'), encoding="ascii")
    page = browser.new_page()
    page.goto((broken / "index.html").as_uri())
    status = page.locator("#status")
    status.filter(has_text="This browser cannot decode the audio").wait_for()
    page.click("#play")
    page.wait_for_timeout(300)
    assert page.evaluate("player.mixer.paused")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_the_screen_in_both_colour_schemes(browser, report, scheme, width):
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 800}
    )
    page = context.new_page()
    page.goto((report / "index.html").as_uri())
    wait_until(page, "typeof player === 'object' && player.mixer !== null")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ground, ink = page.evaluate(
        """() => ["backgroundColor", "color"].map((name) =>
            getComputedStyle(document.body)[name].match(/\\d+/g).map(Number))"""
    )
    assert (np.mean(ground) < np.mean(ink)) == (scheme == "dark")
    context.close()
