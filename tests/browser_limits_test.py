import pytest

from tests import browser_limits
from tests.chromium import headless_chromium
from tests.firefox import headless_firefox


@pytest.mark.parametrize(
    "begin",
    [headless_chromium, pytest.param(headless_firefox, marks=pytest.mark.slow)],
)
def test_a_page_that_never_answers_ends_its_test(monkeypatch, begin):
    with (
        pytest.raises(AssertionError, match=r"nothing in 0.5 s: Page.evaluate new Pr"),
        begin() as browser,
    ):
        page = browser.new_context().new_page()
        assert page.evaluate("1 + 1") == 2
        monkeypatch.setattr(browser_limits, "ANSWER_SECONDS", 0.5)
        page.evaluate("new Promise(() => {})")
