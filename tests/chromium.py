"""Headless Chromium, which the tests of pages use."""

import contextlib
import os
import pathlib
import time

import pytest

from tests import browser_limits

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = (
    "--no-sandbox --disable-background-networking --disable-component-update "
    "--disable-sync --no-first-run --autoplay-policy=no-user-gesture-required"
).split()


# The one playwright of this process, for it refuses a second, and who uses it.
_shared = {"playwright": None, "users": 0}


@contextlib.contextmanager
def headless_chromium(*arguments):
    """Yields playwright's browser; skips the test where there is no Chromium."""
    _need_chromium()
    with shared_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments]
        )
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def chromium_with_profile(folder, *arguments):
    """Yields a Chromium that keeps its files on the disk, as a user's does."""
    _need_chromium()
    with shared_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder, executable_path=CHROMIUM, args=[*ARGUMENTS, *arguments]
        )
        try:
            yield context
        finally:
            context.close()


@contextlib.contextmanager
def shared_playwright():
    """Yields the playwright of this process; skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not _shared["users"]:
        browser_limits.limit_answers(sync_api)
        with _driver_within("the start of playwright's driver"):
            _shared["playwright"] = sync_api.sync_playwright().start()
    _shared["users"] += 1
    try:
        yield _shared["playwright"]
    finally:
        _shared["users"] -= 1
        if not _shared["users"]:
            with _driver_within("the end of playwright's driver"):
                _shared["playwright"].stop()


def _driver_within(what):
    return browser_limits.within(
        browser_limits.END_SECONDS, what, browser_limits.drivers
    )


def _need_chromium():
    if not pathlib.Path(CHROMIUM).exists():
        pytest.skip(f"needs Chromium, which is not at {CHROMIUM}")


def wait_until(page, condition, *, seconds=30):
    """As page.wait_for_function, which a page's security policy may not allow."""
    end = time.monotonic() + seconds
    while not _holds(page, condition):
        assert time.monotonic() < end, f"in {seconds} s never: {condition}"
        page.wait_for_timeout(20)


def _holds(page, condition):
    try:
        return page.evaluate(condition)
    except Exception as error:  # playwright may be missing, and its Error with it
        if "Execution context was destroyed" not in str(error):
            raise
        return False  # the page was just loading itself again
