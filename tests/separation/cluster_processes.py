"""A scheduler and workers as an operator starts them, in processes of their own."""

import contextlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

from tests.command_line import ROOT

# Kills a worker that opens a song with such a name; a preload of dask's workers.
_POISON = """
import os, signal
from waveunet_tf.separation import songs_on_dask
if not hasattr(songs_on_dask, "do_job_alive"):  # a preload is loaded twice
    songs_on_dask.do_job_alive = songs_on_dask.do_job
def do_job(separator, job, options):
    if "poison" in job.song.path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return songs_on_dask.do_job_alive(separator, job, options)
songs_on_dask.do_job = do_job
"""


class Cluster:
    """A scheduler, and any number of workers with nannies; a context manager.

    Attributes:
        address: The scheduler's address.
        workers: The nannies' processes.
    """

    def __init__(self, folder, *, host="127.0.0.1"):
        """Starts the scheduler; `folder` is for files of the cluster's own."""
        self._folder = pathlib.Path(folder)
        self._folder.mkdir()
        self._log = (self._folder / "log").open("wb")
        self._preload = self._folder / "poison.py"
        self._preload.write_text(_POISON)
        self.workers = []
        file = self._folder / "scheduler.json"
        self._scheduler = self._start(
            *("scheduler", "--host", host, "--port", "0", "--no-dashboard"),
            *("--scheduler-file", file),
        )
        self.address = _wait_for(lambda: json.loads(file.read_text())["address"])

    def _start(self, *words, before=(), limit_bytes=None):
        def limit():
            if limit_bytes:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

        return subprocess.Popen(
            [*before, sys.executable, "-m", "dask", *map(str, words)],
            cwd=ROOT,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            preexec_fn=limit,
        )

    def add_worker(self, *, host=None, before=(), limit_bytes=None):
        """Starts a worker.

        Args:
            host: The address on which it listens.
            before: Words of a command that runs it.
            limit_bytes: The largest file that it may write.
        """
        where = ["--host", host] if host else []
        worker = self._start(
            *("worker", self.address, "--nthreads", "1", "--no-dashboard", *where),
            *("--preload", self._preload, "--local-directory", self._folder),
            before=before,
            limit_bytes=limit_bytes,
        )
        self.workers.append(worker)
        return worker

    def kill_worker(self, number, *, nanny):
        """Ends a worker's process with -9; its nanny starts another, if it stays."""
        worker = self.workers[number]
        if nanny:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            return
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(path.read_text().rpartition(")")[2].split()[1]) == worker.pid:
                    os.kill(int(path.parent.name), signal.SIGKILL)

    def start_client(self, *words):
        """Starts `waveunet separate` on the cluster."""
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "waveunet_tf", "separate"),
                *(f"--scheduler={self.address}", *map(str, words)),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (*self.workers, self._scheduler):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._log.close()


def _wait_for(ask, seconds=60):
    """Asks until there is an answer."""
    for _ in range(seconds * 10):
        with contextlib.suppress(OSError, ValueError):
            return ask()
        time.sleep(0.1)
    raise TimeoutError
