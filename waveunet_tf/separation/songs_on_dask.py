"""Separates a batch's songs on a cluster of dask.distributed."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.errors import InputError, one_line
from waveunet_tf.separation.separator_source import SeparatorSource
from waveunet_tf.separation.song_job import Job, Outcome, do_job
from waveunet_tf.system import dask_jobs

if TYPE_CHECKING:
    import distributed

    from waveunet_tf.separation.songs import SongOptions

_REGISTER_TRIES = 5


def separate_on_dask(
    client: distributed.Client,
    source: SeparatorSource,
    jobs: Sequence[Job],
    options: SongOptions,
) -> Iterator[Outcome]:
    """Separates songs on a cluster, the longest first; see `dask_jobs.run_on_dask`.

    Args:
        client: The cluster's client. Its workers see songs and stems by the paths of
            the jobs.
        source: The separator, which each worker loads once.
        jobs: The songs' jobs, with absolute paths.
        options: What is written of them.

    Yields:
        What became of each job, as soon as it is known. An error names the worker.

    Raises:
        InputError: No worker can load the separator.
        OSError: The scheduler is gone.
    """
    # Not before: it needs dask.distributed.
    from waveunet_tf.separation.worker_separator import SeparatorPlugin, problem_here

    plugin = SeparatorPlugin(source)
    _register(client, plugin)
    try:
        for done in dask_jobs.run_on_dask(
            client,
            functools.partial(_separate, plugin.name, options),
            jobs,
            sizes=[max(job.seconds, 1.0) for job in jobs],
            check=functools.partial(problem_here, plugin.name),
            repeat_stragglers=True,
        ):
            error = done.error
            of_song = str(error).startswith(str(done.job.song.path))
            # That a file is not there may be the worker's fault.
            if error and not (of_song and isinstance(error, InputError)):
                error = InputError(f"{one_line(error)} (on {done.worker})")
            yield Outcome(done.job, error, bool(done.result), done.seconds, done.worker)
    finally:
        # After a signal, or with the scheduler, the connection may be gone.
        with contextlib.suppress(OSError):
            if client.status == "running":
                client.unregister_worker_plugin(plugin.name)


def _register(client: distributed.Client, plugin: object) -> None:
    """Gives workers a plugin; again if one of them dies of something else meanwhile.

    Raises:
        OSError: The scheduler is gone.
    """
    for left in reversed(range(_REGISTER_TRIES)):
        try:
            client.register_plugin(plugin)
            return
        except OSError:
            if not left or client.status != "running":
                raise
            time.sleep(1)


def _separate(name: str, options: SongOptions, job: Job) -> bool:
    """Does a song's job with the separator of this worker."""
    from waveunet_tf.separation.worker_separator import separator_here

    with decoding_apart(keep=True):
        return do_job(separator_here(name), job, options)
