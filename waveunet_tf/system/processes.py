"""Jobs in several processes, which end cleanly whatever ends the work."""

from __future__ import annotations

import concurrent.futures.process
import contextlib
import itertools
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any


def run_in_processes(
    function: Callable[[Any], Any], jobs: list, workers: int
) -> Iterator[Any]:
    """Calls a function with each job, some at a time; gives what it gives.

    Args:
        function: of a module, so that a process can import it.
        jobs: its arguments.
        workers: processes; with 1, or a single job, it is called in this one.

    Yields:
        The results, as they come.

    Raises:
        OSError: a process died, or the function raised it.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            yield function(job)
        return
    # "spawn", because a fork of a process with threads may hang.
    executor = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _end_by_sigterm
    )
    waiting, running = iter(jobs), set()
    try:
        while True:
            # No more than can run_in_processes, lest much is still to do after Ctrl-C.
            with _interrupts_ignored():
                for job in itertools.islice(waiting, workers - len(running)):
                    running.add(executor.submit(_call, function, job))
            if not running:
                return
            done, running = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                yield future.result()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise OSError(
            "a process at work on a track died, such as for want of memory; fewer "
            "--workers need less"
        ) from error
    finally:
        if running:  # Ctrl-C, or no space
            for process in executor._processes.values():
                process.terminate()
        executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """For processes started meanwhile, from their first moment: Ctrl-C is ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


_busy = False


def _call(function: Callable[[Any], Any], job: Any) -> Any:
    """Does a job in a worker, which may be told to end meanwhile."""
    global _busy
    _busy = True
    try:
        return function(job)
    except (
        SystemExit
    ):  # _end's, after all is cleared up; the pool takes it for a result
        os._exit(143)
    finally:
        _busy = False


def _end(*_) -> None:
    """For SIGTERM: lets a job clear up, and keeps a second one from interrupting that.

    Between jobs there is nothing to clear up, and half a message that is read from the
    pool's queue would confuse the next worker.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not _busy:
        os._exit(143)
    sys.exit(143)


def _end_by_sigterm() -> None:
    """For a worker: ends when it is told to, and with its parent."""
    signal.signal(signal.SIGTERM, _end)
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(143)

    threading.Thread(target=end_with_parent, daemon=True).start()
