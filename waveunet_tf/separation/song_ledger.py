"""The ledger beside the stems: what became of each song of a catalogue."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator

from waveunet_tf.errors import one_line
from waveunet_tf.separation.song_job import Job, Outcome
from waveunet_tf.separation.song_search import Song

NAME = "ledger.jsonl"
PLANNED, DONE, FAILED = "planned", "done", "failed"


class SongLedger:
    """A file of JSON lines, to which each song adds one when it is planned and done.

    A line has `song`, `hash`, `status` and, of a song that is done or has failed,
    `seconds`, `worker`, `error` and `stems` (file → bytes). A song's last line counts.
    The hash is of all that its stems depend on: the song's path, size and time, the
    network and the options. A last line that a stop cut short is no line.
    """

    def __init__(self, folder: str | os.PathLike, settings: Iterable[object]):
        """Takes a folder, whose ledger `read` reads.

        Args:
            folder: The folder of the stems.
            settings: What all songs' stems depend on, such as the network's hash;
                `repr` of it must be the same in every run.
        """
        self.path = pathlib.Path(folder) / NAME
        self._settings = repr(tuple(settings))
        self._lines: dict[str, dict] = {}
        self._hashes: dict[Song, str] = {}
        self._is_cut = False

    def read(self) -> None:
        """Reads what earlier runs noted, if there were any.

        Raises:
            OSError: The ledger cannot be read.
        """
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            return
        with file:
            for content in file:
                self._is_cut = not content.endswith(b"\n")
                self._take(content)

    def _take(self, content: bytes) -> None:
        try:
            line = json.loads(content)
        except ValueError:
            return
        if isinstance(line, dict) and isinstance(line.get("hash"), str):
            self._lines[line["hash"]] = line

    def stems_of(self, song: Song) -> tuple[pathlib.Path, ...]:
        """Returns the stems of a song that is done; none where they are not whole.

        Args:
            song: The song.

        Raises:
            OSError: The song cannot be read.
        """
        line = self._lines.get(self._hash(song), {})
        if line.get("status") != DONE:
            return ()
        stems = {pathlib.Path(name): size for name, size in line["stems"].items()}
        return tuple(stems) if stems == _sizes(stems) else ()

    def has_begun(self, song: Song) -> bool:
        """Returns whether an earlier run has planned a song, and may have begun it.

        Args:
            song: The song.

        Raises:
            OSError: The song cannot be read.
        """
        return self._hash(song) in self._lines

    def plan(self, jobs: Iterable[Job]) -> list[Job]:
        """Notes songs before they begin: stems that are there later are of this run.

        Args:
            jobs: The songs' jobs.

        Returns:
            The jobs, which now may replace stems that exist.

        Raises:
            OSError: The ledger cannot be written.
        """
        jobs = list(jobs)
        self._write(
            {"song": str(job.song.path), "hash": digest, "status": PLANNED}
            for job in jobs
            if (digest := self._hash(job.song)) not in self._lines
        )
        return [job._replace(begun=True) for job in jobs]

    def note(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Notes what became of songs.

        Args:
            outcomes: What became of each.

        Yields:
            The same, once it is noted.

        Raises:
            OSError: The ledger cannot be written.
        """
        for outcome in outcomes:
            job, error = outcome.job, outcome.error
            line = {
                "song": str(job.song.path),
                "hash": self._hash(job.song),
                "status": FAILED if error else DONE,
                "seconds": round(outcome.seconds, 3),
                "worker": outcome.worker,
                "error": one_line(error) if error else None,
                "stems": {} if error else _named(_sizes(job.targets.values())),
            }
            self._write([line])
            yield outcome

    def _hash(self, song: Song) -> str:
        """Hashes all that a song's stems depend on; a look at the file, not a read."""
        if song in self._hashes:
            return self._hashes[song]
        try:
            file = song.path.stat()
            changes = (file.st_size, file.st_mtime_ns)
        except FileNotFoundError:
            changes = ()
        depends = repr((str(song.path), str(song.folder), changes, self._settings))
        digest = hashlib.sha256(os.fsencode(depends)).hexdigest()
        self._hashes[song] = digest
        return digest

    def _write(self, lines: Iterable[dict]) -> None:
        """Adds lines, each whole or not at all."""
        text = "".join(json.dumps(line) + "\n" for line in lines)
        if not text:
            return
        if self._is_cut:
            text, self._is_cut = "\n" + text, False
        with self.path.open("a", encoding="ascii") as file:
            file.write(text)


def _sizes(stems: Iterable[pathlib.Path]) -> dict[pathlib.Path, int]:
    """Returns the sizes in bytes of the files that are there."""
    return {stem: stem.stat().st_size for stem in stems if stem.is_file()}


def _named(sizes: dict[pathlib.Path, int]) -> dict[str, int]:
    return {str(stem): size for stem, size in sizes.items()}
