"""Jobs on a real scheduler and two worker processes on this machine."""

import functools
import re
import time

import pytest

from tests.system import jobs
from waveunet_tf.errors import InputError
from waveunet_tf.system import dask_jobs, dask_workers

# They share a cluster.
pytestmark = pytest.mark.xdist_group("dask")


@pytest.fixture
def run(dask_client, monkeypatch):
    """Runs jobs once both workers are there, and gives job → Done, in order."""
    monkeypatch.setattr(dask_workers, "TICK_SECONDS", 0.2)
    monkeypatch.setattr(dask_jobs, "_REST_SECONDS", 0.2)

    def run_(function, arguments, **options):
        dask_client.wait_for_workers(2, timeout=60)
        done = list(dask_jobs.run_on_dask(dask_client, function, arguments, **options))
        assert len(done) == len(arguments)
        return {each.job: each for each in done}

    return run_


def test_every_job_is_done_once_and_the_largest_first(dask_client, run):
    done = run(jobs.square, list(range(40)), sizes=list(range(40)))
    assert {job: each.result[1] for job, each in done.items()} == {
        number: number**2 for number in range(40)
    }
    first, last = list(done)[:20], list(done)[20:]
    assert sum(first) > sum(last) + 300  # 400 if a worker were never late
    assert {each.worker for each in done.values()} == set(dask_client.nthreads())
    assert run(jobs.square, []) == {}


def test_an_input_error_is_the_jobs_own_and_is_not_tried_again(run):
    (done,) = run(jobs.refuse, [7]).values()
    assert str(done.error) == "7: must be another"
    assert type(done.error) is InputError


def test_an_os_error_is_tried_again_twice(run, tmp_path):
    (done,) = run(jobs.fail_always, [str(tmp_path / "tries")]).values()
    assert str(done.error) == f"{tmp_path}/tries: Input/output error"
    assert (tmp_path / "tries").read_text() == "tried\n" * 3


def test_a_job_that_fails_on_all_workers_rests_before_it_is_tried_again(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(dask_jobs, "_REST_SECONDS", 1.0)
    (done,) = run(jobs.fail_for_a_second, [str(tmp_path / "tries")]).values()
    assert done.error is None
    assert len((tmp_path / "tries").read_text().splitlines()) == 3


def test_a_disk_that_is_full_on_all_workers_ends_the_run(run, tmp_path):
    paths = [f"{tmp_path}{'/' * count}full" for count in range(1, 31)]
    with pytest.raises(OSError, match="^/.*/full: No space left on device") as error:
        run(jobs.fill_the_disk, paths, sizes=range(30, 0, -1))
    on = re.findall(r"tcp://127.0.0.1:\d+", str(error.value))
    assert len(on) == len({*on}) == 2
    # Each at most twice before the first of them had failed for the third time.
    assert len((tmp_path / "full").read_text().splitlines()) <= 61


def test_a_job_that_is_too_large_for_the_disk_fails_alone(run):
    done = run(jobs.fail_at_3, list(range(40)))
    assert str(done.pop(3).error) == "x: No space left on device"
    assert [each.error for each in done.values()] == [None] * 39


def test_a_worker_that_fails_where_another_succeeds_gets_no_more_jobs(
    run, tmp_path, caplog
):
    caplog.set_level("WARNING", logger="absl")
    # One file, by many names.
    arguments = [f"{tmp_path}{'/' * count}bad" for count in range(1, 12)]
    done = run(jobs.fail_on_one_worker, arguments)
    assert [each.error for each in done.values()] == [None] * len(arguments)
    assert len({each.worker for each in done.values()}) == 1
    assert "x: No space left on device: it gets no more jobs" in caplog.text


@pytest.mark.slow
def test_a_job_that_kills_its_workers_fails_alone(run, tmp_path):
    arguments = [str(tmp_path / str(number)) for number in (1, 3, 4, 5, 7, 9)]
    done = run(jobs.kill_its_worker, arguments, sizes=[1, 1, 9, 1, 1, 1])
    failed = done.pop(str(tmp_path / "4"))
    assert "3 workers died of it" in str(failed.error)
    assert failed.worker.startswith("tcp://127.0.0.1:")
    assert [each.error for each in done.values()] == [None] * 5


def test_an_unfit_worker_gets_no_jobs(dask_client, run, tmp_path, caplog):
    caplog.set_level("WARNING", logger="absl")
    check = functools.partial(jobs.refuse_worker, str(tmp_path / "asked"))
    done = run(jobs.square, [1, 2, 3], check=check)
    (worker,) = {each.worker for each in done.values()}
    (other,) = set(dask_client.nthreads()) - {worker}
    assert f"{other}: must have another disk: it gets no more jobs" in caplog.text


def test_without_a_fit_worker_one_is_named(run, monkeypatch):
    monkeypatch.setattr(dask_workers.waveunet_tf, "__version__", "9.9")
    with pytest.raises(
        InputError, match=r"no worker is fit: tcp://127.0.0.1:\d+: "
    ) as e:
        run(jobs.square, [1])
    assert str(e.value).endswith("must have waveunet-tf 9.9. Received: 0.1.0")


def test_a_straggler_is_submitted_once_more(run, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_jobs, "_STRAGGLER_SECONDS", 1.0)
    started = time.monotonic()
    done = run(jobs.hold_once, [str(tmp_path / "held"), "", ""], repeat_stragglers=True)
    assert done[str(tmp_path / "held")].result > 0
    assert time.monotonic() - started < jobs.HELD_SECONDS
