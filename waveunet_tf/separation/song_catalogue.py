"""Separates a catalogue of songs on an engine of many workers, and keeps a ledger.

with dask_cluster.connect("tcp://host:8786") as client:
    with Catalogue(["songs"], SongOptions(), source) as catalogue:
        catalogue.run(functools.partial(separate_on_dask, client, source))
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from waveunet_tf.errors import InputError
from waveunet_tf.separation.separator_source import SeparatorSource
from waveunet_tf.separation.song_batch import SongBatch, SongProgress
from waveunet_tf.separation.song_job import Job, Outcome
from waveunet_tf.separation.song_ledger import SongLedger
from waveunet_tf.system.files import expand_home, locked_folder

if TYPE_CHECKING:
    from waveunet_tf.separation.songs import SongOptions


class Catalogue(SongBatch):
    """A batch whose songs others separate, with a ledger beside the stems.

    What the ledger knows as done is not done again, so that a stopped run goes on. The
    output folder is locked from `with` on, so that no two runs write one ledger.
    """

    def __init__(
        self,
        songs: Iterable[str | os.PathLike],
        options: SongOptions,
        source: SeparatorSource,
    ):
        """Finds the songs.

        Args:
            songs: Files, folders or patterns, which become absolute paths.
            options: What is written of them.
            source: The separator.

        Raises:
            OptionsError: The options do not suit the sources.
            InputError: A song or the stems would go through a pipe.
        """
        songs = [os.fspath(song) for song in songs]
        if options.to_stdout or "-" in songs:
            raise InputError(
                "pipes do not reach other workers: songs and stems must be files"
            )
        # Workers may run in other folders.
        output = os.path.abspath(expand_home(options.output_dir))
        self.options = dataclasses.replace(options, output_dir=output)
        depends = dataclasses.replace(
            self.options, overwrite=False, skip_existing=False, recursive=False
        )
        self._ledger = SongLedger(output, (source.sha256, depends))
        super().__init__(
            [song and os.path.abspath(expand_home(song)) for song in songs],
            self.options,
            source.sources,
            ledger=self._ledger,
        )

    def __enter__(self) -> Catalogue:
        self._stack.enter_context(locked_folder(self.options.output_dir))
        try:
            self._ledger.read()
            return super().__enter__()
        except BaseException:
            self._stack.close()
            raise

    def run(
        self,
        engine: Callable[[Sequence[Job], SongOptions], Iterator[Outcome]],
        *,
        on_progress: Callable[[SongProgress], None] | None = None,
    ) -> None:
        """Separates the songs on an engine; what fails is noted in `failures`.

        Args:
            engine: Does jobs, and gives what became of each as soon as it is known.
            on_progress: Called when a song is done.

        Raises:
            OSError: The ledger cannot be written.
        """
        jobs = self._ledger.plan(self.jobs)
        outcomes = engine(jobs, self.options)
        self.collect(self._ledger.note(outcomes), on_progress=on_progress)
