"""Which workers get jobs, without a cluster; dask_jobs_test.py has one."""

import importlib.metadata

import pytest

import waveunet_tf
from waveunet_tf.errors import InputError
from waveunet_tf.system import dask_workers
from waveunet_tf.system.dask_workers import Workers


class Client:
    """As much of a client as Workers uses; each worker has an answer to each question.

    Attributes:
        threads: Worker → its threads.
        versions: Worker → the project's version there, or an error.
        problems: Worker → what a check says there.
        infos: Worker → what the scheduler knows of it.
    """

    def __init__(self, *workers):
        self.threads = dict.fromkeys(workers, 1)
        self.versions = dict.fromkeys(workers, waveunet_tf.__version__)
        self.problems = dict.fromkeys(workers)
        self.asked = []
        self.infos = {}

    def nthreads(self):
        return self.threads

    def scheduler_info(self):
        return {"workers": self.infos}

    def run(self, function, *arguments, workers, on_error):
        assert on_error == "return"
        self.asked.append((function, sorted(workers)))
        is_version = function is importlib.metadata.version
        answers = self.versions if is_version else self.problems
        return {worker: answers[worker] for worker in workers}


@pytest.fixture
def client(monkeypatch):
    monkeypatch.setattr(dask_workers, "TICK_SECONDS", 0.0)
    return Client("a", "b")


def test_each_worker_is_checked_once(client):
    workers = Workers(client, check=print)
    workers.look()
    client.threads = {"a": 1, "c": 2}
    client.versions["c"], client.problems["c"] = waveunet_tf.__version__, None
    workers.look()
    workers.look()
    assert client.asked[1::2] == [(print, ["a", "b"]), (print, ["c"])]
    assert workers.fit == {"a": 1, "c": 2}


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("9.9", "b: must have waveunet-tf .*. Received: 9.9"),
        (importlib.metadata.PackageNotFoundError("x"), "b: must have .*, but has none"),
    ],
)
def test_a_worker_of_another_version_is_unfit(client, version, text):
    client.versions["b"] = version
    workers = Workers(client)
    workers.look()
    assert workers.fit == {"a": 1}
    assert text.partition(".*")[0] in workers.unfit["b"]
    client.versions["a"] = version
    with pytest.raises(InputError, match=f"no worker is fit: {text}|no .*: a"):
        Workers(client).look()


def test_a_worker_that_does_not_answer_is_asked_again(client):
    client.problems["b"] = OSError("it is about to die")
    workers = Workers(client, check=print)
    workers.look()
    assert (workers.fit, workers.unfit) == ({"a": 1}, {})
    client.problems["b"] = None
    workers.look()
    assert workers.fit == {"a": 1, "b": 1}


def test_three_failures_where_others_succeed_make_a_worker_unfit(client):
    workers = Workers(client)
    workers.look()
    for _ in range(2):
        workers.note_success("a", {"b": "its disk is full"})
    workers.note_success("b", {})  # it was not in a row
    for _ in range(2):
        workers.note_success("a", {"b": "its disk is full"})
    assert workers.unfit == {}
    workers.note_success("a", {"b": "its disk is full"})
    assert workers.unfit == {"b": "b: its disk is full"}
    assert workers.fit == {"a": 1}


def test_a_worker_that_is_left_out_is_named_once(client, caplog):
    caplog.set_level("WARNING", logger="absl")
    workers = Workers(client)
    workers.look()
    for reason in ("its disk is full", "its disk is full", "another"):
        workers.leave_out("b", reason)
    assert [record.getMessage() for record in caplog.records] == [
        "b: its disk is full: it gets no more jobs"
    ]


def test_the_only_fit_worker_may_come_back_for_a_while(client, monkeypatch):
    workers = Workers(client)
    workers.look()
    workers.leave_out("b", "its disk is full")
    client.threads = {"b": 1}
    workers.look()
    assert workers.fit == {}
    monkeypatch.setattr(dask_workers, "_WAIT_SECONDS", 0.0)
    with pytest.raises(InputError, match="no worker is fit: b: its disk is full"):
        workers.look()


PAUSED = {"status": "paused", "metrics": {"task_counts": {"memory": 1}}}
BUSY = {"status": "paused", "metrics": {"task_counts": {"executing": 1}}}
RUNNING = {"status": "running", "metrics": {}}


def test_workers_that_are_all_paused_and_do_nothing_end_the_run(client, monkeypatch):
    workers = Workers(client)
    client.infos = {"a": PAUSED, "b": PAUSED}
    workers.look()
    workers.look()  # not asked yet
    monkeypatch.setattr(dask_workers, "_WAIT_SECONDS", 0.0)
    workers.look()
    workers.note_success("a", {})  # so it was no stop
    workers.look()
    for other in (BUSY, RUNNING):
        client.infos["b"] = other
        workers.look()
        client.infos["b"] = PAUSED
        workers.look()
    with pytest.raises(InputError, match="all workers are paused, because their mem"):
        workers.look()


def test_without_any_worker_it_waits(client):
    client.threads = {}
    workers = Workers(client)
    workers.look()
    assert workers.fit == {}


def test_a_scheduler_that_is_gone_is_an_os_error(client, monkeypatch):
    def gone():
        raise ConnectionResetError

    monkeypatch.setattr(client, "nthreads", gone)
    with pytest.raises(OSError, match="the scheduler does not answer any more"):
        Workers(client).look()
