"""Compares how fast the browsers that are installed separate a song.

    python -m benchmarks.browsers

Prints for each the least seconds of work for a second of audio, with one thread and
two, in turn and on the same noise. The site is that of `vocals-small`.
"""

import contextlib
import pathlib
import tempfile

import numpy as np
import pytest
import soundfile

from tests.chromium import headless_chromium
from tests.export.web import browser
from tests.firefox import headless_firefox
from tests.webkit import webkit_browser
from waveunet_tf.commands import app
from waveunet_tf.export.web import site_folder

SECONDS = 30
ROUNDS = 3
HZ = 44100
SEPARATE = """async () => {
    const file = await fileOf("noise.wav");
    const begun = performance.now();
    const { id } = await separator.separate(file);
    const seconds = (performance.now() - begun) / 1000;
    await separator.forget(id);
    return seconds;
}"""


def main(_):
    """Opens the browsers that are there, and measures each kind of file."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        site, home = pathlib.Path(folder, "site"), pathlib.Path(folder, "home")
        site.mkdir()
        home.mkdir()
        site_folder.write_site(site, ["vocals-small"], ["float32", "dynamic"], 32768)
        browser.add_lab(site)
        noise = np.random.default_rng(0).normal(0, 0.1, (SECONDS * HZ, 2))
        soundfile.write(site / "noise.wav", noise.clip(-1, 1), HZ)
        address = stack.enter_context(browser.served(site, isolated=True))
        pages = {}
        for name, begin in {
            "chromium": headless_chromium,
            "firefox": headless_firefox,
            "webkit": lambda: webkit_browser(home),
        }.items():
            try:
                started = stack.enter_context(begin())
            except pytest.skip.Exception as reason:
                print(f"{name}: {reason}")
                continue
            pages[name] = browser.open_lab(started, address)
            stack.callback(pages[name].context.close)
        for kind in ("float32", "dynamic"):
            for threads in (1, 2):
                print_seconds(pages, f"models/vocals-small-{kind}.tflite", threads)


def print_seconds(pages: dict, model: str, threads: int) -> None:
    """Separates in turn with each browser, and prints the best rounds."""
    took, engines = {name: [] for name in pages}, {}
    for _ in range(ROUNDS):
        for name, page in pages.items():
            engines[name] = browser.load(page, model, threads=threads)["engine"]
            took[name].append(page.evaluate(SEPARATE) / SECONDS)
    for name, seconds in took.items():
        build = "fast build" if engines[name]["relaxedSimd"] else "compatible build"
        print(
            f"{model:<40} {name:<9} {engines[name]['threads']} threads, {build}: "
            f"{min(seconds):.3f}, {1 / min(seconds):.1f} times real time",
            flush=True,
        )


if __name__ == "__main__":
    app.run(main)
