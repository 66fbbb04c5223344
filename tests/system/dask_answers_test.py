"""Answers of real workers of dask.distributed."""

import pytest

from tests.system import jobs
from waveunet_tf.errors import InputError
from waveunet_tf.system import dask_answers

# They share a cluster.
pytestmark = pytest.mark.xdist_group("dask")


@pytest.fixture
def answer_to(dask_client):
    """Does a job on a worker, and gives its answer."""

    def answer_to_(function, job):
        future = dask_client.submit(dask_answers.answer, function, job, pure=False)
        future.exception(timeout=60)  # waits for its end
        return dask_answers.answer_of(dask_client, future)

    return answer_to_


def test_a_result_comes_with_its_worker_and_its_time(dask_client, answer_to):
    answer = answer_to(jobs.fail_at_3, 4)
    assert (answer.result, answer.error, answer.errno) == (4, None, None)
    assert answer.worker in dask_client.nthreads()
    assert 0.05 <= answer.seconds < 5


@pytest.mark.parametrize(
    ("function", "kind", "text", "errno"),
    [
        (jobs.refuse, InputError, "3: must be another", None),
        (jobs.raise_unpicklable, InputError, "Unpicklable: seven lines", None),
        (jobs.fail_at_3, OSError, "x: No space left on device", 28),
    ],
)
def test_an_error_is_a_plain_one_in_one_line(answer_to, function, kind, text, errno):
    answer = answer_to(function, 3)
    assert type(answer.error) is kind
    assert (str(answer.error), answer.errno) == (text, errno)


def test_a_call_that_was_cancelled_has_no_answer(dask_client):
    future = dask_client.submit(dask_answers.answer, jobs.square, 3, pure=False)
    future.cancel(force=True)
    assert dask_answers.answer_of(dask_client, future) is None
