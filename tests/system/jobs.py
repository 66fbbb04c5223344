"""Jobs that processes and Beam's workers can import."""

import contextlib
import os
import pathlib
import signal
import sys
import time

from waveunet_tf.errors import InputError
from waveunet_tf.system import part_folders, processes

HELD_SECONDS = 20


def square(number):
    return [os.getpid(), number**2]


def fail_at_3(number):
    if number == 3:
        raise OSError(28, "No space left on device", "x")
    time.sleep(0.05)
    return number


def refuse(number):
    raise InputError(f"{number}: must be another")


def raise_unpicklable(number):
    class Unpicklable(Exception):
        pass

    raise Unpicklable("seven\nlines")


def kill_itself(number):
    os.kill(os.getpid(), signal.SIGKILL)


def end_before_the_body(parent):
    """Lets a signal come when a folder is made, and its `with` has not begun."""
    folder = part_folders.part_folder(parent)
    folder.__enter__()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(HELD_SECONDS)


def kill_its_worker(path):
    """Ends a worker of dask's, but for odd numbers; notes each number that it did."""
    folder, number = os.path.split(path)
    if int(number) % 2 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return int(number)


def fail_on_one_worker(path):
    """Fails in the process whose number is in a file; the first one writes it."""
    with contextlib.suppress(FileExistsError):
        with open(path, "x") as file:
            file.write(str(os.getpid()))
    time.sleep(0.2)
    if pathlib.Path(path).read_text() == str(os.getpid()):
        raise OSError(28, "No space left on device", "x")
    return os.getpid()


def fail_always(path):
    """Fails, and notes each try in a file."""
    with open(path, "a") as file:
        file.write("tried\n")
    raise OSError(5, "Input/output error", path)


def fail_for_a_second(path):
    """Fails in the first second; notes the times of all calls in a file."""
    with open(path, "a") as file:
        file.write(f"{time.time()}\n")
    first, *_, last = map(float, [*open(path), time.time()])
    if last < first + 1:
        raise OSError(5, "Input/output error", path)


def fill_the_disk(path):
    """Fails as on a full disk, and notes it in a file."""
    with open(path, "a") as file:
        file.write("tried\n")
    raise OSError(28, "No space left on device", path)


def hold_once(path):
    """Takes long in the first call, which makes a file, and no time in the second."""
    if not path:
        return 0
    try:
        open(path, "x").close()
    except FileExistsError:
        return os.getpid()
    time.sleep(HELD_SECONDS)


def refuse_worker(path):
    """Says that the first worker that asks is unfit."""
    try:
        open(path, "x").close()
    except FileExistsError:
        return None
    return "must have another disk"


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
