import json
import subprocess
import sys

import numpy as np
import pytest

from tests.audio.signals import noise, write_with_ffmpeg
from waveunet_tf.audio import io

START = "from waveunet_tf.audio import decoder_worker; decoder_worker.main()"


@pytest.fixture
def worker():
    words = [sys.executable, "-c", START]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as process:
        assert json.loads(process.stdout.readline()) == {"ready": True}
        yield process


def ask(worker, **request):
    worker.stdin.write(json.dumps(request).encode() + b"\n")
    worker.stdin.flush()


def answer(worker):
    return json.loads(worker.stdout.readline())


def test_requests_are_answered_in_their_order_and_with_the_samples(worker, tmp_path):
    tags = {"title": "A"}
    write_with_ffmpeg(tmp_path / "x.m4a", "alac", noise(70_000), tags=tags)
    expected, rate_hz = io.read(tmp_path / "x.m4a")
    options = {"stream": None, "downmix": True}
    opening = {"do": "open", "folder": str(tmp_path), "options": options}
    ask(worker, **opening, number=7, path="x.m4a")
    ask(worker, **opening, number=8, path="no.m4a")
    for _ in range(9):
        ask(worker, do="next", number=7)
    ask(worker, do="close", number=7)
    ask(worker, do="next", number=7)
    ask(worker, do="tags", number=9, path="x.m4a", folder=None)

    facts = answer(worker)["facts"]
    assert (facts["sample_rate_hz"], facts["tags"]) == (rate_hz, tags)
    refusal = answer(worker)
    assert refusal["error"] == "FileNotFoundError"
    assert refusal["os"][2] == "no.m4a"
    found = []
    while frames := (told := answer(worker))["frames"]:
        content = worker.stdout.read(frames * told["channels"] * 4)
        found.append(np.frombuffer(content, np.float32).reshape(frames, -1))
    assert len(found) > 1
    np.testing.assert_array_equal(np.concatenate(found), expected)
    assert (told["is_cut"], told["notes"]) == (False, [])
    after = [answer(worker) for _ in range(11 - len(found) - 1)]
    assert [told.get("frames") for told in after[:-2]] == [0] * (9 - len(found) - 1)
    assert after[-2]["error"] == "KeyError"  # It is closed.
    assert after[-1]["tags"] == tags


def test_a_file_that_is_left_tells_what_was_wrong_so_far(worker, tmp_path):
    write_with_ffmpeg(tmp_path / "x.m4a", "alac", noise(70_000))
    options = {"stream": None, "downmix": False}
    path = str(tmp_path / "x.m4a")
    ask(worker, do="open", number=0, path=path, folder=None, options=options)
    ask(worker, do="next", number=0)
    ask(worker, do="stop", number=0)
    assert "facts" in answer(worker)
    worker.stdout.read(answer(worker)["frames"] * 2 * 4)
    assert answer(worker) == {"notes": []}


def test_it_ends_with_its_input(worker):
    worker.stdin.close()
    assert worker.wait(10) == 0
    assert worker.stdout.read() == b""
