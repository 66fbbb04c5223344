"""The engine in each browser, with small models."""

import io
import zipfile

import numpy as np
import pytest
import soundfile

from tests.export.web import browser
from tests.export.web.browser import blob, lanes, load, separated
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.export.android import golden

pytestmark = pytest.mark.xdist_group("web")
HZ = 8000
# What files may differ by where a browser's decoder rounds to 16 bits, or otherwise.
ALLOWED = {
    ("firefox", "flac"): 1e-9,
    ("firefox", "mp3"): 5e-5,
    ("firefox", "m4a"): 1e-6,
    ("webkit", "mp3"): 5e-5,
    ("webkit", "opus"): 1.6e-5,
    ("webkit", "m4a"): 1e-6,
}


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


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "DOUBLE"])
def test_wav_files_are_read_as_libsndfile_reads_them(lab, small_site, subtype):
    load(lab, "models/stereo.tflite")
    path = small_site / "song.wav"
    tones = golden.song(2001, 2, 44100).clip(-1, 1)
    soundfile.write(path, tones, 44100, subtype=subtype)
    told = lab.evaluate("separate('song.wav')")
    expected, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_array_equal(lanes(lab, told)["mixture"], expected)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("suffix", "rate_hz", "allowed"),
    [
        ("flac", 96000, 0),
        ("mp3", 44100, 4e-6),
        ("mp3", 22050, 4e-6),
        ("ogg", 44100, 1e-6),
        ("opus", 48000, 1e-6),
        ("m4a", 44100, 0),
    ],
)
def test_files_are_decoded_as_python_decodes_them(
    lab, engine_name, small_site, suffix, rate_hz, allowed, channels
):
    """Frame by frame: an encoder's delay is left out, and its padding.

    Below full scale, at which browsers clip what they decode.
    """
    load(lab, "models/stereo.tflite")
    path = small_site / f"song.{suffix}"
    tones = golden.song(rate_hz + 77, channels, rate_hz) / 3
    with AudioWriter(path, rate_hz, channels) as writer:
        writer.write(tones)
    told = lab.evaluate(f"separate('{path.name}')")
    with AudioReader(path) as reader:
        expected = np.concatenate(list(reader.blocks()))
    if suffix == "m4a":  # of which Python keeps the padding at the end
        expected = expected[: len(tones)]
    actual = lanes(lab, told)["mixture"]
    if engine_name == "webkit" and suffix == "m4a":
        # WebKitGTK is one frame late, and leaves out the last packet.
        assert -1024 <= len(actual) - len(tones) < 0
        actual, expected = actual[1:], expected[: len(actual) - 1]
    assert actual.shape == expected.shape
    allowed = ALLOWED.get((engine_name, suffix), allowed)
    np.testing.assert_allclose(actual, expected, atol=allowed)


def test_an_mp3_without_a_tag_of_its_encoder_is_read_whole(
    lab, engine_name, small_site
):
    av = pytest.importorskip("av")
    load(lab, "models/stereo.tflite")
    path = small_site / "song.mp3"
    tones = np.ascontiguousarray(golden.song(44100, 2, 44100).T / 3)
    options = {"write_xing": "0", "id3v2_version": "0"}
    with av.open(str(path), "w", format="mp3", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(tones, format="fltp", layout="stereo")
        frame.rate = 44100
        for some in (frame, None):
            container.mux(stream.encode(some))
    told = lab.evaluate("separate('song.mp3')")
    with AudioReader(path) as reader:
        expected = np.concatenate(list(reader.blocks()))
    actual = lanes(lab, told)["mixture"]
    allowed = ALLOWED.get((engine_name, "mp3"), 4e-6)
    np.testing.assert_allclose(actual, expected, atol=allowed)


@pytest.mark.parametrize("suffix", ["ogg", "opus"])
def test_all_links_of_a_chained_file_are_decoded(
    lab, engine_name, small_site, tmp_path, suffix
):
    load(lab, "models/stereo.tflite")
    links, expected = [], []
    for seed, frames in enumerate((48077, 24000)):
        path = tmp_path / f"link.{suffix}"
        with AudioWriter(path, 48000, 2) as writer:
            writer.write(golden.song(frames, 2, 48000 + seed) / 3)
        links.append(path.read_bytes())
        with AudioReader(path) as reader:
            expected.append(np.concatenate(list(reader.blocks())))
    # The second once more: its serial number is the same.
    (small_site / f"song.{suffix}").write_bytes(links[0] + links[1] + links[1])
    told = lab.evaluate(f"separate('song.{suffix}')")
    expected = np.concatenate([*expected, expected[-1]])
    actual = lanes(lab, told)["mixture"]
    assert len(actual) == 48077 + 24000 + 24000
    allowed = ALLOWED.get((engine_name, suffix), 1e-6)
    np.testing.assert_allclose(actual, expected, atol=allowed)


def test_links_of_other_rates_are_refused(lab, small_site, tmp_path):
    load(lab, "models/stereo.tflite")
    content = b""
    for rate_hz in (44100, 22050):
        with AudioWriter(tmp_path / "link.ogg", rate_hz, 2) as writer:
            writer.write(golden.song(9000, 2, rate_hz) / 3)
        content += (tmp_path / "link.ogg").read_bytes()
    (small_site / "song.ogg").write_bytes(content)
    told = lab.evaluate("separate('song.ogg')")
    assert told.endswith("song.ogg: must be of one rate and channel count, but changes")


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "opus", "wav"])
def test_a_truncated_file_is_separated_as_far_as_it_goes(lab, small_site, suffix):
    load(lab, "models/stereo.tflite")
    path = small_site / f"song.{suffix}"
    rate_hz = 48000
    with AudioWriter(path, rate_hz, 2) as writer:
        writer.write(golden.song(4 * rate_hz, 2, rate_hz).clip(-1, 1))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    told = lab.evaluate(f"separate('{path.name}')")
    assert isinstance(told, dict), told
    assert rate_hz < told["frames"] < 3 * rate_hz
    if suffix not in ("ogg", "opus"):  # whose length stands at the end alone
        assert "ends before the length" in told["remarks"][0]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp3", b"", "must be an audio file, but is empty"),
        ("notes.mp3", b"no audio at all\n" * 999, "must be an audio file"),
        ("riff.wav", b"RIFF\0\0\0\0WAVEfmt ", "wav file with audio data"),
    ],
)
def test_a_file_that_is_no_audio_is_one_line(lab, small_site, name, content, words):
    load(lab, "models/stereo.tflite")
    (small_site / "bad").write_bytes(content)
    told = lab.evaluate("separate('bad', name)".replace("name", repr(name)))
    assert told.startswith(f"SeparationError: {name}: ")
    assert words in told and "\n" not in told


