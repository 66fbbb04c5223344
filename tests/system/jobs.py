"""Jobs that processes and Beam's workers can import."""

import os
import pathlib
import signal
import sys
import time

from waveunet_tf.errors import InputError
from waveunet_tf.system import processes


def square(number):
    return [os.getpid(), number**2]


def fail_at_3(number):
    if number == 3:
        raise OSError(28, "No space left on device", "x")
    time.sleep(0.05)
    return number


def refuse(number):
    raise InputError(f"{number}: must be another")


def kill_itself(number):
    os.kill(os.getpid(), signal.SIGKILL)


def hold(folder):
    """Writes a file, and removes it when the job is ended."""
    path = pathlib.Path(folder) / str(os.getpid())
    try:
        path.write_text("")
        time.sleep(60)
    finally:
        path.unlink()


def note(path, results):
    pathlib.Path(path).write_text(str(sorted(results)))


if __name__ == "__main__":
    for _ in processes.run_in_processes(hold, [sys.argv[1]] * 8, 2):
        pass
