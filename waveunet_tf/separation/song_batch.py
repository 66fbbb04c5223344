"""Plans the songs of one call, and notes what becomes of them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from absl import logging

from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.errors import InputError
from waveunet_tf.separation import stem_paths
from waveunet_tf.separation.song_job import (
    Failure,
    Job,
    Outcome,
    check_targets_are_new,
    do_job,
    oddities_explained,
)
from waveunet_tf.separation.song_search import Song, find_songs, seekable
from waveunet_tf.system import part_folders
from waveunet_tf.system.files import FULL_DISK, expand_home, real_path

if TYPE_CHECKING:
    from waveunet_tf.separation.separator import Separator
    from waveunet_tf.separation.song_ledger import SongLedger
    from waveunet_tf.separation.songs import SongOptions


# A song of this size is long enough for the start of a process to cost under 2 %.
_WORTH_A_PROCESS_BYTES = 2**23


class SongProgress(NamedTuple):
    """How far the separation of songs is.

    Attributes:
        song: The song that is being separated.
        done_seconds: Seconds of audio done, of all songs.
        total_seconds: Seconds of audio of all songs, as far as they say.
        written: The stems' files once the song is done; before that none.
    """

    song: pathlib.Path
    done_seconds: float
    total_seconds: float
    written: tuple[pathlib.Path, ...] = ()


class _Meter:
    """Counts the seconds of audio that are done, and reports them."""

    def __init__(
        self, total_seconds: float, on_progress: Callable[[SongProgress], None] | None
    ):
        self._done_seconds, self._total_seconds = 0.0, total_seconds
        self._on_progress = on_progress
        self._song = pathlib.Path()

    def begin(self, song: pathlib.Path) -> None:
        """Reports a song before its separation."""
        self._song = song
        self._report()

    def advance(self, seconds: float) -> None:
        """Reports more seconds of the song."""
        self._done_seconds += seconds
        # A song's header may give too short a length.
        self._total_seconds = max(self._total_seconds, self._done_seconds)
        self._report()

    def end(self, written: tuple[pathlib.Path, ...]) -> None:
        """Reports a song's files."""
        self._report(written)

    def _report(self, written: tuple[pathlib.Path, ...] = ()) -> None:
        if self._on_progress:
            self._on_progress(
                SongProgress(
                    self._song, self._done_seconds, self._total_seconds, written
                )
            )


