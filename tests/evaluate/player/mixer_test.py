"""The player's mixer in Chromium: what comes out, sample for sample."""

import numpy as np
import pytest

from tests.chromium import headless_chromium, wait_until
from waveunet_tf.evaluate.player import player_files

RATE_HZ = 44100
SECONDS = 8
# Two sources: noise by a formula, and the same turned over. `late` delays reading. The
# recorder gets what the mixer gives to the loudspeakers.
PREPARE = """async ([rate, seconds]) => {
    const noise = (frame) => {
        let bits = Math.imul(frame + 1, 2654435761);
        bits = Math.imul(bits ^ (bits >>> 15), 2246822519);
        return ((bits ^ (bits >>> 13)) | 0) / 2 ** 32;
    };
    window.late = [0, 0];
    window.furthest = 0;
    const source = (sign, place) => ({
        read: async (start, frames) => {
            furthest = Math.max(furthest, (start + frames) / rate);
            if (late[place]) await sleep(late[place]);
            return [Float32Array.from({ length: frames }, (_, each) =>
                sign * noise(start + each))];
        },
    });
    const sources = [source(1, 0), source(-1, 1)];
    window.mixer = new Mixer({ rate, duration: seconds }, sources);
    await mixer.play();
    const recorder = `class Recorder extends AudioWorkletProcessor {
        process([[plane]]) {
            this.port.postMessage(plane ? plane.slice() : new Float32Array(128));
            return true;
        }
    }
    registerProcessor("recorder", Recorder);`;
    const address = `data:text/javascript,${encodeURIComponent(recorder)}`;
    await mixer.context.audioWorklet.addModule(address);
    const node = new AudioWorkletNode(mixer.context, "recorder");
    window.heard = [];
    node.port.onmessage = (event) => heard.push(...event.data);
    mixer.output.connect(node).connect(mixer.context.destination);
}"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixer")
    player_files.copy_player(folder)
    scripts = [f'<script src="{name}"></script>' for name in player_files.SCRIPTS]
    (folder / "index.html").write_text(f"<body>{''.join(scripts)}", encoding="utf-8")
    with headless_chromium("--disable-gpu") as browser:
        page = browser.new_page()
        page.goto((folder / "index.html").as_uri())
        yield page


@pytest.fixture
def mixer(page):
    page.evaluate(PREPARE, [RATE_HZ, SECONDS])
    yield page
    page.evaluate("mixer.close()")


def noise():
    """What the first source gives, as the script computes it."""
    bits = np.arange(1, RATE_HZ * SECONDS + 1, dtype=np.uint32) * np.uint32(2654435761)
    bits = (bits ^ (bits >> 15)) * np.uint32(2246822519)
    return (bits ^ (bits >> 13)).astype(np.int32) / 2.0**32


def record(page, seconds):
    page.evaluate("heard.length = 0")
    wait_until(page, f"heard.length >= {int(seconds * RATE_HZ)}")
    return np.array(page.evaluate("heard"), np.float32)


def test_sources_are_together_to_the_sample_also_after_moves(mixer):
    assert not record(mixer, 2.5).any()
    for place in (5.123456, 0.0000113, 3.3):
        mixer.evaluate(f"mixer.currentTime = {place}")
        assert not record(mixer, 1.3).any()
        assert place + 1 < mixer.evaluate("mixer.currentTime") < place + 2.8
    mixer.evaluate("mixer.channels[1].gain = 0.5")
    mixer.wait_for_timeout(100)
    assert record(mixer, 0.5).std() > 0.05  # the recorder does hear


def test_blocks_follow_each_other_without_a_gap(mixer):
    mixer.evaluate("mixer.channels[1].gain = 0")
    mixer.wait_for_timeout(200)
    heard = record(mixer, 3.2)
    song = noise()
    begin = int(np.argmax(np.correlate(song, heard[:2000])))
    np.testing.assert_allclose(heard, song[begin : begin + len(heard)], atol=1e-6)


def test_no_more_is_read_than_a_few_seconds_ahead(mixer):
    mixer.evaluate("furthest = 0; mixer.currentTime = 1")
    mixer.wait_for_timeout(700)
    read, heard = mixer.evaluate("[furthest, mixer.currentTime]")
    assert heard < read < heard + 5


def test_where_one_source_is_late_all_wait_and_the_clock_with_them(mixer):
    mixer.evaluate("late[1] = 1.5; mixer.currentTime = 2")
    mixer.wait_for_timeout(1000)
    assert mixer.evaluate("mixer.currentTime") == 2
    assert not record(mixer, 4).any()
    assert mixer.evaluate("mixer.currentTime") > 3


def test_a_source_that_fails_ends_playing_with_its_error(mixer):
    mixer.evaluate(
        """() => {
            const hear = ({ detail }) => (window.told = detail.message);
            mixer.addEventListener("fail", hear);
            const gone = async () => { throw new Error("gone"); };
            mixer.channels[0].source.read = gone;
            mixer.currentTime = 1;
        }"""
    )
    wait_until(mixer, "window.told === 'gone' && mixer.paused")


def test_the_end_comes_on_time_and_leaves_the_beginning(mixer):
    mixer.evaluate(f"mixer.currentTime = {SECONDS} - 0.5")
    mixer.wait_for_timeout(300)
    assert not mixer.evaluate("mixer.paused")
    wait_until(mixer, "mixer.paused && mixer.currentTime === 0", seconds=3)
