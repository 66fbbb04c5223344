"""The site's page: all in headless Chromium, and from end to end in each browser."""

import base64
import io
import pathlib
import zipfile

import numpy as np
import pytest
import soundfile

from tests.chromium import wait_until
from tests.export.web import browser
from tests.export.web.site_page import (
    HZ,
    NO_JOB_RUNS,
    READY,
    SECONDS,
    opened,
    saved,
    separate,
)
from waveunet_tf.export.web import libraries

AXE = libraries.ROOM / "node_modules" / "axe-core" / "axe.min.js"
GAINS = "player.mixer.channels.map((channel) => channel.gain)"

pytestmark = pytest.mark.xdist_group("web")


def test_a_song_is_separated_played_and_saved(page, songs):
    separate(page, songs / "first song.wav")
    assert page.inner_text("#song-title") == "first song"
    names = page.locator("#song .name").all_inner_texts()
    assert names == ["Original", "Accompaniment", "Vocals"]
    assert "0:12 · took" in page.inner_text(".job .state")
    page.click("#play")
    wait_until(page, "player.mixer.currentTime > 0.3")
    page.click("#play")
    assert page.evaluate("player.mixer.paused")
    name, content = saved(page, "Save Accompaniment")
    assert name == "first song - accompaniment.wav"
    assert soundfile.info(io.BytesIO(content)).frames == SECONDS * HZ


# What a button would save, without a browser's own way to save it.
KEEP_WHAT_IS_SAVED = """() => {
    URL.createObjectURL = (content) => {
        window.content = content;
        return "";
    };
    HTMLAnchorElement.prototype.click = function () {
        window.fileName = this.download;
    };
}"""
READ_WHAT_IS_SAVED = """() => new Promise((resolve) => {
    const reader = new FileReader();
    reader.onload = () => resolve([window.fileName, reader.result.split(",")[1]]);
    reader.readAsDataURL(window.content);
})"""


def kept(page, button):
    """As saved, in each browser."""
    page.evaluate("() => { window.fileName = ''; }")
    page.click(button)
    wait_until(page, "Boolean(window.fileName)")
    name, content = page.evaluate(READ_WHAT_IS_SAVED)
    return name, base64.b64decode(content)


def states(page):
    return page.evaluate(
        "[...document.querySelectorAll('.job .state')].map((state) => state.innerText)"
    )


@pytest.mark.slow
def test_the_page_works_from_end_to_end(
    engine, small_site, small_separators, songs, tmp_path
):
    page = engine.new_context().new_page()
    with browser.served(small_site, isolated=False) as address:
        page.goto(address)
        # The service worker isolates the page, and reloads it for that.
        browser.wait_through_reloads(page, f"crossOriginIsolated && {READY}")
        page.evaluate(KEEP_WHAT_IS_SAVED)
        separate(page, *sorted(songs.iterdir()))
        first, broken, second = states(page)
        assert "took" in first and "took" in second
        assert broken.startswith("Must be an audio file")
        check_what_is_saved(page, songs / "first song.wav", small_separators["stereo"])
        plays_or_says_why_not(page)
        soundfile.write(tmp_path / "long.wav", np.zeros((600 * HZ, 2), np.int16), HZ)
        page.set_input_files("#songs", [tmp_path / "long.wav"])
        wait_until(page, "document.title.includes('%')")
        page.click("[aria-label='Cancel long.wav']")
        wait_until(page, NO_JOB_RUNS)
        assert len(states(page)) == 3
    # The server is gone.
    page.reload()
    browser.wait_through_reloads(page, READY)
    assert page.evaluate("document.querySelector('#encoding').value") == "flac"
    separate(page, songs / "second.flac")
    assert "took" in states(page)[0]
    page.context.close()


