"""What the page saves while other songs come and go, in headless Chromium."""

import numpy as np
import pytest
import soundfile

from tests.chromium import wait_until
from tests.export.web.site_page import HZ, NO_JOB_RUNS, separate

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]
# The names of the files that the worker keeps.
KEPT = """async () => {
    const root = await navigator.storage.getDirectory();
    const names = [];
    for await (const folder of (await root.getDirectoryHandle("waveunet")).values()) {
        for await (const name of folder.keys()) names.push(name);
    }
    return names;
}"""

# A minute has passed.
LATER = """() => {
    const now = performance.now.bind(performance);
    performance.now = () => now() + 60_000;
}"""


@pytest.fixture
def downloads(page):
    """The names of the files that the page saves."""
    names = []
    page.on("download", lambda download: names.append(download.suggested_filename))
    return names


@pytest.fixture
def long(tmp_path):
    """A song that takes some seconds."""
    soundfile.write(tmp_path / "long.wav", np.zeros((300 * HZ, 2), np.int16), HZ)
    return tmp_path / "long.wav"


def save(page, button):
    page.get_by_role("button", name=button, exact=True).click()


def test_a_song_that_shows_itself_ends_no_saving(page, songs, long, downloads):
    separate(page, songs / "second.flac")
    page.set_input_files("#songs", [long])
    wait_until(page, "document.title.includes('%')")
    save(page, "All stems (.zip)")
    wait_until(page, "document.querySelector('#song-title').textContent === 'long'")
    wait_until(page, "document.querySelector('#stop-saving').hidden")
    assert page.inner_text("#saving") == "second.zip is saved."
    assert downloads == ["second.zip"]


def test_files_are_saved_one_after_the_other(page, songs, downloads):
    separate(page, songs / "first song.wav")
    page.select_option("#encoding", "flac")
    for name in ("Vocals", "Accompaniment"):
        save(page, f"Save {name}")
    wait_until(page, "document.querySelector('#stop-saving').hidden")
    page.wait_for_timeout(300)
    ends = ("vocals.flac", "accompaniment.flac")
    assert downloads == [f"first song - {end}" for end in ends]


def test_cancel_ends_all_saving_and_so_does_removing_the_song(
    page, songs, long, downloads
):
    separate(page, songs / "second.flac")
    for end in ("Cancel", "Remove second.flac"):
        page.set_input_files("#songs", [long])
        wait_until(page, "document.title.includes('%')")
        save(page, "Save Vocals")
        save(page, "All stems (.zip)")
        save(page, end)
        wait_until(page, NO_JOB_RUNS)
        wait_until(page, "document.querySelector('#stop-saving').hidden")
        save(page, "Remove long.wav")
    assert downloads == []
    assert not page.locator(".notice").count()


def test_a_song_that_is_removed_leaves_nothing_that_was_saved_of_it(page, songs):
    separate(page, songs / "second.flac", songs / "first song.wav")
    kept = set(page.evaluate(KEPT))
    for encoding in ("wav16", "wav24"):
        page.select_option("#encoding", encoding)
        with page.expect_download():
            save(page, "All stems (.zip)")
    assert len(page.evaluate(KEPT)) == len(kept) + 4
    page.evaluate(LATER)
    save(page, "Remove second.flac")
    wait_until(page, f"({KEPT})().then((names) => names.length === {len(kept) // 2})")
    assert set(page.evaluate(KEPT)) < kept


def test_what_is_saved_is_copied_though_its_song_is_removed_at_once(page, long):
    separate(page, long)
    page.select_option("#encoding", "wav32f")
    with page.expect_download() as download:
        save(page, "All stems (.zip)")
    save(page, "Remove long.wav")
    stem_bytes = 8 * 300 * HZ
    assert download.value.path().stat().st_size > 2 * stem_bytes
