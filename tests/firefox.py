"""Headless Firefox, which the tests of the browser's site use beside Chromium."""

import contextlib
import os
import pathlib

import pytest

from tests.chromium import shared_playwright

FIREFOX = os.environ.get("FIREFOX", "/usr/bin/firefox-esr")
_PREFERENCES = {
    "media.autoplay.default": 0,  # allowed
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
}


@contextlib.contextmanager
def headless_firefox():
    """Yields playwright's browser; skips the test where there is no Firefox.

    It speaks WebDriver BiDi to a distribution's own Firefox.
    """
    if not pathlib.Path(FIREFOX).exists():
        pytest.skip(f"needs Firefox, which is not at {FIREFOX}")
    with shared_playwright() as playwright:
        browser = playwright.firefox.launch(
            channel="moz-firefox",
            executable_path=FIREFOX,
            firefox_user_prefs=_PREFERENCES,
        )
        try:
            yield browser
        finally:
            browser.close()