def check_what_is_saved(page, song, model):
    _, separator = model
    mixture, rate_hz = soundfile.read(song, dtype="float32")
    choose = "document.querySelector('#encoding')"
    for encoding, allowed in {"wav32f": 1e-6, "flac": 1e-3}.items():
        change = f"{choose}.dispatchEvent(new Event('change'))"
        page.evaluate(f"() => {{ {choose}.value = '{encoding}'; {change}; }}")
        name, content = kept(page, "#save-all")
        assert name == "first song.zip"
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            stems = {
                pathlib.Path(entry).stem: soundfile.read(
                    io.BytesIO(archive.read(entry))
                )
                for entry in archive.namelist()
            }
        expected = separator.separate(mixture, rate_hz)
        loudest = max(np.abs(stem).max() for stem in expected.values())
        gain = 1 if encoding == "wav32f" else min(1, 1 / loudest)
        for name, stem in expected.items():
            actual, _ = stems[name]
            np.testing.assert_allclose(actual, gain * stem, atol=allowed)


def plays_or_says_why_not(page):
    """Where there is no sound device, some browsers play nothing."""
    page.click("#play")
    wait_until(
        page,
        "document.querySelector('#seek').value > 0.3 "
        "|| Boolean(document.querySelector('.notice'))",
    )
    notice = page.evaluate("document.querySelector('#notices').innerText")
    assert notice.startswith("No sound begins") or not notice
    if not notice:
        page.click("#play")


@pytest.mark.slow
def test_a_device_without_sound_is_one_line(page, songs):
    page.evaluate(
        """() => {
            AudioContext.prototype.resume = () => new Promise(() => {});
            const state = { get: () => "suspended" };
            Object.defineProperty(AudioContext.prototype, "state", state);
        }"""
    )
    separate(page, songs / "second.flac")
    page.click("#play")
    page.locator(".notice").wait_for()
    assert page.inner_text(".notice p").startswith("No sound begins.")
    assert page.evaluate("player.mixer.paused")
    page.get_by_role("button", name="Dismiss").click()
    page.click("#microphone")
    page.locator(".notice").wait_for()
    assert page.inner_text(".notice p").startswith("No sound begins.")
    assert page.is_hidden("#live")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoding", "suffix", "subtype"),
    [
        ("wav16", "wav", "PCM_16"),
        ("wav24", "wav", "PCM_24"),
        ("wav32f", "wav", "FLOAT"),
        ("flac", "flac", "PCM_24"),
    ],
)
def test_stems_are_saved_in_each_encoding_and_add_up(
    page, songs, encoding, suffix, subtype
):
    separate(page, songs / "first song.wav")
    page.select_option("#encoding", encoding)
    name, content = saved(page, "All stems (.zip)")
    assert name == "first song.zip"
    assert page.inner_text("#saving") == "first song.zip is saved."
    stems = {}
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for entry in archive.namelist():
            with soundfile.SoundFile(io.BytesIO(archive.read(entry))) as file:
                assert file.subtype == subtype
                stems[entry] = file.read()
    assert sorted(stems) == [
        f"first song/accompaniment.{suffix}",
        f"first song/vocals.{suffix}",
    ]
    _, mixture = saved(page, "Save Original")
    expected, _ = soundfile.read(io.BytesIO(mixture))
    # What clips is what the random network gives, not what is saved.
    np.testing.assert_allclose(sum(stems.values()), expected, atol=1e-3)
    page.reload()
    wait_until(page, READY)
    assert page.input_value("#encoding") == encoding


@pytest.mark.slow
def test_solo_mute_volume_and_the_original(page, songs):
    separate(page, songs / "second.flac")
    assert page.evaluate(GAINS) == [0, 1, 1]  # the mixture would double the stems
    page.get_by_role("button", name="Solo Original").click()
    assert page.evaluate(GAINS) == [1, 0, 0]
    page.get_by_role("button", name="Solo Vocals").click()  # ends the original's
    assert page.evaluate(GAINS) == [0, 0, 1]
    page.get_by_role("button", name="Solo Accompaniment").click()
    assert page.evaluate(GAINS) == [0, 1, 1]
    page.get_by_role("button", name="Mute Vocals").click()
    assert page.evaluate(GAINS) == [0, 1, 0]
    page.get_by_role("slider", name="Volume of Accompaniment").fill("50")
    assert page.evaluate(GAINS) == [0, 0.25, 0]


