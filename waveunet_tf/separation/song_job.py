"""A song's job: what is to be done for one song, wherever it is done.

The local loop, dask's workers and Beam's all call `do_job`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from absl import logging

from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.errors import InputError, one_line
from waveunet_tf.separation.song_search import Song
from waveunet_tf.system import memory, versions
from waveunet_tf.system.files import require_new

if TYPE_CHECKING:
    from waveunet_tf.separation.separator import Separator
    from waveunet_tf.separation.songs import SongOptions

_LESS_MEMORY = "a network that was trained with fewer --output_frames"


class Job(NamedTuple):
    """What is to be done for one song.

    Attributes:
        song: The song.
        targets: Stem → the file to write.
        seconds: How much audio there is to separate, as far as the song says.
        begun: Whether an earlier run began it, so that its stems may be replaced.
    """

    song: Song
    targets: dict[str, pathlib.Path]
    seconds: float
    begun: bool = False


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
        job: The job.
        error: Why it failed; None if it did not.
        separated: Whether the stems were written now; else they were there already.
        seconds: How long it took.
        worker: Who did it.
    """

    job: Job
    error: InputError | OSError | None = None
    separated: bool = False
    seconds: float = 0.0
    worker: str = ""


class Failure(NamedTuple):
    """What could not be done, and why; `str` writes it as one line.

    Attributes:
        what: The song, or the argument that names songs.
        error: What went wrong.
    """

    what: str
    error: InputError | OSError

    def __str__(self) -> str:
        return one_line(self.error, of=self.what)


def do_job(
    separator: Separator,
    job: Job,
    options: SongOptions,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> bool:
    """Separates a song into its stems' files, which appear together or not at all.

    Args:
        separator: The separator.
        job: The song's job.
        options: What is written, and whether stems that exist are kept or replaced.
        on_progress: Called with the seconds of audio done since the last call.

    Returns:
        Whether it was separated. It is not with `skip_existing` where all stems are
        there and whole.

    Raises:
        InputError: The song cannot be separated, whatever is the matter with it; or a
            stem exists and must not be replaced.
        OSError: A file cannot be read or written.
    """
    with oddities_explained(job.song.path):
        if options.skip_existing and all(map(_is_whole, job.targets.values())):
            return False
        check_targets_are_new(job, options)
        separator.separate_file(
            job.song.path,
            job.targets,
            **dataclasses.asdict(options.file_options),
            on_progress=on_progress,
        )
    return True


def check_targets_are_new(job: Job, options: SongOptions) -> None:
    """Refuses to replace a user's files, unless that is wished.

    Raises:
        InputError: A stem exists and must not be replaced.
    """
    may_replace = options.overwrite or options.skip_existing or job.begun
    require_new(*job.targets.values(), overwrite=may_replace)


@contextlib.contextmanager
def oddities_explained(what: str | os.PathLike) -> Iterator[None]:
    """Makes whatever one odd song raises bad input: that song's failure, in one line.

    Args:
        what: The song, or the argument that names songs.

    Raises:
        InputError: The body raised an error that was not foreseen.
    """
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:
        logging.debug("%s", what, exc_info=True)
        reason = memory.explain_shortage(error, _LESS_MEMORY) or versions.explain(error)
        reason = reason or f"{type(error).__name__}: {error}"
        raise InputError(f"{what}: cannot be separated: {reason}") from error


def _is_whole(stem: pathlib.Path) -> bool:
    """Whether a stem is there, and can be decoded to the end that its header tells."""
    try:
        with AudioReader(stem) as reader:
            for _ in reader.blocks():
                pass
    except Exception:  # whatever is the matter with it
        return False
    return True
