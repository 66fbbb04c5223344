"""The worker's files in headless Chromium, where several pages open at once."""

import pytest

pytestmark = pytest.mark.xdist_group("web")
# A worker that is slow to learn which others live: they begin meanwhile.
SLOW = """const query = navigator.locks.query.bind(navigator.locks);
navigator.locks.query = async () => {
    const known = await query();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return known;
};"""


def test_a_page_that_begins_leaves_the_files_of_another_that_does(
    fresh_lab, small_site, songs, request
):
    script = (small_site / "worker.js").read_text(encoding="utf-8")
    request.addfinalizer((small_site / "slow.js").unlink)
    (small_site / "slow.js").write_text(SLOW + script, encoding="utf-8")
    (small_site / "song.wav").write_bytes((songs / "first song.wav").read_bytes())
    told = fresh_lab.evaluate(
        """async () => {
            const slow = new Separator("slow.js");
            await new Promise((resolve) => setTimeout(resolve, 300));
            window.separator = new Separator("worker.js");
            await separator.load("models/stereo.tflite", "stereo");
            await slow.load("models/stereo.tflite", "stereo");
            await slow.separate(await fileOf("song.wav"));
            return await separate("song.wav");
        }"""
    )
    assert isinstance(told, dict), told
