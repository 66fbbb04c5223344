"""The page where something of the browser or the host fails, in headless Chromium."""

import pytest

from tests.chromium import wait_until
from tests.export.web.site_page import READY

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]


@pytest.fixture
def context(chromium):
    context = chromium.new_context(service_workers="block")
    yield context
    context.close()


def test_the_page_works_where_its_data_are_blocked(context, address):
    denied = "throw new DOMException('Access is denied.', 'SecurityError');"
    page = context.new_page()
    page.add_init_script(
        f"Object.defineProperty(window, 'localStorage', {{ get() {{ {denied} }} }});"
    )
    page.goto(address)
    wait_until(page, READY)
    page.locator("#encoding").evaluate("(it) => it.dispatchEvent(new Event('change'))")
    assert not page.locator(".notice").count()
