"""Jobs on a cluster of dask.distributed, which lose nothing when something dies."""

from __future__ import annotations

import collections
import contextlib
import functools
import math
import queue
import statistics
import time
import types
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from waveunet_tf.errors import InputError, one_line
from waveunet_tf.system import dask_answers, dask_cluster, dask_workers
from waveunet_tf.system.dask_answers import Answer, DeathError
from waveunet_tf.system.dask_workers import UnfitWorkerError, Workers
from waveunet_tf.system.files import FULL_DISK

if TYPE_CHECKING:
    import distributed

RETRIES = 2
"""How often a job is tried again after an OSError."""
# How long a job rests after an OSError that it has met on all workers there are, for
# each of its failures: a disk or network may be back by then.
_REST_SECONDS = 5.0
# A job is a straggler after this multiple of its expected time, and these seconds.
_STRAGGLER_FACTOR, _STRAGGLER_SECONDS = 4.0, 30.0


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


def run_on_dask(
    client: distributed.Client,
    function: Callable[[Any], Any],
    jobs: Sequence[Any],
    *,
    sizes: Sequence[float] | None = None,
    check: Callable[[], str | None] | None = None,
    repeat_stragglers: bool = False,
) -> Iterator[Done]:
    """Calls a function with each job on a cluster's workers, the largest job first.

    No more jobs are submitted than the workers have threads. A job that raises an
    OSError is tried again, on another worker if there is one, else after a rest. A job
    whose workers die is tried again by the scheduler, and once more at the end, away
    from others, because these may have been to blame.

    Args:
        client: The cluster's client; see `connect`.
        function: A function of a module. An InputError is the job's own fault: it is
            not tried again.
        jobs: The arguments of the calls, one each.
        sizes: The jobs' sizes, to which their times are proportional.
        check: A function of a module that says in one line why a worker is unfit; it is
            called once on each worker.
        repeat_stragglers: Whether a job that takes much longer than others is submitted
            once more when no job waits. Two calls must then not disturb each other.

    Yields:
        What became of each job, as soon as it is known.

    Raises:
        InputError: All workers are unfit.
        OSError: The scheduler is gone; or a job found the disk full at all its tries,
            and no other job was done in this time.
    """
    sizes = sizes or [1.0] * len(jobs)
    yield from _Run(client, function, jobs, sizes, check, repeat_stragglers).results()


def results_on_dask(
    scheduler: str,
    function: Callable[[Any], Any],
    jobs: Sequence[Any],
    failed: Callable[[Any, str], Any],
    *,
    workers: int | None = None,
) -> Iterator[Any]:
    """Calls a function with each job on a scheduler's workers.

    Args:
        scheduler: The scheduler's address, or "local"; see `dask_cluster.connect`.
        function: A function of a module.
        jobs: The arguments of the calls, one each.
        failed: Makes a result of a job and the reason why it has none, in one line.
        workers: With "local", the number of workers; None: one for each core.

    Yields:
        The results, each as soon as it is there.

    Raises:
        InputError: No scheduler answers, or all workers are unfit.
        OSError: The scheduler is gone, or the disk is full on all workers.
    """
    with dask_cluster.connect(scheduler, workers=workers) as client:
        for done in run_on_dask(client, function, jobs):
            if done.error is None:
                yield done.result
            else:
                yield failed(done.job, one_line(done.error))


class _Try(NamedTuple):
    """A job that is submitted.

    Attributes:
        number: The job's place in the list.
        failures: How often it has failed.
        tried: Worker on which it failed → how, in one line.
        since: When it was submitted.
        failing_since: When it failed first.
        is_copy: Whether it is the second one of a straggler.
        is_suspect: Whether its workers died, and it runs away from other jobs.
    """

    number: int
    failures: int = 0
    tried: Mapping[str, str] = types.MappingProxyType({})
    since: float = 0.0
    failing_since: float = math.inf
    is_copy: bool = False
    is_suspect: bool = False


