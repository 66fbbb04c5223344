"""Separates a batch's songs on one of Apache Beam's pipeline runners."""

from __future__ import annotations

import functools
import pathlib
import platform
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.errors import InputError, one_line
from waveunet_tf.separation.separator import Separator
from waveunet_tf.separation.separator_source import SeparatorSource
from waveunet_tf.separation.song_job import Job, Outcome, do_job
from waveunet_tf.system import beam
from waveunet_tf.system.files import FULL_DISK

if TYPE_CHECKING:
    from waveunet_tf.separation.songs import SongOptions


def separate_on_beam(
    pipeline_runner: str,
    pipeline_options: Sequence[str],
    source: SeparatorSource,
    jobs: Sequence[Job],
    options: SongOptions,
) -> Iterator[Outcome]:
    """Separates songs on a pipeline runner; see `beam.run_on_beam`.

    Args:
        pipeline_runner: Beam's name of it.
        pipeline_options: Beam's own options.
        source: The separator, which each worker loads once.
        jobs: The songs' jobs, with absolute paths that all workers see.
        options: What is written of them.

    Yields:
        What became of each job, once all are done.

    Raises:
        InputError: Beam is not installed, or knows no such pipeline runner or option.
        OSError: A worker died, or the output cannot be written.
    """
    output = pathlib.Path(options.output_dir)
    output.mkdir(parents=True, exist_ok=True)
    results = beam.run_on_beam(
        functools.partial(_separate, source, options),
        list(enumerate(jobs)),
        output,
        pipeline_runner=pipeline_runner,
        options=pipeline_options,
    )
    for number, separated, reason, seconds, worker in results:
        error = InputError(reason) if reason else None
        yield Outcome(jobs[number], error, separated, seconds, worker)


def _separate(
    source: SeparatorSource, options: SongOptions, job: tuple[int, Job]
) -> list:
    """Does a song's job on a worker; returns what JSON can hold.

    Raises:
        OSError: The disk is full, which is not the song's fault.
    """
    number, song_job = job
    started, separated, reason = time.monotonic(), False, None
    try:
        with decoding_apart(keep=True):
            separated = do_job(_load_once(source), song_job, options)
    except (InputError, OSError) as error:
        if isinstance(error, OSError) and error.errno in FULL_DISK:
            raise
        reason = one_line(error)
    return [number, separated, reason, time.monotonic() - started, platform.node()]


@functools.lru_cache(maxsize=1)
def _load_once(source: SeparatorSource) -> Separator:
    return source.load()
