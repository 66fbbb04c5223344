"""The workers of a cluster of dask.distributed: which are there, and which are fit."""

from __future__ import annotations

import collections
import importlib.metadata
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from absl import logging

import waveunet_tf
from waveunet_tf.errors import InputError

if TYPE_CHECKING:
    import distributed

# The project's distribution, as pip knows it.
_PROJECT = "waveunet-tf"
# How often workers and stragglers are looked at while nothing finishes.
TICK_SECONDS = 2.0
# How long the run waits for a worker that is fit, once it has seen one.
_WAIT_SECONDS = 60.0
# A worker gets no more jobs after so many failures, without a success between them, in
# jobs that another worker then did.
_FAILURES_IN_A_ROW = 3


class UnfitWorkerError(InputError):
    """A worker cannot do any of the jobs; another may."""


class Workers:
    """Keeps a list of workers, each of which is checked once.

    Attributes:
        fit: Worker that is there and fit → its threads.
        unfit: Worker that gets no jobs → why.
    """

    def __init__(
        self,
        client: distributed.Client,
        check: Callable[[], str | None] | None = None,
    ):
        """Knows no worker yet.

        Args:
            client: The cluster's client.
            check: A function of a module that says in one line why a worker is unfit.
        """
        self.fit: dict[str, int] = {}
        self.unfit: dict[str, str] = {}
        self._client, self._check = client, check or _no_problem
        self._checked: set[str] = set()
        self._seen_fit = self._looked = -math.inf
        self._quiet_since, self._is_stuck = time.monotonic(), False
        self._in_a_row: collections.Counter[str] = collections.Counter()

    def look(self) -> None:
        """Notes which workers there are, and checks the new ones.

        Raises:
            InputError: There are workers, but none has been fit for a while, or has had
                memory for a job.
            OSError: The scheduler is gone.
        """
        now = time.monotonic()
        if now < self._looked + TICK_SECONDS:
            return
        self._looked = now
        try:
            threads = dict(self._client.nthreads())
            self._check_workers(threads.keys() - self._checked - self.unfit.keys())
            self._check_memory(now)
        except OSError as error:
            raise OSError("the scheduler does not answer any more") from error
        self.fit = {
            worker: count
            for worker, count in threads.items()
            if worker in self._checked and worker not in self.unfit
        }
        if self.fit:
            self._seen_fit = now
        elif threads and self.unfit.keys() >= threads.keys():
            if now > self._seen_fit + _WAIT_SECONDS:
                raise InputError(f"no worker is fit: {[*self.unfit.values()][-1]}")
        else:
            logging.log_every_n_seconds(
                logging.INFO, "waiting for workers", _WAIT_SECONDS
            )

    def _check_workers(self, workers: set[str]) -> None:
        """Checks workers: their version of the project, and what the caller asks.

        A worker that does not answer is asked again later.
        """
        ours = waveunet_tf.__version__
        versions = self._on_each(workers, importlib.metadata.version, _PROJECT)
        for worker, version in versions.items():
            if isinstance(version, ImportError):
                self.leave_out(worker, f"must have {_PROJECT} {ours}, but has none")
            elif version != ours:
                reason = f"must have {_PROJECT} {ours}. Received: {version}"
                self.leave_out(worker, reason)
        workers = versions.keys() - self.unfit.keys()
        answers = self._on_each(workers, self._check)
        for worker, problem in answers.items():
            self._checked.add(worker)
            if problem:
                self.leave_out(worker, str(problem))

    def _check_memory(self, now: float) -> None:
        """Checks that not all workers are paused, while no job succeeds.

        dask gives no job to a worker whose memory is nearly full. One that does nothing
        does not become better.

        Raises:
            InputError: They are, and do nothing, for the second time.
        """
        if now <= self._quiet_since + _WAIT_SECONDS:
            return
        workers = self._client.scheduler_info()["workers"].values()
        is_stuck = bool(workers) and all(
            worker["status"] == "paused"
            and not worker["metrics"].get("task_counts", {}).get("executing")
            for worker in workers
        )
        if is_stuck and self._is_stuck:
            raise InputError(
                "all workers are paused, because their memory is full: they need a "
                "higher --memory-limit"
            )
        self._quiet_since, self._is_stuck = now, is_stuck

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

    def leave_out(self, worker: str, reason: str) -> None:
        """Gives a worker no more jobs.

        Args:
            worker: The worker.
            reason: Why not, in one line.
        """
        if worker in self.unfit:
            return
        self.unfit[worker] = f"{worker}: {reason}"
        self.fit.pop(worker, None)
        logging.warning("%s: %s: it gets no more jobs", worker, reason)

    def note_success(self, worker: str, failures: Mapping[str, str]) -> None:
        """Notes that a worker did a job, and that others could not.

        One that keeps failing where others succeed is left out.

        Args:
            worker: The worker.
            failures: Worker that failed in this job before → how, in one line.
        """
        self._quiet_since, self._is_stuck = time.monotonic(), False
        self._in_a_row.pop(worker, None)
        for other in self.fit.keys() & failures.keys():
            self._in_a_row[other] += 1
            if self._in_a_row[other] == _FAILURES_IN_A_ROW:
                self.leave_out(other, failures[other])


def _no_problem() -> None:
    """Finds every worker fit."""