class _Run:
    """One call of `run_on_dask`."""

    def __init__(self, client, function, jobs, sizes, check, repeat_stragglers):
        self._client, self._jobs = client, jobs
        self._workers = Workers(client, check)
        self._call = functools.partial(dask_answers.answer, function)
        self._sizes, self._repeats = sizes, repeat_stragglers
        order = sorted(range(len(jobs)), key=lambda number: -sizes[number])
        self._waiting = collections.deque(_Try(number) for number in order)
        self._suspects: collections.deque[_Try] = collections.deque()
        self._resting: list[tuple[float, _Try]] = []  # each until a time
        self._last_success = -math.inf
        self._running: dict[Any, _Try] = {}
        self._finished: queue.SimpleQueue = queue.SimpleQueue()
        self._rates: list[float] = []  # seconds for each unit of size

    def results(self) -> Iterator[Done]:
        """Yields what became of the jobs."""
        try:
            while self._waiting or self._running or self._suspects or self._resting:
                self._workers.look()
                self._submit_more()
                try:
                    future = self._finished.get(timeout=dask_workers.TICK_SECONDS)
                except queue.Empty:
                    continue
                if done := self._take(future):
                    yield done
        finally:
            with contextlib.suppress(Exception):  # The scheduler may be gone.
                self._client.cancel(list(self._running), force=True)

    def _submit_more(self) -> None:
        """Gives each free thread a job; at the end, suspects workers of their own."""
        now = time.monotonic()
        for rest in [rest for rest in self._resting if rest[0] <= now]:
            self._resting.remove(rest)
            self._waiting.appendleft(rest[1])
        if not self._workers.fit:
            return  # A job without a wish might go to one that is unfit.
        free = sum(self._workers.fit.values()) - len(self._running)
        while free > 0 and self._waiting:
            self._submit(self._waiting.popleft())
            free -= 1
        others = [each for each in self._running.values() if not each.is_suspect]
        if not others and not self._resting:
            # A worker that dies hands its job to one that should have none.
            while self._suspects and len(self._running) < max(
                len(self._workers.fit) // 2, 1
            ):
                self._submit(self._suspects.popleft())
        elif free > 0 and self._repeats:
            self._repeat_stragglers(free)

    def _submit(self, this: _Try) -> None:
        fit = [worker for worker in self._workers.fit if worker not in this.tried]
        wished = {}
        if fit and (self._workers.unfit or this.tried):
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
            if late and free > 0 and not this.is_suspect and this.number not in copied:
                holders = self._client.processing()
                busy = [worker for worker in holders if future.key in holders[worker]]
                tried = {**this.tried, **dict.fromkeys(busy, "is late")}
                self._submit(this._replace(is_copy=True, tried=tried))
                free -= 1

    def _take(self, future) -> Done | None:
        """Takes a try that has ended; returns what became of its job, if that is known.

        Raises:
            OSError: The scheduler is gone.
        """
        this = self._running.pop(future, None)
        if this is None:
            return None  # The other copy of a straggler was faster.
        copies = [
            other for other, each in self._running.items() if each.number == this.number
        ]
        answer = dask_answers.answer_of(self._client, future)
        if answer is None:
            self._again(this, copies)
            return None
        if isinstance(answer.error, DeathError) and not this.is_suspect:
            if not copies:
                self._suspects.append(this._replace(is_suspect=True))
            return None
        if isinstance(answer.error, UnfitWorkerError):
            self._workers.leave_out(answer.worker, str(answer.error))
            self._again(this, copies)
            return None
        if isinstance(answer.error, OSError):
            this = self._note_failure(this, answer)
            if this.failures <= RETRIES:
                if this.tried.keys() >= self._workers.fit.keys() and not copies:
                    until = time.monotonic() + this.failures * _REST_SECONDS
                    self._resting.append((until, this._replace(is_copy=False)))
                else:
                    self._again(this, copies)
                return None
        if answer.error is None:
            self._last_success = time.monotonic()
            self._workers.note_success(answer.worker, this.tried)
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

    def _note_failure(self, this: _Try, answer: Answer) -> _Try:
        """Notes a worker's OSError with the job.

        Raises:
            OSError: The disk is full on all workers, as far as one can tell.
        """
        tried = {**this.tried, answer.worker: one_line(answer.error)}
        since = min(this.failing_since, time.monotonic())
        failures = this.failures + 1
        if answer.errno in FULL_DISK and failures > RETRIES:
            if self._last_success < since:
                raise OSError(f"{one_line(answer.error)} (on {', '.join(tried)})")
        return this._replace(failures=failures, tried=tried, failing_since=since)

    def _again(self, this: _Try, copies: list) -> None:
        """Puts a job first in the queue, unless a copy of it still runs."""
        if not copies:
            self._waiting.appendleft(this._replace(is_copy=False))
