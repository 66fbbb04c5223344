"""The model in the box: each browser, builds, isolation, offline, long songs."""

import pathlib

import numpy as np
import pytest
import soundfile

from tests import chromium
from tests.command_line import run
from tests.export.web import browser
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.audio.resample import resample
from waveunet_tf.export.web import site_folder
from waveunet_tf.separation.separator import load_tflite_separator

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("web")]
HZ = 22050


@pytest.fixture(scope="module")
def site(web_libraries, tmp_path_factory):
    """A site of the model in the box, as `export-web` makes it."""
    folder = tmp_path_factory.mktemp("site")
    site_folder.write_site(folder, ["vocals-small"], ["dynamic", "float32"], 32768)
    browser.add_lab(folder)
    return folder


@pytest.fixture(scope="module")
def music(shared_music):
    """Seven seconds of a song `(frames, channels)`, at 44.1 kHz."""
    return shared_music


@pytest.fixture(scope="module")
def shared_music():
    from tests.conftest import SHARED_DATA

    songs = sorted((SHARED_DATA / "musdb18-7s" / "test").glob("*.mp4"))
    if not songs:
        pytest.skip("needs the reference data")
    with AudioReader(songs[0]) as reader:
        return np.concatenate(list(reader.blocks()))


def stems_of_python(site, kind, song, rate_hz):
    path = site / "models" / f"vocals-small-{kind}.tflite"
    return load_tflite_separator(path, threads=1).separate(song, rate_hz)


def snr_db(actual, expected):
    noise = np.square(actual - expected, dtype=np.float64).sum()
    return 10 * np.log10(np.square(expected, dtype=np.float64).sum() / noise)


@pytest.fixture(scope="module")
def started():
    with chromium.headless_chromium("--disable-gpu") as one:
        yield one


@pytest.mark.parametrize("isolated", [False, True])
def test_each_browser_gives_the_stems_of_python(engine, site, music, isolated):
    song = resample(music, 44100, HZ)
    with browser.served(site, isolated=isolated) as address:
        page = browser.open_lab(engine, address)
        may_thread = page.evaluate("typeof SharedArrayBuffer === 'function'")
        for kind, least_db in {"float32": 120, "dynamic": 35}.items():
            model = f"models/vocals-small-{kind}.tflite"
            told = browser.load(page, model, threads=2)["engine"]
            assert told["isolated"] == isolated
            threads = isolated and may_thread and told["relaxedSimd"]
            assert told["threads"] == (2 if threads else 1)
            stems = browser.separated(page, site, song, HZ)
            for name, stem in stems_of_python(site, kind, song, HZ).items():
                assert snr_db(stems[name], stem) > least_db
        page.context.close()
        assert not page.faults


@pytest.mark.parametrize(
    ("isolated", "options", "told_engine"),
    [
        (False, {}, {"threads": 1, "isolated": False, "relaxedSimd": True}),
        (False, {"compat": True}, {"threads": 1, "relaxedSimd": False}),
        (True, {"threads": 2}, {"threads": 2, "isolated": True}),
        (False, {"threads": 2}, {"threads": 1, "isolated": False}),
    ],
)
def test_every_build_gives_the_stems_of_python(
    started, site, music, isolated, options, told_engine
):
    song = resample(music, 44100, HZ)
    with browser.served(site, isolated=isolated) as address:
        page = browser.open_lab(started, address)
        for kind, least_db in {"float32": 120, "dynamic": 35}.items():
            told = browser.load(page, f"models/vocals-small-{kind}.tflite", **options)
            assert told_engine.items() <= told["engine"].items()
            stems = browser.separated(page, site, song, HZ)
            expected = stems_of_python(site, kind, song, HZ)
            for name, stem in expected.items():
                assert snr_db(stems[name], stem) > least_db
                if kind == "float32":
                    np.testing.assert_allclose(stems[name], stem, atol=1e-6)
        page.context.close()
        assert not page.faults


def test_one_page_may_change_from_build_to_build(started, site, music):
    song = resample(music, 44100, HZ)[:HZ]
    expected = stems_of_python(site, "float32", song, HZ)["vocals"]
    with browser.served(site, isolated=True) as address:
        page = browser.open_lab(started, address)
        for options in ({}, {"compat": True}, {"threads": 2}, {"compat": True}):
            browser.load(page, "models/vocals-small-float32.tflite", **options)
            stems = browser.separated(page, site, song, HZ)
            np.testing.assert_allclose(stems["vocals"], expected, atol=1e-6)
        page.context.close()


@pytest.mark.parametrize("suffix", ["mp3", "ogg", "wav"])
def test_stems_at_another_rate_are_near_those_that_soxr_resampled(
    engine, site, music, suffix
):
    path = site / f"song.{suffix}"
    with AudioWriter(path, 44100, 2) as writer:
        writer.write(music)
    with AudioReader(path) as reader:
        decoded = np.concatenate(list(reader.blocks()))
    with browser.served(site, isolated=False) as address:
        page = browser.open_lab(engine, address)
        browser.load(page, "models/vocals-small-float32.tflite")
        stems = browser.lanes(page, page.evaluate(f"separate('{path.name}')"))
        page.context.close()
    expected = stems_of_python(site, "float32", decoded.clip(-1, 1), 44100)
    for name, stem in expected.items():
        assert snr_db(stems[name], stem) > 60, name
    total = sum(stems[name] for name in expected)
    np.testing.assert_allclose(total, stems["mixture"], atol=1e-6)


