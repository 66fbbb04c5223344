"""The engine in each browser, with small models."""

import io
import zipfile

import numpy as np
import pytest
import soundfile

from tests.export.web import browser
from tests.export.web.browser import blob, load, separated
from waveunet_tf.export.android import golden

pytestmark = pytest.mark.xdist_group("web")
HZ = 8000


def stems_of_python(separator, mixture, rate_hz):
    """Python's stems `(frames, channels)`, resampled by the filter that is ported."""
    with golden.java_resampler():
        stream = separator.stream(rate_hz, mixture.shape[1])
        pushed, rest = stream.push(mixture), stream.finish()
    return {name: np.concatenate([pushed[name], rest[name]]) for name in rest}


@pytest.mark.parametrize(
    ("model", "rate_hz", "channels", "frames"),
    [
        ("stereo", HZ, 2, 4999),
        ("stereo", HZ, 2, 1),
        ("stereo", HZ, 1, 1777),
        ("stereo", 11025, 2, 3001),
        ("stereo", 96000, 2, 10007),
        ("mono", HZ, 2, 997),
        ("mono", 44100, 2, 40001),
        ("window", HZ, 2, 1003),
        ("window", 6000, 1, 777),
    ],
)
def test_stems_are_those_of_python(
    lab, small_site, small_separators, model, rate_hz, channels, frames
):
    load(lab, f"models/{model}.tflite")
    mixture = golden.song(frames, channels, rate_hz)
    stems = separated(lab, small_site, mixture, rate_hz)
    expected = stems_of_python(small_separators[model][1], mixture, rate_hz)
    assert list(stems) == ["mixture", *expected]
    for name, stem in expected.items():
        np.testing.assert_allclose(stems[name], stem, atol=1e-6, err_msg=name)


def test_silence_gives_what_python_gives(lab, small_site, small_separators):
    load(lab, "models/stereo.tflite")
    silence = np.zeros((3000, 2), np.float32)
    stems = separated(lab, small_site, silence, HZ)
    expected = stems_of_python(small_separators["stereo"][1], silence, HZ)
    for name, stem in expected.items():
        np.testing.assert_allclose(stems[name], stem, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda b: b"none", "has no TFLite identifier"),
        (lambda b: b[:-9], "must be a whole TFLite file, but is broken"),
        (lambda b: b[: len(b) // 3], "must be a whole TFLite file, but is broken"),
        (
            lambda b: b.replace(b'"format_version": 2', b'"format_version": 7'),
            "`format_version` must be 2. Received: 7",
        ),
        (
            lambda b: b.replace(b'"channels": 2', b'"channels": 5'),
            "its `channels` must be a whole number from 1 to 2. Received: 5",
        ),
        (
            lambda b: b.replace(
                b'}, "sample_rate_hz": 8000', b'}, "sample_rate_hz": 4000'
            ),
            "its `sample_rate_hz` must be that of its network. Received: 4000",
        ),
        (lambda b: b.replace(b"waveunet_config", b"waveunet_konfig"), "metadata"),
    ],
)
def test_another_model_file_is_one_line(
    lab, small_site, small_separators, change, words
):
    (small_site / "bad").write_bytes(change(small_separators["stereo"][0].read_bytes()))
    told = lab.evaluate(
        """async () => {
            window.separator ??= new Separator("worker.js");
            try {
                await separator.load(await fileOf("bad"), "my.tflite");
            } catch (error) {
                return `${error.name}: ${error.message}`;
            }
        }"""
    )
    assert told.startswith("SeparationError: my.tflite: ")
    assert words in told and "\n" not in told


@pytest.fixture
def separated_song(lab, small_site):
    """A song in the page, and its lanes; some stems are beyond full scale."""
    load(lab, "models/stereo.tflite")
    return separated(lab, small_site, golden.song(5001, 2, HZ), HZ)


@pytest.mark.parametrize(
    ("encoding", "subtype", "allowed"),
    [
        ("wav32f", "FLOAT", 0),
        ("wav24", "PCM_24", 2**-23),
        ("wav16", "PCM_16", 2**-14),
        ("flac", "PCM_24", 2**-23),
    ],
)
def test_stems_are_files_that_libsndfile_reads(
    lab, separated_song, encoding, subtype, allowed
):
    stems = {name: separated_song[name] for name in ("accompaniment", "vocals")}
    loudest = max(np.abs(stem).max() for stem in stems.values())
    assert loudest > 1
    gain = 1 if encoding == "wav32f" else 1 / loudest
    for name, stem in stems.items():
        content = blob(lab, f"separator.encode(song.id, {name!r}, {encoding!r})")
        assert soundfile.info(io.BytesIO(content)).subtype == subtype
        read, rate_hz = soundfile.read(io.BytesIO(content), dtype="float32")
        assert rate_hz == HZ
        np.testing.assert_allclose(read, stem * gain, atol=allowed)


def test_all_stems_come_as_one_zip(lab, separated_song):
    names = ["accompaniment", "vocals"]
    content = blob(lab, f"separator.zip(song.id, {names}, 'wav32f')")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"song/{name}.wav" for name in names]
        for name in names:
            with archive.open(f"song/{name}.wav") as file:
                read, _ = soundfile.read(io.BytesIO(file.read()), dtype="float32")
            np.testing.assert_array_equal(read, separated_song[name])


