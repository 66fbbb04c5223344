"""The manifest of a prepared data set: its files, their origin, and the settings."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import pathlib
import shutil
import time
from collections.abc import Callable, Sequence

from absl import logging

from waveunet_tf.data.estimates import Estimates
from waveunet_tf.data.tracks import SUBSETS, Mending, Track
from waveunet_tf.errors import InputError, list_changes
from waveunet_tf.system import files
from waveunet_tf.system.files import file_sha256
from waveunet_tf.system.progress_lines import with_progress

MANIFEST_VERSION = 2
MANIFEST = "manifest.json"
TAUGHT = "taught"
"""The kind of the manifest that `teach` writes."""
# The folder of entries of tracks that are done, but not in the manifest yet.
_NOTES = ".prepared"
_NO_NAMES = ("", ".", "..")


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a preparation, the same for all its tracks.

    Attributes:
        sample_rate_hz: The model's sample rate in Hz.
        sources: The names of the sources to write.
        bit_depth: 16 with dither, 24, or 32, which is float and never clipped.
        validation: The rule that chose the validation tracks (see splits.split).
        speed: The factor by which tracks are made faster and higher.
        mending: The repairs of tracks that would be refused otherwise.

    Raises:
        InputError: The sources are not different names of files, or a sum or rest of
            `mending` is not among them.
    """

    sample_rate_hz: int
    sources: tuple[str, ...]
    bit_depth: int = 16
    validation: str | None = None
    speed: float = 1.0
    mending: Mending = dataclasses.field(default_factory=Mending)

    def __post_init__(self):
        names = self.sources
        check_stem_names("sources", names)
        if unknown := sorted(set(self.mending.merges) - set(names)):
            raise InputError(
                f"`merges` must be of the sources {', '.join(names)}. "
                f"Received: {unknown[0]}"
            )
        rest = self.mending.rest
        if rest is not None and (
            rest not in names or rest in self.mending.merges or len(names) < 2
        ):
            raise InputError(
                "`rest` must be one of two sources or more, and none of `merges`. "
                f"Received: {rest} of {', '.join(names)}"
            )

    def to_dict(self) -> dict:
        """Returns the settings as the manifest holds them."""
        merges = {name: list(stems) for name, stems in self.mending.merges.items()}
        return {
            "format_version": MANIFEST_VERSION,
            **dataclasses.asdict(self),
            "sources": list(self.sources),
            "mending": {**dataclasses.asdict(self.mending), "merges": merges},
        }


def check_stem_names(argument: str, names: Sequence[str]) -> None:
    """Checks names of which files beside a mixture get theirs.

    Args:
        argument: What they are called, for errors.
        names: The names.

    Raises:
        InputError: They are not different names of files, or there are none.
    """
    if not names or len(set(names)) < len(names) or "mixture" in names:
        raise InputError(
            f"`{argument}` must be different names, and not mixture. "
            f"Received: {', '.join(names) or 'none'}"
        )
    for name in names:
        if not name or name[0] == "." or set(name) & set("/\\\0"):
            raise InputError(f"`{argument}` must be names of files. Received: {name!r}")


def write_manifest(output: pathlib.Path, settings: Settings, entries: dict) -> None:
    """Writes the manifest, with its tracks by subset and name.

    Args:
        output: The prepared folder.
        settings: The settings of the preparation.
        entries: Label → what preparation.prepare_track returned, of each track.
    """

    def place(label: str) -> tuple[int, str]:
        subset, _, name = label.partition("/")
        return SUBSETS.index(subset), name

    ordered = {label: entries[label] for label in sorted(entries, key=place)}
    manifest = {**settings.to_dict(), "tracks": ordered}
    with files.atomic_file(output / MANIFEST) as part:
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")


