"""Teachers: separators of the project, and other programs whose stems lie in a folder.

song ─▶ teacher ─▶ a lesson: the mixture and the teacher's estimates, in step
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from waveunet_tf.audio.blocks import Queue, to_channels
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.formats import SUFFIXES, song_name
from waveunet_tf.data.tracks import AudioStream, Track, TrackReader
from waveunet_tf.errors import InputError
from waveunet_tf.system.files import file_sha256

if TYPE_CHECKING:
    from waveunet_tf.separation.separator import Separator


class Lesson(Protocol):
    """A song and a teacher's estimates of its sources, to be read in step once.

    Attributes:
        sample_rate_hz: Their sample rate in Hz.
        channels: Their channels, 1 or 2.
        sha256: The hash of the teacher, or of its estimates of this song.
    """

    sample_rate_hz: int
    channels: int
    sha256: str

    def blocks(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields `mixture` and stems, float32 `(frames, channels)`, equally long.

        Raises:
            InputError: The song or an estimate is broken, or they do not fit together.
        """


class Teacher(Protocol):
    """Estimates the sources of songs.

    Attributes:
        kind: What it is, such as checkpoint.
        name: Its name.
        sources: The sources that it estimates; None: what is there for each song.
        sha256: Its hash; None: each song's estimates have their own.
    """

    kind: str
    name: str
    sources: tuple[str, ...] | None
    sha256: str | None

    def open(
        self, song: pathlib.Path, stems: tuple[str, ...]
    ) -> contextlib.AbstractContextManager[Lesson]:
        """Opens a song for its lesson.

        Args:
            song: The song.
            stems: The stems to estimate.

        Raises:
            InputError: The song cannot be read, or there are no estimates of it.
            OSError: A file cannot be read.
        """


class SeparatorTeacher:
    """A separator of the project as a `Teacher`."""

    def __init__(self, separator: Separator, kind: str, name: str, sha256: str):
        """Takes a separator, what it is, its name and its hash."""
        self.kind, self.name, self.sha256 = kind, name, sha256
        self.sources = tuple(separator.config.sources)
        self._separator = separator

    @contextlib.contextmanager
    def open(self, song: pathlib.Path, stems: tuple[str, ...]) -> Iterator[Lesson]:
        """Opens a song; see `Teacher`."""
        with AudioReader(song) as reader:
            if reader.channels > 2:
                raise InputError(
                    f"{song}: must be mono or stereo. Received: {reader.channels} "
                    "channels"
                )
            yield _SeparatorLesson(self._separator, reader, stems, self.sha256)


class _SeparatorLesson:
    """A `Lesson` of a separator, in constant memory."""

    def __init__(
        self,
        separator: Separator,
        reader: AudioReader,
        stems: tuple[str, ...],
        sha256: str,
    ):
        self.sample_rate_hz, self.channels = reader.sample_rate_hz, reader.channels
        self.sha256 = sha256
        self._stream = separator.stream(reader.sample_rate_hz, reader.channels)
        self._stream.argument = "song"
        self._reader, self._stems = reader, stems

    def blocks(self) -> Iterator[dict[str, np.ndarray]]:
        song = Queue(self.channels)
        for block in self._reader.blocks():
            song.put(block)
            yield self._in_step(song, self._stream.push(block))
        yield self._in_step(song, self._stream.finish())

    def _in_step(self, song: Queue, sources: dict) -> dict[str, np.ndarray]:
        stems = {
            name: to_channels(sources[name], self.channels) for name in self._stems
        }
        frames = len(next(iter(stems.values())))
        return {"mixture": song.take(frames), **stems}


class FolderTeacher:
    """Another program's estimates as a `Teacher`: `<folder>/<song>/<stem>.<wav|…>`."""

    kind = "stems"
    sources = None
    sha256 = None

    def __init__(self, folder: str | os.PathLike, name: str | None = None):
        """Takes the folder, and the program's name; by default the folder's.

        Raises:
            InputError: There is no such folder.
        """
        self._folder = pathlib.Path(folder)
        if not self._folder.is_dir():
            raise InputError(f"{folder}: must be a folder of estimates, but is none")
        self.name = name or self._folder.resolve().name

    @contextlib.contextmanager
    def open(self, song: pathlib.Path, stems: tuple[str, ...]) -> Iterator[Lesson]:
        """Opens a song and its estimates; see `Teacher`."""
        paths = {stem: self._path(song, stem) for stem in stems}
        sources = {stem: AudioStream(path) for stem, path in paths.items()}
        track = Track(song_name(song), "train", sources, AudioStream(song))
        with track.open(stems) as reader:
            hashes = " ".join(file_sha256(path) for path in paths.values())
            yield _FolderLesson(reader, hashlib.sha256(hashes.encode()).hexdigest())

    def _path(self, song: pathlib.Path, stem: str) -> pathlib.Path:
        folder = self._folder / song_name(song)
        inside = sorted(folder.iterdir()) if folder.is_dir() else []
        found = [
            path
            for path in inside
            if path.stem == stem and path.suffix.lower() in SUFFIXES
        ]
        if len(found) != 1:
            names = ", ".join(path.name for path in inside) or "nothing"
            raise InputError(
                f"{folder}: must have one estimate {stem}.<wav|flac|mp3|…> of "
                f"{song.name}. Received: {names}"
            )
        return found[0]


class _FolderLesson:
    """A `Lesson` of estimates that are there, read in step with their song."""

    def __init__(self, reader: TrackReader, sha256: str):
        self.sample_rate_hz, self.channels = reader.sample_rate_hz, reader.channels
        self.sha256 = sha256
        self.blocks = reader.blocks
