"""How tests use the site's page: opened, with songs that are separated and saved."""

import pathlib

from tests.chromium import wait_until

HZ = 8000
SECONDS = 12
READY = "document.querySelector('#engine').textContent.startsWith('Gives')"
NO_JOB_RUNS = "!document.querySelector('.job [aria-label^=Cancel]')"
# For its tests, the page's player.
SHOW_PLAYER = """new MutationObserver(() => {
    if (typeof Player === "undefined" || window.spied) return;
    window.spied = true;
    const show = Player.prototype.show;
    Player.prototype.show = function (song) {
        window.player = this;
        show.call(this, song);
    };
}).observe(document, { childList: true, subtree: true });"""


def opened(started, address, **options):
    """A new page, and the list of what goes wrong in it."""
    page = started.new_context(**options).new_page()
    faults = []
    page.add_init_script(SHOW_PLAYER)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda said: faults.append(said.text) if said.type == "error" else None,
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((address, "blob:"))
            else faults.append(request.url)
        ),
    )
    page.goto(address)
    return page, faults


def separate(page, *paths):
    page.set_input_files("#songs", list(paths))
    wait_until(page, "document.querySelectorAll('.job').length > 0")
    wait_until(page, NO_JOB_RUNS)


def saved(page, button):
    """The file that a button saves: its name and content."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    path = pathlib.Path(download.value.path())
    return download.value.suggested_filename, path.read_bytes()
