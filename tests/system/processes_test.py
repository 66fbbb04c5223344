import contextlib
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.system import jobs
from waveunet_tf.errors import InputError
from waveunet_tf.system import processes

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(("count", "workers"), [(0, 2), (1, 4), (5, 1)])
def test_without_need_of_another_process_this_one_does_the_jobs(count, workers):
    results = list(processes.run_in_processes(jobs.square, list(range(count)), workers))
    assert results == [[os.getpid(), number**2] for number in range(count)]


def test_processes_do_every_job_once():
    results = list(processes.run_in_processes(jobs.square, list(range(20)), 2))
    assert sorted(square for _, square in results) == [n**2 for n in range(20)]
    workers = {pid for pid, _ in results}
    assert 1 <= len(workers) <= 2
    assert os.getpid() not in workers


def test_a_removed_working_directory_is_told(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="^the working directory must be there"):
        list(processes.run_in_processes(abs, [1, 2], 2))
    assert list(processes.run_in_processes(abs, [1, 2], 1)) == [1, 2]


def test_jobs_may_be_started_in_a_thread():
    results = []
    thread = threading.Thread(
        target=lambda: results.extend(
            processes.run_in_processes(jobs.square, [1, 2], 2)
        )
    )
    thread.start()
    thread.join()
    assert sorted(square for _, square in results) == [1, 4]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (jobs.fail_at_3, OSError, "No space left on device: 'x'"),
        (jobs.refuse, InputError, "must be another"),
        (jobs.kill_itself, OSError, "a process at work .* died, .* fewer --workers"),
    ],
)
def test_an_error_ends_the_work_and_every_process(function, error, message):
    before = set(multiprocessing.active_children())  # another test's cluster
    with pytest.raises(error, match=message):
        list(processes.run_in_processes(function, list(range(1, 40)), 2))
    assert set(multiprocessing.active_children()) <= before


def test_a_signal_between_a_folder_and_its_body_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="a process at work on a track died"):
        list(processes.run_in_processes(jobs.end_before_the_body, [tmp_path] * 2, 2))
    assert list(tmp_path.iterdir()) == []


def test_an_abandoned_loop_leaves_no_process():
    before = set(multiprocessing.active_children())
    results = processes.run_in_processes(jobs.square, list(range(9)), 2)
    next(results)
    results.close()
    assert set(multiprocessing.active_children()) <= before


def held_files(folder, count, child):
    """Waits until so many jobs are at work, or none; gives their processes' ids."""
    deadline = time.monotonic() + 60
    while len(pids := [int(path.name) for path in folder.iterdir()]) != count:
        assert time.monotonic() < deadline
        assert not count or child.poll() is None
        time.sleep(0.01)
    return pids


@contextlib.contextmanager
def jobs_at_work(folder):
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.system.jobs", str(folder)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield child, held_files(folder, 2, child)
    finally:
        child.kill()
        child.communicate()


def wait_for_the_end_of(pids):
    deadline = time.monotonic() + 30
    while any(pathlib.Path(f"/proc/{pid}/cmdline").exists() for pid in pids):
        stats = [pathlib.Path(f"/proc/{pid}/stat") for pid in pids]
        with contextlib.suppress(FileNotFoundError):
            if all(stat.read_text().split(")")[1].split()[0] == "Z" for stat in stats):
                return  # ended, and nobody has asked how
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_after_ctrl_c_jobs_clear_up(tmp_path):
    with jobs_at_work(tmp_path) as (child, pids):
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all processes
        _, errors = child.communicate(timeout=60)
        assert errors.strip().endswith(b"KeyboardInterrupt")
        assert held_files(tmp_path, 0, child) == []
        wait_for_the_end_of(pids)


def test_processes_end_with_a_killed_parent(tmp_path):
    with jobs_at_work(tmp_path) as (child, pids):
        child.kill()
        wait_for_the_end_of(pids)
