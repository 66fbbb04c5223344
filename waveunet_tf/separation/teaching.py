"""Lets a teacher label songs, as tracks to train on.

songs ─▶ teacher ─▶ a folder for each song, of its mixture and the teacher's estimates
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.audio.formats import check_format, song_name
from waveunet_tf.data.estimates import EstimateLevels, Estimates
from waveunet_tf.data.manifest import MANIFEST, TAUGHT, check_stem_names
from waveunet_tf.errors import InputError
from waveunet_tf.separation.song_job import Failure, oddities_explained
from waveunet_tf.separation.song_search import find_songs
from waveunet_tf.separation.teachers import Teacher
from waveunet_tf.system import files, own_folders
from waveunet_tf.system.files import file_sha256
from waveunet_tf.system.progress_lines import with_progress

_VERSION = 1
_SUBSET = "train"


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
        InputError: The stems are no different names of files, or the teacher does not
            give one; or the output holds something else,
            or another run is at work in it.
        OSError: The output cannot be written.
    """
    stems = tuple(stems)
    check_stem_names("stems", stems)
    if teacher.sources and set(stems) - set(teacher.sources):
        raise InputError(
            f"{teacher.name}: as a teacher must give {', '.join(stems)}. "
            f"Received: {', '.join(teacher.sources)}"
        )
    output, failures = pathlib.Path(output), []
    found = _find_songs(songs, output, recursive, failures)
    with files.locked_folder(output), decoding_apart():
        record = _Record(output, teacher, stems, bit_depth)
        files.remove_parts(output / _SUBSET)
        for name, song in with_progress(found.items(), "teach", len(found), "song"):
            try:
                with oddities_explained(song):
                    if record.lacks(name, song):
                        _teach(song, name, teacher, record)
            except (InputError, OSError) as error:
                if isinstance(error, OSError) and error.errno in files.FULL_DISK:
                    raise  # no other song could be written either
                failures.append(Failure(os.fspath(song), error))
    return failures


def count_taught(output: str | os.PathLike) -> int:
    """Returns how many songs `teach_songs` has written into a folder.

    Raises:
        InputError: The folder's manifest is broken.
    """
    path = pathlib.Path(output, MANIFEST)
    # There is none where no song could be taught.
    return len(files.read_json(path)["tracks"]) if path.exists() else 0


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
                on_error=note,
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
            if earlier.get("kind") != TAUGHT:
                raise InputError(
                    f"{output}: must be new, or of an earlier run, but its {MANIFEST} "
                    "is not what `teach` writes"
                )
            for field, value in self._settings.items():
                if earlier.get(field) != value:
                    raise InputError(
                        f"{output}: must be new, or of an earlier run of the same "
                        f"`{field}`. Received: {_shown(value)}; its {MANIFEST} has "
                        f"{_shown(earlier.get(field))}"
                    )
            if not isinstance(self._tracks, dict):
                raise InputError(f"{output}: its {MANIFEST} must have `tracks`")
        elif any(output.iterdir()):
            raise InputError(
                f"{output}: must be new, empty, or of an earlier run, but holds files "
                f"without a {MANIFEST}"
            )

    def lacks(self, name: str, song: pathlib.Path) -> bool:
        """Returns whether a song is still to be taught, for example as it changed.

        Raises:
            InputError: The track of this name is another song's, which is still there.
        """
        entry = self._tracks.get(f"{_SUBSET}/{name}")
        if entry is None or not (self.folder / name).is_dir():
            return True
        earlier, now = entry.get("mixture"), _origin(song)
        if earlier == now:
            return False
        _require_same_song(song, earlier, now)
        return True

    def add(self, name: str, entry: Mapping) -> None:
        """Adds a song, and writes the manifest."""
        self._tracks[f"{_SUBSET}/{name}"] = dict(entry)
        ordered = {label: self._tracks[label] for label in sorted(self._tracks)}
        with files.atomic_file(self._output / MANIFEST) as part:
            text = json.dumps(
                {**self._settings, "tracks": ordered}, indent=1, ensure_ascii=False
            )
            part.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")


def _shown(value: object) -> str:
    """Shows a setting: a teacher by kind, name and hash, others as they are."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    return " ".join(str(part)[:64] for part in value.values())


def _origin(song: pathlib.Path) -> dict[str, str | int]:
    """Says what a mixture is: the song's file, its size and its hash."""
    return {
        "path": os.path.abspath(song),
        "bytes": song.stat().st_size,
        "sha256": file_sha256(song),
    }


def _require_same_song(song: pathlib.Path, earlier: object, now: dict) -> None:
    """Requires that a song may take the place of the one that has its name.

    Raises:
        InputError: That one is another file of other content, which is still there.
    """
    known = earlier if isinstance(earlier, dict) else {}
    path = str(known.get("path"))
    is_other = path != now["path"] and known.get("sha256") != now["sha256"]
    if is_other and os.path.exists(path):
        raise InputError(
            f"{song}: must have a name of its own, but {path} has the same"
        )


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
        check_format(folder / "mixture.flac", sample_rate_hz=lesson.sample_rate_hz)
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