def test_webgpu_gives_the_stems_of_python(site, music):
    song = resample(music, 44100, HZ)[:2000]
    flags = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")
    with (
        chromium.headless_chromium(*flags) as gpu,
        browser.served(site, isolated=True) as address,
    ):
        page = browser.open_lab(gpu, address)
        told = browser.load(
            page, "models/vocals-small-float32.tflite", accelerator="webgpu"
        )
        assert told["engine"]["accelerator"] == "webgpu"
        stems = browser.separated(page, site, song, HZ)
    expected = stems_of_python(site, "float32", song, HZ)
    np.testing.assert_allclose(stems["vocals"], expected["vocals"], atol=1e-5)


def test_webgpu_without_an_adapter_is_one_line(started, site):
    with browser.served(site, isolated=True) as address:
        page = browser.open_lab(started, address)
        with pytest.raises(Exception, match="this browser has no WebGPU adapter"):
            browser.load(
                page, "models/vocals-small-float32.tflite", accelerator="webgpu"
            )
        page.context.close()


def test_the_service_worker_isolates_any_host_and_works_offline(tmp_path, site, music):
    song = resample(music, 44100, HZ)[:HZ]
    soundfile.write(site / "song.wav", song, HZ, subtype="FLOAT")
    with chromium.chromium_with_profile(tmp_path / "profile", "--disable-gpu") as user:
        with browser.served(site, isolated=False) as address:
            page = browser.open_lab(user, address)
            assert not page.evaluate("crossOriginIsolated")
            page.evaluate("void goOffline()")
            page.goto(address)  # a page of the site, which the service worker answers
            chromium.wait_until(page, "crossOriginIsolated")
            page.evaluate(LOAD_WHAT_WORKS_OFFLINE)
            online = page.evaluate(SEPARATE_A_TONE)
        # The server is gone.
        page.reload()
        assert page.evaluate("crossOriginIsolated")
        page.evaluate(LOAD_WHAT_WORKS_OFFLINE)
        assert page.evaluate(SEPARATE_A_TONE) == online
        with pytest.raises(Exception, match="ERR_CONNECTION_REFUSED"):
            page.goto(f"{address}lab.html")


# The site's own page has no global names: the worker is spoken to as protocol.js does.
LOAD_WHAT_WORKS_OFFLINE = """async () => {
    window.raw = new Worker("worker.js");
    window.ask = (request) => new Promise((resolve, reject) => {
        const id = (window.lastId = (window.lastId ?? 0) + 1);
        raw.addEventListener("message", ({ data }) => {
            if (data.id !== id) return;
            if (data.type === "result") resolve(data.result);
            if (data.type === "error") reject(new Error(data.message));
        });
        raw.postMessage({ id, ...request });
    });
    const model = new URL("models/vocals-small-dynamic.tflite", location.href).href;
    const options = { threads: 2 };
    const told = await ask({ type: "load", model, name: "vocals-small", options });
    if (told.engine.threads !== 2) throw new Error("must have threads");
}"""
SEPARATE_A_TONE = """async () => {
    const samples = Float32Array.from({ length: 9000 }, (_, i) => Math.sin(i / 9) / 2);
    await ask({ type: "liveStart", sampleRateHz: 22050, channels: 1 });
    await ask({ type: "livePush", samples });
    const { stems } = await ask({ type: "liveFinish" });
    return [...stems[1].slice(4000, 4010)];
}"""


def test_a_long_song_needs_little_memory_and_leaves_the_page_alone(
    tmp_path, site, music
):
    minutes = 10
    with AudioWriter(site / "long.mp3", 44100, 2) as writer:
        for _ in range(60 * minutes * 44100 // len(music) + 1):
            writer.write(music)
    with (
        chromium.chromium_with_profile(tmp_path / "profile", "--disable-gpu") as user,
        browser.served(site, isolated=True) as address,
    ):
        page = browser.open_lab(user, address)
        browser.load(page, "models/vocals-small-dynamic.tflite")
        before = {pid: megabytes(pid) for pid in processes(tmp_path / "profile")}
        page.evaluate(
            """async () => {
                const file = await fileOf("long.mp3");
                window.gap = 0;
                let last = performance.now();
                setInterval(() => {
                    gap = Math.max(gap, performance.now() - last);
                    last = performance.now();
                }, 20);
                window.ended = separator
                    .separate(file)
                    .then((song) => (window.song = song), (error) => error.message)
                    .then((value) => (window.end = value));
            }"""
        )
        most = 0.0
        while not page.evaluate("Boolean(window.end)"):
            page.wait_for_timeout(500)
            grown = {pid: megabytes(pid) - before[pid] for pid in before}
            most = max(most, sum(max(amount, 0) for amount in grown.values()))
        assert page.evaluate("song.frames") / 44100 > 60 * minutes
        assert page.evaluate("gap") < 220  # 200 ms, and the timer's own 20
    assert most < 300, most


def test_the_benchmark_prints_its_ratio_last(web_libraries):
    done = run("benchmarks.web", "--kinds=dynamic", "--seconds=2", "--rounds=1")
    assert done.returncode == 0, done.stderr
    assert "over Python's LiteRT: " in done.stdout.splitlines()[-1]


def processes(profile: pathlib.Path) -> list[int]:
    """The processes of Chromium that belong to a profile, and their children."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(profile).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def megabytes(pid: int) -> float:
    """A process' own memory."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return int(status.partition("RssAnon:")[2].split()[0]) / 1024