@pytest.mark.slow
def test_karaoke_is_one_click_and_tells_whether_it_is_on(page, songs):
    separate(page, songs / "second.flac")
    karaoke = page.locator("#karaoke")
    karaoke.click()
    assert page.evaluate(GAINS) == [0, 1, 0]
    assert karaoke.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Mute Vocals").click()
    assert karaoke.get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="Solo Vocals").click()
    page.keyboard.press("k")
    assert page.evaluate(GAINS) == [0, 1, 0]
    page.keyboard.press("k")
    assert page.evaluate(GAINS) == [0, 1, 1]


@pytest.mark.slow
def test_the_keyboard_plays_moves_and_solos(page, songs):
    separate(page, songs / "first song.wav")
    page.locator("body").focus()
    page.keyboard.press("Space")
    wait_until(page, "player.mixer.currentTime > 0.2")
    page.keyboard.press("Space")
    page.keyboard.press("Home")
    for key in ("ArrowRight", "Shift+ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.evaluate("player.mixer.currentTime") == pytest.approx(5)
    page.keyboard.press("3")
    assert page.evaluate(GAINS) == [0, 0, 1]
    page.keyboard.press("3")
    page.keyboard.press("Shift+3")
    assert page.evaluate(GAINS) == [0, 1, 0]
    page.locator(".waveform").nth(1).click(position={"x": 1, "y": 5})
    assert page.evaluate("player.mixer.currentTime") < 0.2
    page.fill("#seek", "7")
    assert page.evaluate("player.mixer.currentTime") == pytest.approx(7)


@pytest.mark.slow
def test_songs_queue_and_what_is_no_song_says_so_in_one_line(page, songs):
    separate(page, *sorted(songs.iterdir()))
    states = page.locator(".job .state").all_inner_texts()
    assert "took" in states[0] and "took" in states[2]
    assert states[1].startswith("Must be an audio file") and "\n" not in states[1]
    assert page.inner_text("#song-title") == "first song"  # the first stays
    page.get_by_role("button", name="second.flac", exact=True).click()
    assert page.inner_text("#song-title") == "second"
    assert page.locator(".job [aria-current=true]").inner_text() == "second.flac"
    for name, title in [("second.flac", "first song"), ("first song.wav", None)]:
        page.get_by_role("button", name=f"Remove {name}").click()
        assert page.is_visible("#song") == bool(title)
    page.get_by_role("button", name="Remove no song.mp3").click()
    assert page.is_hidden("#queue")
    assert page.evaluate("document.activeElement.id") == "choose"


@pytest.mark.slow
def test_a_song_can_be_cancelled_and_the_next_goes_on(page, songs, tmp_path):
    long = tmp_path / "long.wav"
    soundfile.write(long, np.zeros((600 * HZ, 2), np.int16), HZ)
    page.set_input_files("#songs", [long, songs / "second.flac"])
    wait_until(page, "document.title.includes('%')")
    wait_until(
        page, "/Separating .* left/.test(document.querySelector('.state').textContent)"
    )
    page.set_input_files("#songs", [songs / "first song.wav"])
    page.get_by_role("button", name="Cancel first song.wav").click()
    page.locator(".job").nth(2).wait_for(state="detached")  # long.wav still runs
    page.get_by_role("button", name="Cancel long.wav").click()
    wait_until(page, NO_JOB_RUNS)
    assert page.locator(".job .title").all_inner_texts() == ["second.flac"]
    assert page.title().startswith("Wave-U-Net")


@pytest.mark.slow
def test_files_may_be_dropped_anywhere(page, songs):
    transfer = page.evaluate_handle(
        """async (content) => {
            const bytes = Uint8Array.from(content);
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "dropped.flac"));
            return transfer;
        }""",
        list((songs / "second.flac").read_bytes()),
    )
    page.dispatch_event("footer", "dragover", {"dataTransfer": transfer})
    assert page.is_visible("#drop-veil")
    page.dispatch_event("footer", "drop", {"dataTransfer": transfer})
    assert page.is_hidden("#drop-veil")
    wait_until(page, "!document.querySelector('#song').hidden")
    assert page.inner_text("#song-title") == "dropped"


@pytest.mark.slow
def test_models_are_chosen_opened_and_refused_in_one_line(
    page, songs, small_separators
):
    options = page.locator("#model option").all_inner_texts()
    assert [option.split(" ")[0] for option in options] == ["stereo", "mono", "window"]
    page.select_option("#model", index=1)
    wait_until(page, "document.querySelector('#engine').textContent.includes('bass')")
    page.set_input_files("#model-file", songs / "no song.mp3")
    page.locator(".notice").wait_for()
    line = page.inner_text(".notice p")
    assert line.startswith("no song.mp3: must be a TFLite file")
    assert "\n" not in line
    assert "bass" in page.inner_text("#engine")  # the model of before stays
    assert page.locator("#model option:checked").inner_text().startswith("mono")
    page.get_by_role("button", name="Dismiss").click()
    assert page.locator(".notice").count() == 0
    own = songs.parent / "mine.tflite"
    own.write_bytes(small_separators["stereo"][0].read_bytes())
    page.set_input_files("#model-file", own)
    wait_until(page, "document.querySelector('#engine').textContent.includes('vocals')")
    assert "mine.tflite" in page.locator("#model option:checked").inner_text()
    page.select_option("#model", index=1)
    wait_until(page, "document.querySelector('#engine').textContent.includes('bass')")
    separate(page, songs / "second.flac")
    names = page.locator("#song .name").all_inner_texts()
    assert names == ["Original", "Bass", "Drums", "Other"]
    assert page.is_hidden("#karaoke")  # there is no voice to leave out
    assert page.is_hidden("#save-karaoke")


@pytest.mark.slow
def test_all_but_the_voice_is_saved_as_one_file(page, songs):
    """With three stems, of which the page is told that one is a voice."""
    page.select_option("#model", index=1)
    wait_until(page, "document.querySelector('#engine').textContent.includes('bass')")
    page.evaluate(
        "() => { RegExp.prototype.test = (text) => text.toLowerCase() === 'other'; }"
    )
    separate(page, songs / "second.flac")
    page.select_option("#encoding", "wav32f")
    lanes = {}
    for button in ("Save Bass", "Save Drums", "All but the voice"):
        name, content = saved(page, button)
        lanes[button], _ = soundfile.read(io.BytesIO(content))
    assert name == "second - karaoke.wav"
    both = lanes["Save Bass"] + lanes["Save Drums"]
    np.testing.assert_allclose(lanes["All but the voice"], both, atol=1e-6)
    page.select_option("#encoding", "wav16")
    _, content = saved(page, "All but the voice")
    rounded, _ = soundfile.read(io.BytesIO(content))
    assert np.abs(rounded).max() <= 1
    gain = min(1, 1 / np.abs(both).max())
    np.testing.assert_allclose(rounded, gain * both, atol=3 / 32768)


@pytest.mark.slow
def test_live_mode_separates_what_the_microphone_hears(page):
    page.click("#microphone")
    page.locator("#live-lanes .lane").first.wait_for()
    assert "later" in page.inner_text("#live-state")
    assert page.is_hidden("#add") and page.is_disabled("#model")
    level = """Math.max(...[...document.querySelectorAll("#live-lanes .lane")].map(
        (lane) => Number(lane.style.getPropertyValue("--level"))))"""
    wait_until(page, f"{level} > 0.2")
    page.get_by_role("button", name="Mute Accompaniment").click()
    page.get_by_role("button", name="Mute Vocals").click()
    wait_until(page, f"{level} === 0")
    page.click("#stop-live")
    assert page.is_hidden("#live") and page.is_visible("#add")
    assert not page.locator(".notice").count()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shared", "line"),
    [
        ("{ audio: true, video: true }", None),
        ("{ video: true }", "No sound was shared: choose a tab, and"),
    ],
)
def test_a_tabs_sound_is_separated_if_it_is_shared(page, shared, line):
    page.evaluate(
        f"""() => navigator.mediaDevices.getDisplayMedia =
            () => navigator.mediaDevices.getUserMedia({shared})"""
    )
    page.click("#tab")
    if line:
        page.locator(".notice").wait_for()
        assert page.inner_text(".notice p").startswith(line)
        assert page.is_hidden("#live")
    else:
        page.locator("#live-lanes .lane").first.wait_for()
        assert page.inner_text("#live-title") == "Live: a tab"
        assert "mute it there" in page.inner_text("#live-state")


