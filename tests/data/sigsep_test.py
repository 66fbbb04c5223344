import shutil
import threading
import time

import pytest

from tests.command_line import run_python
from waveunet_tf.data import sigsep


@pytest.mark.parametrize("name", ["stempeg", "musdb", "museval"])
def test_a_package_is_imported_whether_ffmpeg_is_there_or_not(name):
    """In another process: this one may have imported it already."""
    code = (
        "import shutil; shutil.which = lambda *_, **__: None\n"
        "from waveunet_tf.data.sigsep import import_sigsep\n"
        f"print(import_sigsep({name!r}).__name__, shutil.which('ffmpeg'))"
    )
    child = run_python("-c", code)
    assert child.stdout.split() == [name, "None"], child.stderr


def test_a_missing_package_leaves_which_as_it_was():
    which = shutil.which
    with pytest.raises(ImportError):
        sigsep.import_sigsep("no_package_of_sigsep")
    assert shutil.which is which


def test_threads_that_import_at_once_leave_which_as_it_was(monkeypatch):
    which, begun = shutil.which, threading.Event()

    def slow(name):
        if name == "first":
            second.start()
            begun.wait(0.2)  # the second may patch meanwhile, and ends later
        else:
            begun.set()
            time.sleep(0.2)

    monkeypatch.setattr(sigsep.importlib, "import_module", slow)
    second = threading.Thread(target=sigsep.import_sigsep, args=["second"])
    sigsep.import_sigsep("first")
    second.join()
    assert shutil.which is which


def test_programs_that_are_there_are_still_found(monkeypatch):
    seen = {}

    def look(name):
        seen["sh"], seen["no_such"] = shutil.which("sh"), shutil.which("no_such")
        seen["ffprobe"] = shutil.which("ffprobe")

    monkeypatch.setattr(sigsep.importlib, "import_module", look)
    sigsep.import_sigsep("anything")
    assert seen["sh"] == shutil.which("sh") is not None
    assert seen["no_such"] is None
    assert seen["ffprobe"]


def test_the_setup_is_that_of_musdb18():
    setup = sigsep.musdb_setup()
    assert list(setup["stem_ids"]) == ["mixture", "drums", "bass", "other", "vocals"]
    assert list(setup["stem_ids"].values()) == [0, 1, 2, 3, 4]
    assert len(set(setup["validation_tracks"])) == 14
