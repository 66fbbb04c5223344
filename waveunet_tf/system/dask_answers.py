"""What a worker of dask.distributed answers to one try of a job, and its way back."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from waveunet_tf.errors import InputError, one_line
from waveunet_tf.system.dask_workers import UnfitWorkerError

if TYPE_CHECKING:
    import distributed

# How long a result may take on its way.
_RESULT_SECONDS = 30.0


class Answer(NamedTuple):
    """What a worker says of one try.

    Attributes:
        worker: The worker's address.
        seconds: How long the try took.
        result: What the function returned; None where it failed.
        error: Why it failed; None if it did not.
        errno: The number of an OSError.
    """

    worker: str
    seconds: float
    result: Any
    error: InputError | OSError | None
    errno: int | None = None


class DeathError(InputError):
    """All workers died that did a job."""

    def __init__(self, deaths: int):
        """Takes the number of workers that died."""
        super().__init__(
            f"{deaths} workers died of it, of a crash perhaps or for lack of memory"
        )


def answer(function: Callable[[Any], Any], job: Any) -> Answer:
    """Does a job, on a worker.

    Args:
        function: What does it.
        job: The function's argument.
    """
    from distributed import get_worker

    # Errors travel as plain ones: another may not be one that can be pickled.
    started, result, failed, code = time.monotonic(), None, None, None
    try:
        result = function(job)
    except UnfitWorkerError as error:
        failed = UnfitWorkerError(str(error))
    except InputError as error:
        failed = InputError(str(error))
    except OSError as error:
        failed, code = OSError(one_line(error)), error.errno
    except Exception as error:
        failed = InputError(_typed_line(error))
    seconds = time.monotonic() - started
    return Answer(get_worker().address, seconds, result, failed, code)


def answer_of(client: distributed.Client, future: distributed.Future) -> Answer | None:
    """Returns a worker's answer, or None where the job is to be tried again.

    Args:
        client: The cluster's client.
        future: A call of `answer` that has ended.

    Raises:
        OSError: The scheduler is gone.
    """
    from distributed import KilledWorker

    if future.status == "finished":
        with contextlib.suppress(Exception):  # Its worker has died since.
            return future.result(timeout=_RESULT_SECONDS)
    if future.status != "error":  # Cancelled: the connection was lost.
        if client.status != "running":
            raise OSError("the scheduler does not answer any more")
        return None
    error = future.exception()
    if isinstance(error, KilledWorker):
        worker = error.last_worker.address
        return Answer(worker, 0.0, None, DeathError(error.allowed_failures + 1))
    return Answer("", 0.0, None, OSError(_typed_line(error)))


def _typed_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
