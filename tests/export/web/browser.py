"""How tests use a site: a server, a page of a browser, samples out of it."""

import base64
import contextlib
import pathlib
import time

import numpy as np
import soundfile

from tests.chromium import wait_until
from waveunet_tf.export.web import site_server

_ROOM = pathlib.Path(site_server.__file__).parent
# A page without a look, whose window has what the engine's page modules export.
_LAB = """<!doctype html><title>Lab</title><link rel="icon" href="data:,">
<script type="module">
import * as protocol from "./lab/protocol.js";
import * as offline from "./lab/offline.js";
Object.assign(window, protocol, offline, {
  async fileOf(path, name) {
    // Written twice in a second, a file looks unchanged to HTTP.
    const file = await (await fetch(`${path}?${Math.random()}`)).blob();
    return new File([file], name ?? path.replace(/.*[/]/, ""));
  },
  async base64(blob) {
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let text = "";
    for (let at = 0; at < bytes.length; at += 32768) {
      text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    }
    return btoa(text);
  },
  async separate(path, name) {
    try {
      window.song = await separator.separate(await fileOf(path, name));
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
    const lanes = song.lanes.map(({ name }) => name);
    return { ...song, lanes };
  },
  ready: true,
});
</script>"""


def add_lab(site: pathlib.Path) -> None:
    """Puts the page lab.html beside a site."""
    (site / "lab").mkdir()
    for name in ("protocol.js", "offline.js"):
        (site / "lab" / name).write_bytes((_ROOM / "engine" / name).read_bytes())
    (site / "lab.html").write_text(_LAB)


@contextlib.contextmanager
def served(site: pathlib.Path, *, isolated: bool):
    """Serves a site; gives its address."""
    with site_server.running(site, isolated=isolated) as address:
        yield address


def open_lab(browser, address: str):
    """Opens the lab in a context of its own; it must have no error.

    Args:
        browser: A browser, or a context with a profile.
        address: The site's address.
    """
    new = browser.new_context() if hasattr(browser, "new_context") else browser
    page = new.new_page()
    page.set_default_timeout(120_000)
    page.faults = []
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(f"{address}lab.html")
    wait_until(page, "Boolean(window.ready)")
    return page


def wait_through_reloads(page, condition: str) -> None:
    """As wait_until, of a page that may be reloaded meanwhile."""
    end = time.monotonic() + 30
    while True:
        try:
            wait_until(page, condition, seconds=end - time.monotonic())
            return
        except Exception:
            if time.monotonic() > end:
                raise


def load(page, model: str, **options):
    """Loads a model of the site; gives what it and the engine tell."""
    return page.evaluate(
        """async ([model, options]) => {
            window.separator ??= new Separator("worker.js");
            return await separator.load(model, model.replace(/.*[/]/, ""), options);
        }""",
        [model, options],
    )


def blob(page, expression: str) -> bytes:
    """What a blob of the page holds."""
    text = page.evaluate(f"(async () => base64(await ({expression})))()")
    return base64.b64decode(text)


def separated(page, site: pathlib.Path, mixture, rate_hz: int) -> dict:
    """Separates a song `(frames, channels)`; gives lane → float32 of the same shape."""
    soundfile.write(site / "song.wav", mixture, rate_hz, subtype="FLOAT")
    told = page.evaluate("separate('song.wav')")
    assert isinstance(told, dict), told
    assert told["sampleRateHz"] == rate_hz
    assert told["frames"] == len(mixture)
    return lanes(page, told)


def lanes(page, told: dict) -> dict:
    """The lanes of the song that `separate` told of."""
    return {
        name: np.frombuffer(
            blob(page, f"song.lanes[{place}].samples"), np.float32
        ).reshape(-1, told["channels"])
        for place, name in enumerate(told["lanes"])
    }
