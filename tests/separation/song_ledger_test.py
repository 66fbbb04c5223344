import json
import os

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.separation.song_job import Job, Outcome
from waveunet_tf.separation.song_ledger import SongLedger
from waveunet_tf.separation.song_search import Song


@pytest.fixture
def job(tmp_path):
    """A song's job; its one stem is there."""
    (tmp_path / "song.wav").write_text("a song")
    (tmp_path / "stem.wav").write_text("a stem")
    return Job(Song(tmp_path / "song.wav"), {"vocals": tmp_path / "stem.wav"}, 1.0)


def opened(folder, *settings):
    ledger = SongLedger(folder, settings or ("network", "options"))
    ledger.read()
    return ledger


def note(ledger, *outcomes):
    assert list(ledger.note(outcomes)) == list(outcomes)


def lines(folder):
    return [json.loads(line) for line in (folder / "ledger.jsonl").open()]


def test_a_new_folder_has_no_ledger_and_reading_makes_none(tmp_path, job):
    ledger = opened(tmp_path)
    assert not ledger.has_begun(job.song)
    assert ledger.stems_of(job.song) == ()
    assert not ledger.path.exists()


def test_a_song_is_begun_when_it_is_planned_and_done_when_it_is_noted(tmp_path, job):
    (planned,) = opened(tmp_path).plan([job])
    assert planned == job._replace(begun=True)
    later = opened(tmp_path)
    assert later.has_begun(job.song) and later.stems_of(job.song) == ()
    later.plan([job])  # adds no second line
    note(later, Outcome(planned, None, True, 12.3456, "tcp://a:1"))
    assert opened(tmp_path).stems_of(job.song) == (tmp_path / "stem.wav",)
    first, last = lines(tmp_path)
    assert first == {
        "song": str(tmp_path / "song.wav"), "hash": last["hash"], "status": "planned",
    }  # fmt: skip
    assert last == {
        **first, "status": "done", "seconds": 12.346, "worker": "tcp://a:1",
        "error": None, "stems": {str(tmp_path / "stem.wav"): 6},
    }  # fmt: skip


def test_a_song_that_failed_is_tried_again(tmp_path, job):
    error = OSError(28, "No space left on device", "stem.wav")
    note(opened(tmp_path), Outcome(job, error), Outcome(job, InputError("broken")))
    ledger = opened(tmp_path)
    assert ledger.has_begun(job.song) and ledger.stems_of(job.song) == ()
    assert [line["error"] for line in lines(tmp_path)] == [
        "stem.wav: No space left on device",
        "broken",
    ]


@pytest.mark.parametrize("change", ["song", "time", "stem", "no stem", "network"])
def test_what_has_changed_since_is_done_again(tmp_path, job, change):
    note(opened(tmp_path), Outcome(job, None, True))
    settings = ("other", "options") if change == "network" else ("network", "options")
    if change == "song":
        (tmp_path / "song.wav").write_text("another song")
    elif change == "time":
        os.utime(tmp_path / "song.wav", ns=(1, 1))
    elif change == "stem":
        os.truncate(tmp_path / "stem.wav", 3)
    elif change == "no stem":
        (tmp_path / "stem.wav").unlink()
    assert opened(tmp_path, *settings).stems_of(job.song) == ()


def test_a_line_that_was_cut_short_is_no_line_and_spoils_no_other(tmp_path, job):
    note(opened(tmp_path), Outcome(job, None, True))
    whole = (tmp_path / "ledger.jsonl").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "ledger.jsonl").write_bytes(whole[:size])
        ledger = opened(tmp_path)
        assert bool(ledger.stems_of(job.song)) == (size == len(whole) - 1)
        note(ledger, Outcome(job, None, True))
        assert opened(tmp_path).stems_of(job.song)


def test_names_need_not_be_utf_8(tmp_path, job):
    odd = tmp_path / os.fsdecode(b"\xff\n.wav")
    odd.write_text("a song")
    job = job._replace(song=Song(odd))
    note(opened(tmp_path), Outcome(job, None, True))
    assert opened(tmp_path).stems_of(Song(odd))
    (line,) = lines(tmp_path)
    assert line["song"] == str(odd)
