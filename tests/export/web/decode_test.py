"""Audio files as each browser reads them, with a small model."""

import numpy as np
import pytest
import soundfile

from tests.export.web import browser
from tests.export.web.browser import blob, lanes, load
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
# The hundredth packet is one too much.
GIVE_UP = """{
    const { decode } = AudioDecoder.prototype;
    let packets = 0;
    AudioDecoder.prototype.decode = function (chunk) {
        if (++packets % 100 === 0) throw new Error("broken");
        decode.call(this, chunk);
    };
}"""


def write(path, tones, rate_hz):
    with AudioWriter(path, rate_hz, tones.shape[1]) as writer:
        writer.write(tones)


def read(path):
    """All that Python decodes, `(frames, channels)`."""
    with AudioReader(path) as reader:
        return np.concatenate(list(reader.blocks()))


def write_mp3_without_tag(path, *, seconds):
    """An mp3 that does not say its encoder's delay, nor its length."""
    av = pytest.importorskip("av")
    tones = np.ascontiguousarray(golden.song(seconds * 44100, 2, 44100).T / 3)
    options = {"write_xing": "0", "id3v2_version": "0"}
    with av.open(str(path), "w", format="mp3", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(tones, format="fltp", layout="stereo")
        frame.rate = 44100
        for some in (frame, None):
            container.mux(stream.encode(some))


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
    write(path, tones, rate_hz)
    told = lab.evaluate(f"separate('{path.name}')")
    expected = read(path)
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
    load(lab, "models/stereo.tflite")
    path = small_site / "song.mp3"
    write_mp3_without_tag(path, seconds=1)
    told = lab.evaluate("separate('song.mp3')")
    expected = read(path)
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
        write(path, golden.song(frames, 2, 48000 + seed) / 3, 48000)
        links.append(path.read_bytes())
        expected.append(read(path))
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
        write(tmp_path / "link.ogg", golden.song(9000, 2, rate_hz) / 3, rate_hz)
        content += (tmp_path / "link.ogg").read_bytes()
    (small_site / "song.ogg").write_bytes(content)
    told = lab.evaluate("separate('song.ogg')")
    assert told.endswith("song.ogg: must be of one rate and channel count, but changes")


@pytest.mark.parametrize("suffix", ["mp3", "flac", "ogg", "opus", "wav"])
def test_a_truncated_file_is_separated_as_far_as_it_goes(lab, small_site, suffix):
    load(lab, "models/stereo.tflite")
    path = small_site / f"song.{suffix}"
    rate_hz = 48000
    write(path, golden.song(4 * rate_hz, 2, rate_hz).clip(-1, 1), rate_hz)
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


@pytest.mark.slow
def test_a_song_can_be_cancelled_where_the_browser_never_decodes_it(
    lab, small_site, request
):
    load(lab, "models/stereo.tflite")
    script = (small_site / "worker.js").read_text(encoding="utf-8")
    without = "self.AudioDecoder = undefined;"
    request.addfinalizer((small_site / "broken.js").unlink)
    (small_site / "broken.js").write_text(without + script, encoding="utf-8")
    write(small_site / "song.ogg", golden.song(9000, 2, 48000) / 3, 48000)
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
    write(small_site / "song.ogg", tones, 48000)
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
    expected = read(small_site / "song.ogg")
    actual = np.frombuffer(blob(lab, "song.lanes[0].samples"), np.float32)
    assert (frames, channels) == (len(expected), 2)
    np.testing.assert_allclose(actual.reshape(-1, 2), expected, atol=1e-4)


@pytest.mark.slow
def test_a_song_of_unknown_length_that_breaks_off_says_so(
    fresh_lab, small_site, request
):
    write_mp3_without_tag(small_site / "song.mp3", seconds=5)
    script = (small_site / "worker.js").read_text(encoding="utf-8")
    request.addfinalizer((small_site / "broken.js").unlink)
    (small_site / "broken.js").write_text(GIVE_UP + script, encoding="utf-8")
    fresh_lab.evaluate(
        """() => {
            window.separator = new Separator("broken.js");
            OfflineAudioContext.prototype.decodeAudioData = async () => {
                throw new Error("too long");
            };
        }"""
    )
    browser.load(fresh_lab, "models/stereo.tflite")
    told = fresh_lab.evaluate("separate('song.mp3')")
    assert 0 < told["frames"] < 3 * 44100
    line = "the browser's decoder gave up before the end of the file"
    assert line in told["remarks"]
