"""The service worker in Chromium: folders of a host, new versions, a full disk."""

import base64
import contextlib
import hashlib

import pytest

from tests.chromium import wait_until
from tests.export.web import browser
from tests.export.web.site_page import READY

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]
ISOLATED = f"crossOriginIsolated && {READY}"
NEW = "getComputedStyle(document.body).getPropertyValue('--new') === '1'"
WAITS = """navigator.serviceWorker.getRegistration()
    .then((registration) => Boolean(registration.waiting))"""
NO_SPACE = """const put = Cache.prototype.put;
Cache.prototype.put = function (url, response) {
    if (!/(models|wasm)[/]/.test(url)) return put.call(this, url, response);
    return Promise.reject(new DOMException("full", "QuotaExceededError"));
};"""


@pytest.fixture
def context(chromium):
    context = chromium.new_context()
    yield context
    with contextlib.suppress(Exception):  # a test may have closed it
        context.close()


def copy_site(site, folder, changes):
    """Links to a site's files, but for some that have other contents (name → bytes)."""
    folder.mkdir()
    script = (site / "service-worker.js").read_text(encoding="utf-8")
    for path in site.iterdir():
        if path.name not in changes:
            (folder / path.name).symlink_to(path)
    for name, content in changes.items():
        script = script.replace(integrity(site / name), digest(content))
        (folder / name).write_bytes(content)
    (folder / "service-worker.js").unlink()
    (folder / "service-worker.js").write_text(script, encoding="utf-8")


def integrity(path):
    return digest(path.read_bytes())


def digest(content):
    return "sha256-" + base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_sites_in_folders_of_one_host_are_all_isolated_and_kept(
    context, small_site, tmp_path
):
    copy_site(small_site, tmp_path / "a", {})
    icon = (small_site / "icon.svg").read_bytes()
    copy_site(small_site, tmp_path / "b", {"icon.svg": icon + b"\n"})
    page = context.new_page()
    with browser.served(tmp_path, isolated=False) as address:
        for name in "ab":
            page.goto(f"{address}{name}/")
            browser.wait_through_reloads(page, ISOLATED)
    # The server is gone.
    for name in "ab":
        page.goto(f"{address}{name}/")
        wait_until(page, ISOLATED)


def test_a_full_disk_keeps_no_model_from_the_page(context, small_site, tmp_path):
    copy_site(small_site, tmp_path / "site", {})
    script = tmp_path / "site" / "service-worker.js"
    script.write_text(NO_SPACE + script.read_text(encoding="utf-8"), encoding="utf-8")
    page = context.new_page()
    with browser.served(tmp_path / "site", isolated=False) as address:
        page.goto(address)
        browser.wait_through_reloads(page, ISOLATED)
        assert not page.locator(".notice").count()


def test_a_new_version_is_there_when_all_pages_were_closed(
    context, small_site, tmp_path
):
    site = tmp_path / "site"
    copy_site(small_site, site, {})
    with browser.served(site, isolated=False) as address:
        page = context.new_page()
        page.goto(address)
        browser.wait_through_reloads(page, ISOLATED)
        site.rename(tmp_path / "old")
        style = (small_site / "site.css").read_bytes() + b"body { --new: 1; }"
        copy_site(small_site, site, {"site.css": style})
        (site / "models").unlink()
        (site / "models").mkdir()
        page.reload()
        wait_until(page, ISOLATED)
        assert not page.evaluate(NEW)
        # What the version of the page had is there no more.
        page.select_option("#model", index=1)
        page.locator(".notice").wait_for()
        assert "close all its pages and open it again" in page.inner_text(".notice p")
        wait_until(page, WAITS)
        page.close()
        page = context.new_page()
        page.goto(address)
        wait_until(page, ISOLATED)
        assert page.evaluate(NEW)


def test_a_host_that_changes_a_file_has_a_page_that_begins_at_once(
    context, small_site, tmp_path
):
    site = tmp_path / "site"
    copy_site(small_site, site, {"index.html": b"none"})
    index = (small_site / "index.html").read_bytes()
    (site / "index.html").write_bytes(index + b"<!-- counts visits -->")
    page = context.new_page()
    loads = []
    page.on("load", lambda: loads.append(page.url))
    with browser.served(site, isolated=False) as address:
        page.goto(address)
        wait_until(page, READY, seconds=8)
        assert not page.evaluate("crossOriginIsolated")
        assert loads == [address]


def test_what_the_first_visit_used_works_offline_where_the_host_isolates(
    context, small_site
):
    page = context.new_page()
    with browser.served(small_site, isolated=True) as address:
        page.goto(address)
        wait_until(page, ISOLATED)
        wait_until(page, "Boolean(navigator.serviceWorker.controller)")
    # The server is gone.
    page.reload()
    wait_until(page, ISOLATED)