@pytest.mark.slow
def test_live_mode_is_refused_where_the_device_is_too_slow(page):
    page.evaluate(
        """() => {
            const now = performance.now.bind(performance);
            performance.now = () => 1000 * now();
        }"""
    )
    page.click("#microphone")
    page.locator(".notice").wait_for()
    line = page.inner_text(".notice p")
    assert line.startswith("This device separates 0.") and "needs 1.3" in line
    assert page.is_hidden("#live")


@pytest.mark.slow
def test_a_later_song_shows_itself_unless_one_listens(page, songs):
    separate(page, songs / "second.flac")
    separate(page, songs / "first song.wav")
    assert page.inner_text("#song-title") == "first song"
    page.click("#play")
    separate(page, songs / "second.flac")
    assert page.inner_text("#song-title") == "first song"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lacking", "line"),
    [
        ("delete window.WebAssembly", "This browser has no WebAssembly, so it cannot"),
        ("delete window.Worker", "This browser has no workers, so it cannot"),
    ],
)
def test_what_a_browser_lacks_is_one_line(audible, address, lacking, line):
    context = audible.new_context()
    page = context.new_page()
    page.add_init_script(lacking)
    page.goto(address)
    page.locator(".notice").wait_for()
    assert page.inner_text(".notice p").startswith(line)
    assert page.is_disabled("#choose")
    context.close()


