"""Makes a signal end a run also where Python would swallow the exception."""

from __future__ import annotations

import signal
import sys
import threading

# Long enough to leave the callback, too short for a user to notice.
_AGAIN_SECONDS = 0.05


def exit_by_signal(number: int, _=None) -> None:
    """Handles a signal by SystemExit with the shell's code for it, 128 + `number`.

    Raises:
        SystemExit: Always.
    """
    sys.exit(128 + number)


def raise_swallowed_exits() -> None:
    """Sends a signal again whose exception was lost in a callback.

    A handler may run within a callback of the garbage collector, or of ctypes. There
    Python prints the handler's exception (SystemExit, KeyboardInterrupt) and goes on,
    so that a run would not end. Other exceptions in callbacks are printed as before.
    """
    print_ignored = sys.unraisablehook

    def hook(ignored) -> None:
        number = _signal_of(ignored.exc_value)
        if number is None:
            print_ignored(ignored)
            return
        # A handler may have turned itself off.
        handler = signal.getsignal(number)
        if number != signal.SIGINT and handler == signal.SIG_IGN:
            signal.signal(number, exit_by_signal)
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
