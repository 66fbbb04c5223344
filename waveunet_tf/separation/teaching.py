"""Lets a teacher label songs: a separator of the project, or another program's stems.

songs ─▶ teacher ─▶ a folder for each song, of its mixture and the teacher's estimates
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import tqdm

from waveunet_tf.audio.blocks import Queue, to_channels
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.audio.formats import SUFFIXES, song_name
from waveunet_tf.data.estimates import EstimateLevels, Estimates
from waveunet_tf.data.manifest import MANIFEST, TAUGHT
from waveunet_tf.data.tracks import AudioStream, Track
from waveunet_tf.errors import InputError
from waveunet_tf.separation.song_job import Failure, oddities_explained
from waveunet_tf.separation.song_search import find_songs
from waveunet_tf.system import files, own_folders
from waveunet_tf.system.files import file_sha256

if TYPE_CHECKING:
    from waveunet_tf.separation.separator import Separator

_VERSION = 1
_SUBSET = "train"


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
        track = Track(song_name(song), _SUBSET, sources, AudioStream(song))
        with track.open(stems) as reader:
            hashes = " ".join(file_sha256(path) for path in paths.values())
            reader.sha256 = hashlib.sha256(hashes.encode()).hexdigest()
            yield reader

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


def teach_songs(
    songs: Iterable[str | os.PathLike],
    output: str | os.PathLike,
    teacher: Teacher,
    *,
    stems: Sequence[str] = ("vocals",),
    bit_depth: int = 16,
    recursive: bool = False,
) -> list[Failure]:
    """Writes songs and a teacher's estimates as tracks, `<output>/train/<song>/*.flac`.

    `manifest.json` beside them says of each song what the mixture is, who the teacher
    was, and that the stems are estimates. A song of the manifest is not taught again: a
    stopped run goes on.

    Args:
        songs: Files, folders or patterns; a song that is named twice is taught once.
        output: A folder that is new, empty, or of an earlier run of the same teacher.
        teacher: The teacher.
        stems: The stems to write. `prepare` makes the one that is missing, as the
            mixture less the others.
        bit_depth: 16 with dither, or 24.
        recursive: Whether the files of folders in folders are taught, too.

    Returns:
        What could not be done; all other songs are taught.

    Raises:
        InputError: The teacher gives no such stem; or the output holds something else,
            or another run is at work in it.
        OSError: The output cannot be written.
    """
    stems = tuple(stems)
    if not stems or (teacher.sources and set(stems) - set(teacher.sources)):
        raise InputError(
            f"{teacher.name}: as a teacher must give {', '.join(stems) or 'a stem'}. "
            f"Received: {', '.join(teacher.sources or ['no stem'])}"
        )
    output, failures = pathlib.Path(output), []
    found = _find_songs(songs, output, recursive, failures)
    with files.locked_folder(output), decoding_apart():
        record = _Record(output, teacher, stems, bit_depth)
        files.remove_parts(output / _SUBSET)
        for name, song in tqdm.tqdm(found.items(), "teach", unit="song", disable=None):
            try:
                with oddities_explained(song):
                    if record.lacks(name, song):
                        _teach(song, name, teacher, record)
            except (InputError, OSError) as error:
                if isinstance(error, OSError) and error.errno in files.FULL_DISK:
                    raise  # no other song could be written either
                failures.append(Failure(os.fspath(song), error))
    return failures


def _find_songs(
    songs: Iterable[str | os.PathLike],
    output: pathlib.Path,
    recursive: bool,
    failures: list[Failure],
) -> dict[str, pathlib.Path]:
    """Finds the songs: name → file; notes what cannot be found, or has a name twice."""

    def note(what: str | os.PathLike, error: InputError | OSError) -> None:
        failures.append(Failure(os.fspath(what), error))

    found: dict[str, pathlib.Path] = {}
    for argument in songs:
        try:
            for song in find_songs(
                argument,
                recursive=recursive,
                leave_out=output,
                on_error=lambda error: note(error.filename, error),
            ):
                first = found.setdefault(song_name(song.path), song.path)
                if files.real_path(first) != files.real_path(song.path):
                    rule = f"must have a name of its own, but {first} has the same"
                    note(song.path, InputError(f"{song.path}: {rule}"))
        except (InputError, OSError) as error:
            note(argument, error)
    return found


class _Record:
    """The manifest of taught songs, written anew after each."""

    def __init__(
        self,
        output: pathlib.Path,
        teacher: Teacher,
        stems: tuple[str, ...],
        bit_depth: int,
    ):
        """Reads what an earlier run wrote, or begins.

        Raises:
            InputError: The folder holds something else.
        """
        self.folder = output / _SUBSET
        self._output = output
        self.stems, self.bit_depth = stems, bit_depth
        self._settings = {
            "kind": TAUGHT,
            "format_version": _VERSION,
            "stems": list(stems),
            "bit_depth": bit_depth,
            "teacher": {
                **{"kind": teacher.kind, "name": teacher.name},
                **({"sha256": teacher.sha256} if teacher.sha256 else {}),
            },
        }
        self._tracks = {}
        if (output / MANIFEST).exists():
            earlier = files.read_json(output / MANIFEST)
            earlier = dict(earlier) if isinstance(earlier, dict) else {}
            self._tracks = earlier.pop("tracks", {})
            if earlier != self._settings or not isinstance(self._tracks, dict):
                raise InputError(
                    f"{output}: must be new, or of an earlier run with "
                    f"{self._settings}, but its {MANIFEST} has {earlier}"
                )
        elif any(output.iterdir()):
            raise InputError(
                f"{output}: must be new, empty, or of an earlier run, but holds files "
                f"without a {MANIFEST}"
            )

    def lacks(self, name: str, song: pathlib.Path) -> bool:
        """Returns whether a song is still to be taught, for example as it changed."""
        entry = self._tracks.get(f"{_SUBSET}/{name}")
        there = entry is not None and (self.folder / name).is_dir()
        return not there or entry.get("mixture") != _origin(song)

    def add(self, name: str, entry: Mapping) -> None:
        """Adds a song, and writes the manifest."""
        self._tracks[f"{_SUBSET}/{name}"] = dict(entry)
        ordered = {label: self._tracks[label] for label in sorted(self._tracks)}
        with files.atomic_file(self._output / MANIFEST) as part:
            text = json.dumps(
                {**self._settings, "tracks": ordered}, indent=1, ensure_ascii=False
            )
            part.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")


def _origin(song: pathlib.Path) -> dict[str, str | int]:
    """Says what a mixture is: the song's file, its size and its hash."""
    return {
        "path": os.path.abspath(song),
        "bytes": song.stat().st_size,
        "sha256": file_sha256(song),
    }


