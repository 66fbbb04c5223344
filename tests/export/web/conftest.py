"""A small site, and a browser that has it open."""

import contextlib

import pytest
import soundfile

from tests.chromium import headless_chromium, wait_until
from tests.export.web import browser, site_page
from tests.firefox import headless_firefox
from tests.webkit import webkit_browser
from waveunet_tf.export.android import golden
from waveunet_tf.export.web import libraries, site_folder

ROOM = libraries.ROOM


def slow(engine):
    """A parameter of tests that `make test` leaves out."""
    return pytest.param(engine, marks=pytest.mark.slow)


@pytest.fixture(scope="session")
def web_libraries(cache_dir):
    """The page's libraries, where `make test-web` has fetched them."""
    modules = ROOM / "node_modules"
    if not (modules / ".package-lock.json").exists():
        pytest.skip("needs the page's libraries, which `make test-web` fetches")
    kept = libraries.kept_folder()
    kept.mkdir(parents=True, exist_ok=True)
    if not (kept / "node_modules").exists():
        (kept / "node_modules").symlink_to(modules)
    return kept / "node_modules"


@pytest.fixture(scope="session")
def small_separators(tmp_path_factory):
    """Name of a small model → its file, and Python's separator of it."""
    folder = tmp_path_factory.mktemp("golden")
    return {
        name: (folder / f"{name}.tflite", golden.write_model(folder, name))
        for name in ("stereo", "mono", "window")
    }


@pytest.fixture(scope="session")
def small_site(web_libraries, small_separators, tmp_path_factory):
    """A site of the small models, with a page for tests."""
    site = tmp_path_factory.mktemp("site")
    models = [str(path) for path, _ in small_separators.values()]
    site_folder.write_site(site, models, [], 0)
    browser.add_lab(site)
    return site


@pytest.fixture(scope="module")
def chromium():
    with headless_chromium("--disable-gpu") as started:
        yield started


@pytest.fixture(
    scope="module",
    params=["chromium", slow("firefox"), slow("webkit")],
)
def engine_name(request):
    """Each engine's name; `make test` takes Chromium alone."""
    return request.param


@pytest.fixture(scope="module")
def engine(engine_name, request, tmp_path_factory):
    """A browser of each engine."""
    if engine_name == "chromium":
        yield request.getfixturevalue("chromium")
    elif engine_name == "firefox":
        with headless_firefox() as started:
            yield started
    else:
        with webkit_browser(tmp_path_factory.mktemp("home")) as started:
            yield started


@contextlib.contextmanager
def opened_lab(started, site):
    """A page with the engine, which must have had no error in the end."""
    with browser.served(site, isolated=False) as address:
        page = browser.open_lab(started, address)
        yield page
        page.context.close()
        assert not page.faults


@pytest.fixture(scope="module")
def lab(engine, small_site):
    """A page with the engine in each browser."""
    with opened_lab(engine, small_site) as page:
        yield page


@pytest.fixture
def fresh_lab(chromium, small_site):
    """A page with the engine of one test, in Chromium."""
    with opened_lab(chromium, small_site) as page:
        yield page


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Files to drop: two songs, and one that is none."""
    folder = tmp_path_factory.mktemp("songs")
    for name, seconds in [("first song.wav", site_page.SECONDS), ("second.flac", 3)]:
        tones = 0.3 * golden.song(seconds * site_page.HZ, 2, site_page.HZ)
        soundfile.write(folder / name, tones, site_page.HZ, subtype="PCM_24")
    (folder / "no song.mp3").write_text("This is no audio.")
    return folder


@pytest.fixture(scope="module")
def address(small_site):
    with browser.served(small_site, isolated=True) as address:
        yield address


@pytest.fixture(scope="module")
def audible():
    """Chromium with a microphone, which hears beeps."""
    arguments = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"
    with headless_chromium("--disable-gpu", *arguments) as started:
        yield started


@pytest.fixture
def page(audible, address):
    """The page with its first model; it must have had no error, and no other host."""
    page, faults = site_page.opened(audible, address)
    wait_until(page, site_page.READY)
    yield page
    page.context.close()
    assert not faults