class SongBatch:
    """Finds songs, opens each to plan its stems' files, and gathers what became of it.

    `separate` separates them here, one after the other; where others do the jobs,
    `collect` takes what they did.

    Stems that exist are refused with the plan, before a network is loaded, and once
    more when their song's turn comes, because others may have appeared since.

    A context manager: songs from pipes lie in temporary files until its end.

    Attributes:
        jobs: The songs that can be separated, once the context is entered.
        failures: What could not be done so far.
        already_done: The number of songs that the ledger knows as done.
    """

    def __init__(
        self,
        songs: str | os.PathLike | Iterable[str | os.PathLike],
        options: SongOptions,
        sources: tuple[str, ...],
        *,
        ledger: SongLedger | None = None,
    ):
        """Finds the songs.

        Args:
            songs: Files, folders, patterns, or "-", standard input. A song that is
                named twice is separated once.
            options: What is written of them.
            sources: The network's sources.
            ledger: What became of songs earlier: what is done is not planned again, and
                stems that were begun are replaced.

        Raises:
            OptionsError: The options do not suit the sources or the number of songs.
        """
        self.jobs: list[Job] = []
        self.failures: list[Failure] = []
        self.already_done = 0
        self._options, self._ledger = options, ledger
        self._stems = options.stem_names(sources)
        self._stack = contextlib.ExitStack()
        self._temporary: pathlib.Path | None = None
        self._output = pathlib.Path(expand_home(options.output_dir))
        found: dict[pathlib.Path, Song] = {}
        for name in [songs] if isinstance(songs, (str, os.PathLike)) else songs:
            with self._noting(name):
                for song in find_songs(
                    name,
                    recursive=options.recursive,
                    leave_out=self._output,
                    on_error=self._note_folder,
                ):
                    real = real_path(song.path)
                    # Of a song and links to it, the song's own name is kept.
                    if real not in found or found[real].path.is_symlink():
                        found[real] = song
        options.check_count(len(found))
        self._songs = list(found.values())

    def __enter__(self) -> SongBatch:
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            if self._options.to_stdout:  # half a stem in a pipe cannot be taken back
                self._output = folder / "stems"
            self._temporary = folder
            logger = logging.get_absl_logger()
            logger.addFilter(self._without_folder)
            stack.callback(logger.removeFilter, self._without_folder)
            self._songs = seekable(self._songs, folder)
            if self._is_worth_a_process():
                stack.enter_context(decoding_apart())
            self._plan()
            self._stack.enter_context(stack.pop_all())
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def separate(
        self,
        separator: Separator,
        *,
        on_progress: Callable[[SongProgress], None] | None = None,
    ) -> None:
        """Separates the songs; what fails is noted in `failures`.

        Args:
            separator: A separator with the sources that the batch was made for.
            on_progress: Called when a song is begun, goes on, and is done.

        Raises:
            OSError: The disk is full, or the reader of standard output has gone away.
        """
        meter = self._meter(on_progress)
        for job in self.jobs:
            with self._noting(job.song.path):
                meter.begin(job.song.path)
                separated = do_job(
                    separator, job, self._options, on_progress=meter.advance
                )
                written = tuple(job.targets.values()) if separated else ()
                if not separated:
                    meter.advance(job.seconds)
                if self._options.to_stdout:
                    _write_to_stdout(*written)
                    written = ()
                meter.end(written)

    def collect(
        self,
        outcomes: Iterable[Outcome],
        *,
        on_progress: Callable[[SongProgress], None] | None = None,
    ) -> None:
        """Takes what became of the jobs; what failed is noted in `failures`.

        Args:
            outcomes: What became of each job, as soon as it is known.
            on_progress: Called when a song is done.
        """
        meter = self._meter(on_progress)
        for outcome in outcomes:
            meter.begin(outcome.job.song.path)
            meter.advance(outcome.job.seconds)
            if outcome.error:
                self._note(outcome.job.song.path, outcome.error)
            elif outcome.separated:
                meter.end(tuple(outcome.job.targets.values()))

    def _meter(self, on_progress: Callable[[SongProgress], None] | None) -> _Meter:
        return _Meter(sum(job.seconds for job in self.jobs), on_progress)

    def _is_worth_a_process(self) -> bool:
        """Whether a decoder that crashes would cost more than a process for it."""
        with contextlib.suppress(OSError):  # It is told when the song is opened.
            sizes = (song.path.stat().st_size for song in self._songs)
            return len(self._songs) > 1 or sum(sizes) >= _WORTH_A_PROCESS_BYTES
        return True

    def _plan(self) -> None:
        """Plans the songs; notes those that cannot be read, or lack files of their own.

        Raises:
            InputError: The output is no folder.
        """
        if self._output.exists() and not self._output.is_dir():
            raise InputError(f"{self._output}: must be a folder, but is a file")
        taken = {real_path(song.path): f"the song {song.path}" for song in self._songs}
        for song in self._songs:
            with self._noting(song.path):
                stems = self._ledger.stems_of(song) if self._ledger else ()
                if stems:
                    self.already_done += 1
                    whose = f"a stem of {song.path}"
                    taken.update({real_path(stem): whose for stem in stems})
                    # It is not begun again, but another try of it may have died.
                    for folder in {stem.parent for stem in stems}:
                        part_folders.sweep_if_quick(folder)
                    continue
                job = self._job(song)
                places = [real_path(target) for target in job.targets.values()]
                for place in places:
                    if place in taken or places.count(place) > 1:
                        what = taken.get(place, "another stem of it")
                        raise InputError(
                            f"{song.path}: its stems must have files of their own, but "
                            f"{place} is {what} (see --output_template)"
                        )
                check_targets_are_new(job, self._options)
                taken.update(dict.fromkeys(places, f"a stem of {song.path}"))
                self.jobs.append(job)

    def _job(self, song: Song) -> Job:
        """Opens a song, and plans its stems' files.

        Raises:
            InputError: The song is no audio file, or its name cannot name stems.
            OSError: The song cannot be read.
        """
        options = self._options
        with options.file_options.open(song.path) as reader:
            seconds = reader.duration_seconds - options.start_seconds
            tags = reader.tags
        if options.duration_seconds is not None:
            seconds = min(seconds, options.duration_seconds)
        targets = {
            name: stem_paths.stem_path(
                self._output,
                options.output_template,
                song.path,
                name,
                options.format,
                tags,
                folder=song.folder,
            )
            for name in self._stems
        }
        begun = bool(self._ledger and self._ledger.has_begun(song))
        return Job(song, targets, max(seconds, 0.0), begun)

    @contextlib.contextmanager
    def _noting(self, what: str | os.PathLike) -> Iterator[None]:
        """Notes errors of the body, which are the song's, and raises all others.

        Raises:
            OSError: The disk is full, or the reader of our output has gone away.
        """
        try:
            with oddities_explained(what):
                yield
        except BrokenPipeError:
            raise
        except (InputError, OSError) as error:
            if isinstance(error, OSError) and error.errno in FULL_DISK:
                raise  # No other song could be written either.
            self._note(what, error)

    def _note(self, what: str | os.PathLike, error: InputError | OSError) -> None:
        """Notes a failure; a song from a pipe is not named by its temporary file."""
        failure = Failure(os.fspath(what), error)
        if self._temporary and str(self._temporary) in str(failure):
            name, text = map(self._named, (failure.what, str(failure)))
            failure = Failure(name, InputError(text))
        self.failures.append(failure)

    def _named(self, text: str) -> str:
        """Returns a text without the temporary folder of songs from pipes."""
        return re.sub(re.escape(str(self._temporary)) + r"/(\d+/)?", "", text)

    def _without_folder(self, record) -> bool:
        """Takes that folder out of a warning; keeps all of them."""
        if str(self._temporary) in (text := record.getMessage()):
            record.msg, record.args = self._named(text), ()
        return True

    def _note_folder(self, folder: str, error: InputError | OSError) -> None:
        """Notes one of several folders that cannot be read or has no songs."""
        self.failures.append(Failure(folder, error))


def _write_to_stdout(path: pathlib.Path) -> None:
    with path.open("rb") as stem:
        shutil.copyfileobj(stem, sys.stdout.buffer)
        sys.stdout.buffer.flush()