@pytest.mark.slow
def test_without_a_microphone_the_rest_works(audible, address, songs):
    context = audible.new_context()
    page = context.new_page()
    page.add_init_script("delete window.AudioWorkletNode")
    page.goto(address)
    wait_until(page, READY)
    assert page.inner_text(".ways") == "Live mode needs a browser with AudioWorklet."
    separate(page, songs / "second.flac")
    assert page.is_visible("#song")
    context.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_serious_and_all_fits(audible, address, songs, scheme, width):
    if not AXE.exists():
        pytest.skip("needs axe-core, which `make test-web` fetches")
    page, faults = opened(
        audible,
        address,
        bypass_csp=True,  # for axe alone
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
    )
    page.evaluate(AXE.read_text())
    found = axe_violations(page)
    separate(page, *sorted(songs.iterdir()))
    page.set_input_files("#model-file", songs / "no song.mp3")
    page.locator(".notice").wait_for()
    found += axe_violations(page)
    page.click("#karaoke")
    found += axe_violations(page)
    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ground, ink = page.evaluate(
        """() => ["backgroundColor", "color"].map((name) =>
            getComputedStyle(document.body)[name].match(/\\d+/g).map(Number))"""
    )
    assert (np.mean(ground) < np.mean(ink)) == (scheme == "dark")
    page.context.close()
    assert not faults


def axe_violations(page):
    """What axe-core finds serious or critical, as (rule, element)."""
    page.wait_for_timeout(250)  # for transitions
    return page.evaluate(
        """async () => (await axe.run()).violations
            .filter(({ impact }) => ["serious", "critical"].includes(impact))
            .flatMap(({ id, nodes }) => nodes.map(({ html }) => [id, html]))"""
    )