def note_entry(output: pathlib.Path, label: str, entry: dict) -> None:
    """Notes that a track is done, where only the end of the run writes the manifest.

    Args:
        output: The prepared folder.
        label: The track's label.
        entry: What preparation.prepare_track returned.

    Raises:
        OSError: The note cannot be written.
    """
    name = hashlib.sha256(label.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    with files.atomic_file(output / _NOTES / f"{name}.json") as part:
        part.write_text(json.dumps({"label": label, "entry": entry}), encoding="utf-8")


def forget_notes(output: pathlib.Path) -> None:
    """Removes what note_entry wrote, which the manifest must hold by now."""
    shutil.rmtree(output / _NOTES, ignore_errors=True)


def _noted_entries(output: pathlib.Path, labels: set[str]) -> dict:
    """Reads what note_entry wrote of tracks; broken notes count for nothing."""
    entries = {}
    for path in sorted((output / _NOTES).glob("*.json")):
        with contextlib.suppress(InputError, OSError, KeyError, TypeError):
            note = files.read_json(path)
            _check(note["entry"], _ENTRY, str(path))
            if note["label"] in labels:
                entries[note["label"]] = note["entry"]
    return entries


def read_manifest(output: str | os.PathLike) -> dict:
    """Reads a prepared folder's manifest.

    Returns:
        The settings, and under `tracks` label → entry.

    Raises:
        InputError: The manifest is missing or broken, or of another version.
    """
    path = pathlib.Path(output) / MANIFEST
    try:
        text = path.read_text("utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{output}: must be what `prepare` wrote, but has no {MANIFEST}"
        ) from None
    return parse_manifest(text, path)


def parse_manifest(text: str, path: str | os.PathLike) -> dict:
    """Parses a manifest's text; returns what read_manifest does.

    Args:
        text: The content of the manifest.
        path: The file, for errors.

    Raises:
        InputError: The manifest is broken, or of another version.
    """
    what = f"{path}: must be a manifest, but"
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is no JSON: {error}") from error
    if not isinstance(manifest, dict) or not _is_object(manifest.get("tracks")):
        raise InputError(f"{what} has no `tracks`")
    if manifest.get("kind") == TAUGHT:
        raise InputError(
            f"{path}: must be what `prepare` wrote, but is what `teach` wrote, from "
            "which `prepare --dataset folder --rest …` makes it"
        )
    version = manifest.get("format_version")
    if version != MANIFEST_VERSION:
        raise InputError(
            f"{path}: `format_version` must be {MANIFEST_VERSION}. Received: {version}"
        )
    _check(manifest, _SETTINGS, what)
    for label, entry in manifest["tracks"].items():
        subset, _, name = label.partition("/")
        banned = set(name) & {"/", "\0", os.sep}
        if subset not in SUBSETS or banned or name in _NO_NAMES:
            raise InputError(
                f"{what} a track is not named <subset>/<name>. Received: {label!r}"
            )
        if not _is_object(entry):
            raise InputError(f"{what} {label} is no object")
        _check(entry, _ENTRY, f"{what} {label}:")
        if "estimates" in entry:
            Estimates.from_dict(entry["estimates"], f"{path}: {label}:")
    return manifest


def _check(values: dict, rules: dict[str, Callable], place: str) -> None:
    for name, holds in rules.items():
        if name not in values or not holds(values[name]):
            raise InputError(
                f"{place} `{name}` is not what `prepare` writes. "
                f"Received: {values.get(name)!r}"
            )


def _is_object(value) -> bool:
    return isinstance(value, dict)


def _is_count(value) -> bool:
    return type(value) is int and 0 <= value < 2**53


def _is_name(value) -> bool:
    """Whether a value is a name of a file in the track's folder."""
    return isinstance(value, str) and not (set(value) & set("/\\\0")) and value != ""


# Field → whether a value is one that `prepare` may have written.
_SETTINGS = {
    "sample_rate_hz": lambda value: _is_count(value) and value > 0,
    "sources": lambda value: isinstance(value, list) and all(map(_is_name, value)),
    "bit_depth": lambda value: value in (16, 24, 32),
    "validation": lambda value: value is None or isinstance(value, str),
}
_ENTRY = {
    "origin": lambda value: _is_object(value) and all(map(_is_count, value.values())),
    "frames": _is_count,
    "channels": lambda value: _is_count(value) and value > 0,
    "clipped_samples": _is_count,
    "residual_db": lambda value: (
        isinstance(value, (int, float)) and math.isfinite(value)
    ),
    "sha256": lambda value: _is_object(value) and all(map(_is_name, value)),
}


def merges_of(manifest: dict) -> dict[str, list[str]]:
    """Returns the sources that were merged, each with the stems that it is the sum of.

    Args:
        manifest: What read_manifest returned.
    """
    mending = manifest.get("mending")
    merges = mending.get("merges") if isinstance(mending, dict) else None
    merges = merges if isinstance(merges, dict) else {}
    return {name: stems for name, stems in merges.items() if isinstance(stems, list)}


def entries_of_earlier_run(
    output: pathlib.Path, settings: Settings, tracks: list[Track]
) -> dict:
    """Finds the tracks that an earlier run of the same settings has prepared.

    A track that is gone from the output, or whose origin's files are others, of other
    sizes or written since, is left out, to be prepared again.

    Args:
        output: The folder of the earlier run, if there was one.
        settings: The settings of this run.
        tracks: The tracks of this run.

    Returns:
        Label → entry of the manifest.

    Raises:
        InputError: The output holds something else, an earlier run's tracks in other
            subsets, or another song's track of the same name.
    """
    if not output.exists() or not any(output.iterdir()):
        return {}
    if not (output / MANIFEST).exists():
        raise InputError(
            f"{output}: must be new, empty, or of an earlier run, but holds files "
            f"without a {MANIFEST}"
        )
    manifest = read_manifest(output)
    entries = manifest.pop("tracks")
    if other := list_changes(_with_new_settings(manifest), settings.to_dict()):
        raise InputError(
            f"{output}: must be of an earlier run with the same settings, or be "
            f"another folder. What differs: {', '.join(other)}"
        )
    labels = {track.label: track for track in tracks}
    entries.update(_noted_entries(output, set(labels)))
    subset_of = {track.name: track.subset for track in tracks}
    kept = {}
    for label, entry in entries.items():
        name = label.partition("/")[2]
        if label in labels:
            there = _is_as_prepared(output / label, entry["origin"])
            if there and _is_origin_of(labels[label], entry, settings, output):
                kept[label] = entry
            continue
        if name in subset_of:
            raise InputError(
                f"{output}: tracks must be in the subsets of the earlier run, but "
                f"{label} would now be in {subset_of[name]}"
            )
        logging.warning("%s: is prepared, but is no longer in the source", label)
        kept[label] = entry
    return kept


def _is_origin_of(
    track: Track, entry: dict, settings: Settings, output: pathlib.Path
) -> bool:
    """Whether an entry's origin, which is there, is the files that a track reads now.

    Raises:
        InputError: They have no file in common: these are two songs.
    """
    try:
        paths = track.paths(settings.sources, settings.mending)
    except InputError:  # It cannot be prepared again.
        return True
    now, then = ({*map(os.path.realpath, own)} for own in (paths, entry["origin"]))
    if now and then and not now & then:
        raise InputError(
            f"{output}: {track.label} must be the earlier run's, of {min(then)}, but "
            f"would now be of {min(now)}"
        )
    return now == then


def _with_new_settings(manifest: dict) -> dict:
    """Adds the settings that an old manifest lacks."""
    mending = manifest.get("mending")
    if _is_object(mending):
        manifest = {**manifest, "mending": {"rest": None, **mending}}
    return {"speed": 1.0, **manifest}


def _is_as_prepared(folder: pathlib.Path, origin: dict[str, int]) -> bool:
    with contextlib.suppress(OSError):
        begun, now = os.stat(os.path.join(folder, "")).st_mtime, time.time()
        stats = [(os.stat(path), size) for path, size in origin.items()]
        written = any(begun < stat.st_mtime < now for stat, _ in stats)  # clocks err
        return not written and all(stat.st_size == size for stat, size in stats)
    return False


def verify(output: str | os.PathLike) -> list[str]:
    """Checks a prepared folder against its manifest.

    Returns:
        One line for each file that is missing, changed or not in the manifest.

    Raises:
        InputError: The manifest is missing or broken, or of another version.
    """
    output = pathlib.Path(output)
    manifest = read_manifest(output)
    problems, known = [], set()
    entries = manifest["tracks"].items()
    for label, entry in with_progress(entries, "verify", len(entries)):
        for name, expected in entry["sha256"].items():
            path = output / label / f"{name}.wav"
            known.add(path)
            if not path.is_file():
                problems.append(f"{path}: is missing")
            elif file_sha256(path) != expected:
                problems.append(f"{path}: has changed since it was written")
    for subset in SUBSETS:
        for path in sorted((output / subset).rglob("*.wav")):
            if path not in known:
                problems.append(f"{path}: is not in the manifest")
    return problems
