"""Makes a signal end a run also where Python would swallow the exception."""

from __future__ import annotations

import signal
import sys
import threading

# Long enough to leave the callback, too short for a user to notice.
_AGAIN_SECONDS = 0.05
# The signal that `end` has handled: from then on this process is ending.
_ended_by: int | None = None


def end(number: int, _=None) -> None:
    """Handles a signal by the exception that ends a run.

    Raises:
        KeyboardInterrupt: For SIGINT.
        SystemExit: For others, with the shell's code for it, 128 + `number`.
    """
    global _ended_by
    _ended_by = number
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def end_if_swallowed() -> None:
    """Ends a run that goes on although `end` has raised.

    For a call after C extensions that clear whatever exception there is, without a
    word: soxr's does so with what a handler raises in it.

    Raises:
        KeyboardInterrupt: As `end`.
        SystemExit: As `end`.
    """
    if _ended_by is not None:
        end(_ended_by)


def forget() -> None:
    """Begins a run, which no signal has ended: a process may have several."""
    global _ended_by
    _ended_by = None


def raise_swallowed_exits() -> None:
    """Sends a signal again whose exception was lost in a callback.

    A handler may run within a callback of the garbage collector, or of ctypes. There
    Python prints the handler's exception (SystemExit, KeyboardInterrupt) and goes on,
    so that a run would not end. Other exceptions in callbacks are printed as before,
    but for those at the very end of the process: objects that outlive their modules
    raise them, such as TensorFlow's functions, and nobody can do anything about them.
    """
    print_ignored, is_finalizing = sys.unraisablehook, sys.is_finalizing

    def hook(ignored) -> None:
        number = _signal_of(ignored.exc_value)
        if number is None:
            if not is_finalizing():
                print_ignored(ignored)
            return
        # A handler may have turned itself off.
        handler = signal.getsignal(number)
        if number != signal.SIGINT and handler == signal.SIG_IGN:
            signal.signal(number, end)
        timer = threading.Timer(_AGAIN_SECONDS, signal.raise_signal, (number,))
        timer.daemon = True
        timer.start()

    sys.unraisablehook = hook


def _signal_of(error: BaseException | None) -> int | None:
    """Returns the number of the signal that an exception stands for, if any."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    code = error.code if isinstance(error, SystemExit) else None
    if isinstance(code, int) and code > 128:
        return code - 128
    return None
