"""Limits of waits that playwright lets be without end; each says what it waited for.

These are a page's answer, and the start and end of browsers. What does not answer is
killed, which ends the wait.
"""

import contextlib
import functools
import os
import pathlib
import signal
import threading

ANSWER_SECONDS = 300
END_SECONDS = 60


@contextlib.contextmanager
def within(seconds, what, processes):
    """Kills processes where the body waits longer, and says what it waited for.

    Args:
        seconds: How long it may wait.
        what: What the body waits for.
        processes: Gives the processes, whose end ends the wait.
    """
    is_over = threading.Event()

    def end():
        is_over.set()
        for pid in processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if not is_over.is_set():
            raise
        raise AssertionError(f"nothing in {seconds} s: {what}") from error
    finally:
        timer.cancel()


def limit_answers(sync_api):
    """Limits the methods of playwright that have no limit of their own."""
    for kind in (sync_api.Page, sync_api.BrowserContext, sync_api.Browser):
        for name in {"evaluate", "close"} & vars(kind).keys():
            method = getattr(kind, name)
            if not hasattr(method, "__wrapped__"):
                setattr(kind, name, _limited(kind.__name__, method))


def _limited(kind, method):
    @functools.wraps(method)
    def limited(self, *arguments, **options):
        words = [f"{kind}.{method.__name__}", *map(str, arguments[:1])]
        seconds = ANSWER_SECONDS if method.__name__ == "evaluate" else END_SECONDS
        with within(seconds, " ".join(" ".join(words).split())[:300], browsers):
            return method(self, *arguments, **options)

    return limited


def drivers():
    """Playwright's driver, which this process has started."""
    return [
        pid
        for pid in _children("self")
        if b"run-driver" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def browsers():
    """The processes that the driver has started, and theirs."""
    waiting = [pid for driver in drivers() for pid in _children(driver)]
    found = []
    while waiting:
        found.append(waiting.pop())
        waiting += _children(found[-1])
    return found


def _children(process):
    pids = []
    for path in pathlib.Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # It has ended.
            pids += map(int, path.read_text().split())
    return pids
