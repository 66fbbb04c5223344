"""Jobs in several processes, which end cleanly whatever ends the work."""

from __future__ import annotations

import concurrent.futures.process
import contextlib
import itertools
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from waveunet_tf.errors import InputError
from waveunet_tf.system import interrupts, quiet_import

# The exit code after SIGTERM, as a shell gives it.
_TERMINATED = 128 + signal.SIGTERM


def run_in_processes(
    function: Callable[[Any], Any], jobs: list, workers: int
) -> Iterator[Any]:
    """Calls a function with each job, several at a time.

    Args:
        function: A function of a module, so that a process can import it.
        jobs: The arguments of the calls, one each.
        workers: The number of processes. With 1 worker or 1 job, the calls happen in
            this process.

    Yields:
        The results, each as soon as it is there.

    Raises:
        InputError: The working directory was removed.
        OSError: A process died, or the function raised the error.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        for job in jobs:
            yield function(job)
        return
    require_working_folder()
    # "spawn", because a fork of a process with threads may hang.
    executor = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _prepare_worker
    )
    waiting, running = iter(jobs), set()
    try:
        while True:
            # No more jobs than workers: after Ctrl-C, none waits in the pool's queue.
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
            "a process at work on a track died, perhaps because memory is full; fewer "
            "--workers need less"
        ) from error
    finally:
        if running:  # An error or Ctrl-C has stopped the work.
            for process in executor._processes.values():
                process.terminate()
        executor.shutdown(cancel_futures=True)


def require_working_folder() -> None:
    """Requires that the working directory is there, in which processes start.

    Raises:
        InputError: It was removed.
    """
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise InputError(
            "the working directory must be there for other processes to start in, but "
            "was removed: change to another one"
        ) from error


def in_worker() -> bool:
    """Whether this process only does jobs of `run_in_processes`, in its main thread."""
    return _is_worker


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Makes processes that start in the body ignore Ctrl-C, which is for this one."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _prepare_worker() -> None:
    """Makes a worker end on SIGTERM, and when its parent ends."""
    global _is_worker
    _is_worker = True
    quiet_import.import_quietly()
    signal.signal(signal.SIGTERM, _end)
    interrupts.raise_swallowed_exits()
    parent = multiprocessing.parent_process()
    if multiprocessing.connection.wait([parent.sentinel], 0):
        os._exit(_TERMINATED)  # it was killed while this process started

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(_TERMINATED)

    threading.Thread(target=end_with_parent, daemon=True).start()


# Whether this process is a worker, and whether it is at work on a job.
_is_worker = _busy = False


def _call(function: Callable[[Any], Any], job: Any) -> Any:
    """Does a job in a worker; ends the worker if SIGTERM arrives meanwhile."""
    global _busy
    _busy = True
    try:
        return function(job)
    except SystemExit:  # `_end` raised it; the pool would take it for a result.
        pass  # With it go the frames that it held, whose generators clear up.
    finally:
        _busy = False
    os._exit(_TERMINATED)


def _end(*_) -> None:
    """Handles SIGTERM: lets a job clear up, and ignores a second signal meanwhile.

    Between jobs there is nothing to clear up. Then the worker ends at once: unwinding
    could leave half a message in the pool's queue, which would confuse the others.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not _busy:
        os._exit(_TERMINATED)
    interrupts.end(signal.SIGTERM)
