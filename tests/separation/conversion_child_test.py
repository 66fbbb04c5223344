import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import waveunet_tf
from tests.audio.planted_decoders import wait_for_its_end
from tests.conftest import ROOT
from waveunet_tf.errors import InputError
from waveunet_tf.separation import conversion_child
from waveunet_tf.separation.litert_conversion import ConversionError

SONG = np.random.default_rng(0).normal(0, 0.3, (3001, 2))
SEPARATE = """
import sys, numpy, waveunet_tf
place, song, stems = sys.argv[1:]
separator = waveunet_tf.load(place, threads=1, chunk_frames=256, engine="litert")
numpy.savez(stems, **separator.separate(numpy.load(song), 8000))
print(*sorted({"tensorflow", "keras"} & set(sys.modules)))
"""


@pytest.fixture
def started(monkeypatch):
    """Lets `make_step` start other code, which need not make a step."""

    def start(code):
        monkeypatch.setattr(conversion_child, "_START", code)
        return conversion_child.make_step(ROOT, None, 1, measure=True)

    return start


@pytest.mark.parametrize(
    "has_cache", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_a_process_that_separates_never_loads_tensorflow(
    tiny_checkpoint, tmp_path, new_cache, has_cache
):
    if not has_cache:  # as in a container that may write nowhere
        new_cache.parent.write_text("a file in the folder's place")
    np.save(tmp_path / "song.npy", SONG)
    arguments = [tiny_checkpoint, tmp_path / "song.npy", tmp_path / "stems.npz"]
    child = subprocess.run(
        [sys.executable, "-c", SEPARATE, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (child.stdout, child.stderr, child.returncode) == ("\n", "", 0)
    stems = np.load(tmp_path / "stems.npz")
    expected = waveunet_tf.load(tiny_checkpoint, engine="tensorflow")
    for name, stem in expected.separate(SONG, 8000).items():
        np.testing.assert_allclose(stems[name], stem, atol=1e-5)
    assert len(list(new_cache.glob("*.tflite"))) == has_cache


def test_what_was_measured_comes_with_the_step(started):
    head = json.dumps({"faster": "litert"})
    code = f"sys.stdout.write({head!r} + '\\nstep\\n')"
    assert started(code) == (b"step\n", "litert")


@pytest.mark.parametrize("kind", [InputError, ConversionError])
def test_errors_that_users_can_act_on_are_told(started, kind):
    head = json.dumps({"error": kind.__name__, "text": "weights: must be whole"})
    with pytest.raises(kind, match="^weights: must be whole$"):
        started(f"print({head!r})")


def test_a_process_that_is_killed_is_told(started):
    with pytest.raises(ConversionError, match="died .SIGKILL, perhaps .* memory"):
        started("import os; os.kill(os.getpid(), 9)")


@pytest.mark.parametrize("code", ["sys.exit(1)", ""])
def test_where_no_other_process_can_this_one_tries(started, monkeypatch, code):
    if not code:
        monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert started(code) is None


def test_another_process_is_of_use_where_tensorflow_is_not_loaded(monkeypatch):
    assert "tensorflow" in sys.modules or conversion_child.is_of_use()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert not conversion_child.is_of_use()
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert conversion_child.is_of_use()


WAITING = """
import pathlib, sys
from waveunet_tf.separation import conversion_child
conversion_child._START = (
    "import os, tempfile; tempfile.mkdtemp(); "
    "from waveunet_tf.separation import conversion_worker as worker; "
    "worker._answer = lambda *_: open(os.environ['FIFO']).read(); "
    "print(os.getpid(), file=sys.stderr, flush=True); worker.main()"
)
conversion_child.make_step(pathlib.Path(), None, 1, measure=False)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_the_process_that_waits_for_it(tmp_path, number):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "temporary").mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        cwd=ROOT,
        env={
            **os.environ,
            "FIFO": str(tmp_path / "fifo"),
            "TMPDIR": str(tmp_path / "temporary"),
        },
        stderr=subprocess.PIPE,
    )
    pid = int(parent.stderr.readline())
    parent.send_signal(number)
    parent.wait(30)
    wait_for_its_end(pid, time.monotonic() + 30)
    parent.stderr.close()
    if number == signal.SIGINT:
        assert list((tmp_path / "temporary").iterdir()) == []
