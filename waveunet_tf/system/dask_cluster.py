"""Jobs on a cluster of dask.distributed, which lose nothing when something dies.

Needs requirements-dask.txt.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import importlib.metadata
import logging
import math
import queue
import statistics
import time
import types
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from absl import logging as absl_logging

import waveunet_tf
from waveunet_tf.errors import InputError, one_line
from waveunet_tf.system import cpus

if TYPE_CHECKING:
    import distributed

LOCAL = "local"
"""The name of a scheduler that is started here, with workers on this machine."""
RETRIES = 2
"""How often a job is tried again."""
# The project's distribution, as pip knows it.
_PROJECT = "waveunet-tf"
_CONNECT_SECONDS = 10
# How often workers and stragglers are looked at while nothing finishes.
_TICK_SECONDS = 2.0
# How long the run waits for a worker that is fit, once it has seen one.
_WAIT_SECONDS = 60.0
# A worker gets no more jobs after so many failures, without a success between them, in
# jobs that another worker then did.
_FAILURES_IN_A_ROW = 3
# A job is a straggler after this multiple of its expected time, and these seconds.
_STRAGGLER_FACTOR, _STRAGGLER_SECONDS = 4.0, 30.0


class UnfitWorkerError(InputError):
    """A worker cannot do any of the jobs; another may."""


class Done(NamedTuple):
    """What became of a job.

    Attributes:
        job: The job.
        result: What the function returned; None where it failed.
        error: Why it failed, at the last try; None if it did not.
        worker: The address of the worker that tried it last.
        seconds: How long the last try took.
    """

    job: Any
    result: Any
    error: InputError | OSError | None
    worker: str
    seconds: float


def import_distributed() -> types.ModuleType:
    """Imports dask.distributed.

    Raises:
        InputError: It is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "A scheduler needs dask.distributed: pip install -r requirements-dask.txt"
        ) from error
    return distributed


@contextlib.contextmanager
def connect(scheduler: str, *, workers: int | None = None) -> Iterator[Any]:
    """Connects to a scheduler, or starts one here with workers of one thread each.

    Args:
        scheduler: An address such as "tcp://host:8786", or LOCAL.
        workers: With LOCAL, the number of workers; None: one for each core.

    Yields:
        A `distributed.Client`.

    Raises:
        InputError: dask.distributed is not installed, or no scheduler answers.
    """
    distributed = import_distributed()
    import dask

    # What its parts tell of each other; what matters here is told by us.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        target = scheduler
        if scheduler == LOCAL:
            stack.enter_context(
                dask.config.set({"distributed.scheduler.allowed-failures": RETRIES})
            )
            target = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers or cpus.cores(),
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            if scheduler != LOCAL:  # Of a wrong one, Client would leave threads behind.
                scheme, _ = distributed.comm.parse_address(scheduler)
                distributed.comm.registry.get_backend(scheme)
            client = distributed.Client(
                target, timeout=_CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{scheduler}: must be a scheduler that answers: {reason}"
            ) from error
        yield stack.enter_context(client)


def run_on_dask(
    client: distributed.Client,
    function: Callable[[Any], Any],
    jobs: Sequence[Any],
    *,
    sizes: Sequence[float] | None = None,
    check: Callable[[], str | None] | None = None,
) -> Iterator[Done]:
    """Calls a function with each job on a cluster's workers, the largest job first.

    No more jobs are submitted than the workers have threads. A job that raises an
    OSError is tried again, on another worker if there is one. A job whose workers die
    is tried again by the scheduler, and at the end once more by itself, because others
    may have been to blame. When no job waits, a straggler is submitted once more.

    Args:
        client: The cluster's client; see `connect`.
        function: A function of a module. An InputError is the job's own fault: it is
            not tried again.
        jobs: The arguments of the calls, one each.
        sizes: The jobs' sizes, to which their times are proportional.
        check: A function of a module that says in one line why a worker is unfit; it is
            called once on each worker.

    Yields:
        What became of each job, as soon as it is known.

    Raises:
        InputError: All workers are unfit.
        OSError: The scheduler is gone.
    """
    yield from _Run(client, function, jobs, sizes or [1.0] * len(jobs), check).results()


def _no_problem() -> None:
    """Finds every worker fit."""


class _Answer(NamedTuple):
    """What a worker says of one try."""

    worker: str
    seconds: float
    result: Any
    error: InputError | OSError | None


def _call(function: Callable[[Any], Any], job: Any) -> _Answer:
    """Does a job on a worker."""
    from distributed import get_worker

    started, result, failed = time.monotonic(), None, None
    try:
        result = function(job)
    except (InputError, OSError) as error:
        failed = error
    return _Answer(get_worker().address, time.monotonic() - started, result, failed)