def test_waveforms_bound_all_samples(lab, separated_song):
    for place, stem in enumerate(separated_song.values()):
        told = lab.evaluate(
            f"({{...song.lanes[{place}], peaks: [...song.lanes[{place}].peaks]}})"
        )
        frames = told["framesPerPeak"]
        bounds = np.reshape(told["peaks"], (-1, 2))
        assert len(bounds) == -(-len(stem) // frames)
        for at, (low, high) in enumerate(bounds):
            part = stem[at * frames : (at + 1) * frames]
            assert low == min(part.min(), 0) and high == max(part.max(), 0)
        assert told["peak"] == np.abs(stem).max()


def test_the_player_reads_parts_of_a_lane(lab, separated_song):
    part = lab.evaluate(
        "readLane(song, song.lanes[2], 4900, 200).then((p) => p.map((c) => [...c]))"
    )
    np.testing.assert_array_equal(np.transpose(part), separated_song["vocals"][4900:])


def test_two_songs_at_once_are_both_separated(lab, small_site, small_separators):
    load(lab, "models/stereo.tflite")
    songs = [golden.song(frames, 2, HZ) for frames in (3000, 2000)]
    for place, song in enumerate(songs):
        soundfile.write(small_site / f"{place}.wav", song, HZ, subtype="FLOAT")
    lab.evaluate(
        """async () => {
            const files = [await fileOf("0.wav"), await fileOf("1.wav")];
            window.songs = await Promise.all(files.map((f) => separator.separate(f)));
        }"""
    )
    for place, song in enumerate(songs):
        expected = stems_of_python(small_separators["stereo"][1], song, HZ)
        stem = blob(lab, f"songs[{place}].lanes[2].samples")
        actual = np.frombuffer(stem, np.float32).reshape(-1, 2)
        np.testing.assert_allclose(actual, expected["vocals"], atol=1e-6)


def test_a_cancelled_song_leaves_nothing_and_the_next_one_is_separated(
    lab, small_site, small_separators
):
    load(lab, "models/stereo.tflite")
    song = golden.song(2_000_000, 2, HZ)
    soundfile.write(small_site / "song.wav", song, HZ, subtype="FLOAT")
    told = lab.evaluate(
        """async () => {
            const cancel = new AbortController();
            const seen = [];
            const onProgress = ({ stage, done }) => {
                seen.push([stage, done]);
                if (done > 0.2) cancel.abort();
            };
            const file = await fileOf("song.wav");
            const before = await files();
            try {
                await separator.separate(file, { signal: cancel.signal, onProgress });
            } catch (error) {
                return [error.name, seen, before, await files()];
            }
            async function files() {
                if (!navigator.storage?.getDirectory) return []; // they are in memory
                const root = await navigator.storage.getDirectory();
                const names = [];
                const ours = await root.getDirectoryHandle("waveunet");
                for await (const folder of ours.values()) {
                    for await (const name of folder.keys()) names.push(name);
                }
                return names.sort();
            }
        }"""
    )
    name, seen, before, after = told
    assert name == "AbortError"
    assert seen[-1][1] < 0.6
    assert before == after
    stems = separated(lab, small_site, song[:999], HZ)
    expected = stems_of_python(small_separators["stereo"][1], song[:999], HZ)
    np.testing.assert_allclose(stems["vocals"], expected["vocals"], atol=1e-6)


def test_live_blocks_give_the_stems_of_the_song(lab, small_separators):
    load(lab, "models/stereo.tflite")
    song = golden.song(4000, 2, 11025)
    told, stems = lab.evaluate(
        """async (song) => {
            const told = await separator.liveStart(11025, 2);
            const stems = told.sources.map(() => []);
            const take = (live) =>
                live.stems.forEach((stem, place) => stems[place].push(...stem));
            for (let at = 0; at < song.length; at += 2 * 128) {
                const block = new Float32Array(song.slice(at, at + 2 * 128));
                take(await separator.livePush(block));
            }
            take(await separator.liveFinish());
            return [told, stems];
        }""",
        song.ravel().tolist(),
    )
    assert told["sources"] == ["accompaniment", "vocals"]
    assert told["latencySeconds"] > 0
    expected = stems_of_python(small_separators["stereo"][1], song, 11025)
    for stem, name in zip(stems, told["sources"]):
        actual = np.reshape(stem, (-1, 2))
        np.testing.assert_allclose(actual, expected[name], atol=1e-6)


@pytest.mark.slow
def test_a_browser_that_cannot_compile_the_fast_build_runs_the_slower_one(
    chromium, small_site, small_separators
):
    with browser.served(small_site, isolated=False) as address:
        page = browser.open_lab(chromium, address)
        page.context.route(
            "**/litert_wasm_internal.wasm", lambda route: route.fulfill(body="none")
        )
        engine = load(page, "models/stereo.tflite")["engine"]
        assert not engine["relaxedSimd"]
        song = golden.song(2000, 2, HZ)
        stems = separated(page, small_site, song, HZ)
        page.context.close()
    expected = stems_of_python(small_separators["stereo"][1], song, HZ)
    np.testing.assert_allclose(stems["vocals"], expected["vocals"], atol=1e-6)


def test_a_song_before_a_model_is_one_line(lab, small_site):
    told = lab.evaluate(
        """async () => {
            const fresh = new Separator("worker.js");
            try {
                await fresh.separate(new Blob(["x"]), { name: "x.wav" });
            } catch (error) {
                return error.message;
            } finally {
                fresh.close();
            }
        }"""
    )
    assert told == "a model must be loaded first"
