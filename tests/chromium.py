"""Headless Chromium, which the tests of pages use."""

import contextlib
import os
import pathlib
import time

import pytest

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --autoplay-policy=no-user-gesture-required"
).split()


@contextlib.contextmanager
def headless_chromium(*arguments):
    """Yields playwright's browser; skips the test where there is no Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not pathlib.Path(CHROMIUM).exists():
        pytest.skip(f"needs Chromium, which is not at {CHROMIUM}")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments]
        )
        try:
            yield browser
        finally:
            browser.close()


def wait_until(page, condition, *, seconds=30):
    """As page.wait_for_function, which a page's security policy may not allow."""
    end = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        page.wait_for_timeout(20)