class _Try(NamedTuple):
    """A job that is submitted.

    Attributes:
        number: The job's place in the list.
        failures: How often it has failed.
        tried: The workers on which it failed.
        since: When it was submitted.
        is_copy: Whether it is the second one of a straggler.
        alone: Whether no other job runs meanwhile.
    """

    number: int
    failures: int = 0
    tried: frozenset[str] = frozenset()
    since: float = 0.0
    is_copy: bool = False
    alone: bool = False


class _Run:
    """One call of `run_on_dask`."""

    def __init__(self, client, function, jobs, sizes, check):
        self._client, self._check, self._jobs = client, check, jobs
        self._call = functools.partial(_call, function)
        self._sizes = sizes
        order = sorted(range(len(jobs)), key=lambda number: -sizes[number])
        self._waiting = collections.deque(_Try(number) for number in order)
        self._suspects: collections.deque[_Try] = collections.deque()
        self._running: dict[Any, _Try] = {}
        self._finished: queue.SimpleQueue = queue.SimpleQueue()
        self._checked: set[str] = set()
        self._fit: dict[str, int] = {}  # worker → its threads
        self._unfit: dict[str, str] = {}  # worker → why
        self._seen_fit = -math.inf
        self._in_a_row: collections.Counter[str] = collections.Counter()
        self._last_errors: dict[str, str] = {}
        self._rates: list[float] = []  # seconds for each unit of size
        self._looked = -math.inf

    def results(self) -> Iterator[Done]:
        """Yields what became of the jobs."""
        try:
            while self._waiting or self._running or self._suspects:
                self._look_at_workers()
                self._submit_more()
                try:
                    future = self._finished.get(timeout=_TICK_SECONDS)
                except queue.Empty:
                    continue
                if done := self._take(future):
                    yield done
        finally:
            with contextlib.suppress(Exception):  # The scheduler may be gone.
                self._client.cancel(list(self._running), force=True)

    def _look_at_workers(self) -> None:
        """Notes which workers there are, and checks the new ones.

        Raises:
            InputError: There are workers, but none has been fit for a while.
            OSError: The scheduler is gone.
        """
        now = time.monotonic()
        if now < self._looked + _TICK_SECONDS:
            return
        self._looked = now
        try:
            threads = dict(self._client.nthreads())
            self._check_workers(threads.keys() - self._checked - self._unfit.keys())
        except OSError as error:
            raise OSError("the scheduler does not answer any more") from error
        self._fit = {
            worker: count
            for worker, count in threads.items()
            if worker in self._checked and worker not in self._unfit
        }
        if self._fit:
            self._seen_fit = now
        elif threads and self._unfit.keys() >= threads.keys():
            if now > self._seen_fit + _WAIT_SECONDS:
                raise InputError(f"no worker is fit: {[*self._unfit.values()][-1]}")
        else:
            absl_logging.log_every_n_seconds(
                absl_logging.INFO, "waiting for workers", _WAIT_SECONDS
            )

    def _check_workers(self, workers: set[str]) -> None:
        """Checks workers: their version of the project, and what the caller asks.

        A worker that does not answer is asked again later.
        """
        ours = waveunet_tf.__version__
        versions = self._on_each(workers, importlib.metadata.version, _PROJECT)
        for worker, version in versions.items():
            if isinstance(version, ImportError):
                self._leave_out(worker, f"must have {_PROJECT} {ours}, but has none")
            elif version != ours:
                reason = f"must have {_PROJECT} {ours}. Received: {version}"
                self._leave_out(worker, reason)
        workers = versions.keys() - self._unfit.keys()
        answers = self._on_each(workers, self._check or _no_problem)
        for worker, problem in answers.items():
            self._checked.add(worker)
            if problem:
                self._leave_out(worker, str(problem))

    def _on_each(self, workers: Iterable[str], function, *arguments) -> dict[str, Any]:
        """Calls a function on workers: worker → its result, or an import's error."""
        if not workers:
            return {}
        answers = self._client.run(
            function, *arguments, workers=list(workers), on_error="return"
        )
        return {
            worker: answer
            for worker, answer in answers.items()
            if isinstance(answer, ImportError) or not isinstance(answer, Exception)
        }

    def _leave_out(self, worker: str, reason: str) -> None:
        self._unfit[worker] = f"{worker}: {reason}"
        self._fit.pop(worker, None)
        absl_logging.warning("%s: %s: it gets no more jobs", worker, reason)

    def _submit_more(self) -> None:
        """Gives each free thread a job; the last ones, suspects, one by one."""
        free = max(sum(self._fit.values()), 1) - len(self._running)
        while free > 0 and self._waiting:
            self._submit(self._waiting.popleft())
            free -= 1
        if not self._running and self._suspects:
            self._submit(self._suspects.popleft()._replace(alone=True))
        elif free > 0:
            self._repeat_stragglers(free)

    def _submit(self, this: _Try) -> None:
        fit = [worker for worker in self._fit if worker not in this.tried]
        wished = {}
        if fit and (self._unfit or this.tried):
            # Others are only preferred: these may all die, and the job must not hang.
            wished = {"workers": fit, "allow_other_workers": True}
        future = self._client.submit(
            self._call,
            self._jobs[this.number],
            key=f"waveunet-{uuid.uuid4()}",
            pure=False,
            **wished,
        )
        self._running[future] = this._replace(since=time.monotonic())
        future.add_done_callback(self._finished.put)

    def _repeat_stragglers(self, free: int) -> None:
        """Submits jobs once more that take much longer than the others took."""
        if not self._rates:
            return
        rate, now = statistics.median(self._rates), time.monotonic()
        copied = {each.number for each in self._running.values() if each.is_copy}
        for future, this in list(self._running.items()):
            expected = _STRAGGLER_FACTOR * rate * self._sizes[this.number]
            late = now - this.since > max(expected, _STRAGGLER_SECONDS)
            if late and free > 0 and not this.alone and this.number not in copied:
                holders = self._client.processing()
                busy = {worker for worker in holders if future.key in holders[worker]}
                self._submit(this._replace(is_copy=True, tried=this.tried | busy))
                free -= 1

    def _take(self, future) -> Done | None:
        """Takes a try that has ended; returns what became of its job, if that is known.

        Raises:
            OSError: The scheduler is gone.
        """
        this = self._running.pop(future, None)
        if this is None:
            return None  # The other copy of a straggler was faster.
        answer = self._answer_of(future, this)
        if answer is None:
            return None
        copies = [
            other for other, each in self._running.items() if each.number == this.number
        ]
        if isinstance(answer.error, UnfitWorkerError):
            self._leave_out(answer.worker, str(answer.error))
            self._again(this, copies)
            return None
        if isinstance(answer.error, OSError) and this.failures < RETRIES:
            self._last_errors[answer.worker] = one_line(answer.error)
            tried = this.tried | {answer.worker}
            this = this._replace(failures=this.failures + 1, tried=tried)
            self._again(this, copies)
            return None
        if answer.error is None:
            self._in_a_row.pop(answer.worker, None)
            self._blame(this.tried)
        for copy in copies:
            del self._running[copy]
            copy.cancel()
        if answer.error is None and self._sizes[this.number] > 0:
            self._rates.append(answer.seconds / self._sizes[this.number])
        return Done(
            self._jobs[this.number],
            answer.result,
            answer.error,
            answer.worker,
            answer.seconds,
        )

    def _blame(self, workers: frozenset[str]) -> None:
        """Leaves out a worker that keeps failing where another succeeds."""
        for worker in workers & self._fit.keys():
            self._in_a_row[worker] += 1
            if self._in_a_row[worker] == _FAILURES_IN_A_ROW:
                self._leave_out(worker, self._last_errors[worker])

    def _again(self, this: _Try, copies: list) -> None:
        """Puts a job first in the queue, unless a copy of it still runs."""
        if not copies:
            self._waiting.appendleft(this._replace(is_copy=False))

    def _answer_of(self, future, this: _Try) -> _Answer | None:
        """Returns a worker's answer, or None where the job is to be tried again.

        Raises:
            OSError: The scheduler is gone.
        """
        from distributed import KilledWorker

        if future.status == "finished":
            with contextlib.suppress(Exception):  # Its worker has died since.
                return future.result()
        if future.status != "error":  # Cancelled: the connection was lost.
            if self._client.status in ("closed", "closing", "newly-created"):
                raise OSError("the scheduler is gone")
            self._waiting.appendleft(this)
            return None
        error = future.exception()
        if not isinstance(error, KilledWorker):
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return _Answer("", 0.0, None, OSError(text))
        if not this.alone:
            self._suspects.append(this)
            return None
        return _Answer(
            error.last_worker.address, 0.0, None, InputError(explain_death(error))
        )


def explain_death(error: distributed.KilledWorker) -> str:
    """Says in one line that a job's workers died.

    Args:
        error: What dask raised.
    """
    return (
        f"killed its worker {error.allowed_failures + 1} times, by a decoder's crash "
        f"perhaps, or for lack of memory (the last was {error.last_worker.address})"
    )