def _teach(song: pathlib.Path, name: str, teacher: Teacher, record: _Record) -> None:
    """Writes a song's folder, which appears when it is whole, in constant memory.

    Its entry in the manifest comes before it, so that no estimates pass for true stems.

    Raises:
        InputError: The song or an estimate cannot be used.
        OSError: A file cannot be written.
    """
    levels, frames, stems = EstimateLevels(), 0, record.stems
    folder = record.folder / name
    if folder.exists():  # a run was stopped before it could record it, or it changed
        names = [f"{stem}.flac" for stem in ("mixture", *stems)]
        own_folders.remove_files(folder, names)
    with teacher.open(song, stems) as lesson, files.atomic_folder(folder) as part:
        with contextlib.ExitStack() as stack:
            writers = {
                stem: stack.enter_context(
                    AudioWriter(
                        part / f"{stem}.flac",
                        lesson.sample_rate_hz,
                        lesson.channels,
                        bit_depth=record.bit_depth,
                    )
                )
                for stem in ("mixture", *stems)
            }
            for block in lesson.blocks():
                levels.add(block)
                frames += len(block["mixture"])
                for stem, writer in writers.items():
                    writer.write(block[stem])
        levels.check(song)
        for stem in stems:
            if levels.is_silent(stem):
                raise InputError(
                    f"{song}: {teacher.name}'s estimate of {stem} must have sound. "
                    "Received: silence throughout (a song without it is a track of its "
                    "other stems, and needs no teacher)"
                )
        entry = {
            "mixture": _origin(song),
            "frames": frames,
            "channels": lesson.channels,
            "sample_rate_hz": lesson.sample_rate_hz,
            "clipped_samples": sum(w.clipped_samples for w in writers.values()),
            "level_db": {stem: round(levels.level_db(stem), 2) for stem in stems},
            "estimates": Estimates(
                stems,
                {"kind": teacher.kind, "name": teacher.name, "sha256": lesson.sha256},
            ).to_dict(),
            "sha256": {stem: file_sha256(part / f"{stem}.flac") for stem in writers},
        }
        record.add(name, entry)