def test_a_song_of_nan_or_of_six_channels_is_refused(lab, small_site):
    load(lab, "models/stereo.tflite")
    song = golden.song(500, 2, HZ)
    song[77] = np.nan
    soundfile.write(small_site / "song.wav", song, HZ, subtype="FLOAT")
    told = lab.evaluate("separate('song.wav')")
    assert told.endswith(
        "must hold finite samples. Received: NaN or infinity in frame 77"
    )
    soundfile.write(small_site / "song.wav", np.zeros((100, 6)), HZ)
    told = lab.evaluate("separate('song.wav')")
    assert told.endswith("must have 1 or 2 channels. Received: 6 channels")


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
def test_a_song_can_be_cancelled_where_the_browser_never_decodes_it(
    lab, small_site, request
):
    load(lab, "models/stereo.tflite")
    script = (small_site / "worker.js").read_text(encoding="utf-8")
    without = "self.AudioDecoder = undefined;"
    request.addfinalizer((small_site / "broken.js").unlink)
    (small_site / "broken.js").write_text(without + script, encoding="utf-8")
    with AudioWriter(small_site / "song.ogg", 48000, 2) as writer:
        writer.write(golden.song(9000, 2, 48000) / 3)
    told = lab.evaluate(
        """async () => {
            const { decodeAudioData } = OfflineAudioContext.prototype;
            const separator = new Separator("broken.js");
            await separator.load("models/stereo.tflite", "stereo");
            const cancel = new AbortController();
            OfflineAudioContext.prototype.decodeAudioData = () => {
                setTimeout(() => cancel.abort(), 100);
                return new Promise(() => {});
            };
            const file = await fileOf("song.ogg");
            const { signal } = cancel;
            const song = separator.separate(file, { signal });
            const name = await song.catch((error) => error.name);
            OfflineAudioContext.prototype.decodeAudioData = decodeAudioData;
            const { frames } = await separator.separate(file); // none stands in its way
            separator.close();
            return [name, frames];
        }"""
    )
    assert told == ["AbortError", 9000]


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        "AudioDecoder.prototype.decode = () => {};",
        "AudioDecoder.prototype.flush = () => new Promise(() => {});"
        "AudioDecoder.prototype.decode = () => {};",
        "AudioDecoder.prototype.decode = () => { throw new Error('broken'); };",
    ],
)
def test_a_browser_whose_webcodecs_fails_decodes_a_file_as_a_whole(
    lab, small_site, fault, request
):
    """Without an answer, too: a song may wait for it, and the next one does not."""
    if not lab.evaluate("typeof AudioDecoder === 'function'"):
        pytest.skip("needs WebCodecs")
    script = (small_site / "worker.js").read_text(encoding="utf-8")
    request.addfinalizer((small_site / "broken.js").unlink)
    (small_site / "broken.js").write_text(fault + script, encoding="utf-8")
    tones = golden.song(48077, 2, 48000) / 3
    with AudioWriter(small_site / "song.ogg", 48000, 2) as writer:
        writer.write(tones)
    told = lab.evaluate(
        """async () => {
            const broken = new Separator("broken.js");
            await broken.load("models/stereo.tflite", "stereo");
            const begun = performance.now();
            const file = await fileOf("song.ogg");
            const seconds = [];
            for (const _ of [1, 2]) {
                const begun = performance.now();
                window.song = await broken.separate(file);
                seconds.push((performance.now() - begun) / 1000);
            }
            broken.close();
            return [seconds, song.frames, song.channels];
        }"""
    )
    seconds, frames, channels = told
    assert seconds[0] < 15 and seconds[1] < 5
    with AudioReader(small_site / "song.ogg") as reader:
        expected = np.concatenate(list(reader.blocks()))
    actual = np.frombuffer(blob(lab, "song.lanes[0].samples"), np.float32)
    assert (frames, channels) == (len(expected), 2)
    np.testing.assert_allclose(actual.reshape(-1, 2), expected, atol=1e-4)
