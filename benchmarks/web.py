r"""Measures separation in the browser against Python's LiteRT, in one run.

    python -m benchmarks.web --model vocals-small

Makes a site of the model, and opens it in headless Chromium (CHROMIUM, by default
/usr/bin/chromium; needs playwright). One worker separates noise with one thread, at the
network's rate and at 44.1 kHz, which is resampled there and back; Python separates the
same with LiteRT, in turn. Prints the least seconds of work for a second of audio, how
soon the first song's stems are there, the memory, and last the ratio to Python's.
"""

import os
import pathlib
import tempfile
import time

import numpy as np
import soundfile
from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError

_MODEL = flags.DEFINE_string("model", "vocals-small", "A model's name or a checkpoint.")
_KINDS = flags.DEFINE_list(
    "kinds", ["float32", "dynamic"], "Kinds of files; the last one's ratio is told."
)
_SECONDS = flags.DEFINE_float("seconds", 30.0, "Length of the songs.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "Rounds; the best round of each counts.", lower_bound=1
)
_RATES_HZ = (None, 44100)  # the network's, and a CD's
# Begins a page with the engine; gives its seconds until the first song is separated.
_OPEN = """async ([protocol, model, song]) => {
    Object.assign(window, await import(protocol));
    window.separator = new Separator("worker.js");
    const begun = performance.now();
    await separator.load(model, model);
    await separator.separate(await (await fetch(song)).blob(), { name: song });
    return (performance.now() - begun) / 1000;
}"""
_SEPARATE = """async (song) => {
    const file = await (await fetch(song)).blob();
    const begun = performance.now();
    const { id } = await separator.separate(file, { name: song });
    const seconds = (performance.now() - begun) / 1000;
    await separator.forget(id);
    return seconds;
}"""


def page_megabytes(page) -> float:
    """Returns the page's and its worker's own memory: that of their process."""
    session = page.context.browser.new_browser_cdp_session()
    most = 0
    for process in session.send("SystemInfo.getProcessInfo")["processInfo"]:
        if process["type"] == "renderer":
            status = pathlib.Path(f"/proc/{process['id']}/status").read_text()
            most = max(most, int(status.partition("RssAnon:")[2].split()[0]))
    return most / 1024


def write_songs(site: pathlib.Path, network_hz: int) -> dict[int, pathlib.Path]:
    """Writes noise as songs beside the site; returns rate in Hz → file."""
    songs = {}
    generator = np.random.default_rng(0)
    for rate_hz in (rate_hz or network_hz for rate_hz in _RATES_HZ):
        frames = round(_SECONDS.value * rate_hz)
        noise = generator.normal(0, 0.1, (frames, 2)).clip(-1, 1)
        songs[rate_hz] = site / f"noise-{rate_hz}.wav"
        soundfile.write(songs[rate_hz], noise, rate_hz, subtype="PCM_16")
    soundfile.write(site / "first.wav", noise[: 5 * rate_hz], rate_hz)
    return songs


def python_seconds(separator, song: pathlib.Path) -> float:
    """Returns the seconds in which Python separates a song."""
    mixture, rate_hz = soundfile.read(song, dtype="float32")
    begun = time.perf_counter()
    separator.separate(mixture, rate_hz)
    return time.perf_counter() - begun


def measure_in_page(page, site: pathlib.Path, kind: str, model: pathlib.Path) -> float:
    """Prints what a file costs; returns how much longer the browser takes."""
    from waveunet_tf.separation.separator import load_tflite_separator

    separator = load_tflite_separator(model, threads=1)
    first = page.evaluate(_OPEN, ["./protocol.js", f"models/{model.name}", "first.wav"])
    ratios = []
    for rate_hz, song in write_songs(site, separator.config.sample_rate_hz).items():
        web, python = [], []
        for _ in range(_ROUNDS.value):
            web.append(page.evaluate(_SEPARATE, song.name) / _SECONDS.value)
            python.append(python_seconds(separator, song) / _SECONDS.value)
        ratios.append(min(web) / min(python))
        print(
            f"{kind:<9}{rate_hz:>7} Hz{min(web):>9.3f}{1 / min(web):>10.1f}"
            f"{min(python):>9.3f}{ratios[-1]:>8.2f}",
            flush=True,
        )
    print(
        f"{kind:<9}stems of the first 5 s after {first:.1f} s; memory of page and "
        f"worker {page_megabytes(page):.0f} MiB",
        flush=True,
    )
    return ratios[0]


def main(_):
    """Makes the site, and measures each kind of file."""
    from waveunet_tf.export.web import libraries, site_folder, site_server

    try:
        from playwright import sync_api
    except ImportError as error:
        raise InputError("needs playwright: pip install playwright") from error
    chromium = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    if not pathlib.Path(chromium).exists():
        raise InputError(f"needs Chromium, which is not at {chromium}")
    with tempfile.TemporaryDirectory() as folder:
        site = pathlib.Path(folder)
        site_folder.write_site(site, [_MODEL.value], _KINDS.value, 32768)
        protocol = (libraries.ROOM / "engine" / "protocol.js").read_bytes()
        (site / "protocol.js").write_bytes(protocol)
        (site / "empty.html").write_text("<!doctype html><title>Benchmark</title>")
        print(f"{'':<19}{'browser':>9}{'× real':>10}{'Python':>9}{'ratio':>8}")
        ratio = 0.0
        with (
            site_server.running(site) as address,
            sync_api.sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
            for kind in _KINDS.value:
                (model,) = site.glob(f"models/*-{kind}.tflite")
                write_songs(site, 44100)
                page = browser.new_page()
                page.set_default_timeout(0)
                page.goto(f"{address}empty.html")
                ratio = measure_in_page(page, site, kind, model)
                page.close()
            browser.close()
    print(f"{_KINDS.value[-1]} in the browser over Python's LiteRT: {ratio:.2f}")


if __name__ == "__main__":
    app.run(main)
