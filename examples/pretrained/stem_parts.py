"""Prepared stems in a few zip files, small enough to be carried to another machine.

A part `part-00.zip` holds whole tracks: Ogg Vorbis or FLAC at the network's rate, and
`tracks.json`, which says what they are.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import io
import json
import os
import pathlib
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import soundfile

from examples.pretrained.coded_stems import CodedStems, encode_samples
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.data.stem_sums import stems_of_sources
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

_INDEX = "tracks.json"
# Vorbis' level of which music at 22 050 Hz takes some 85 kbit/s.
_COMPRESSION_LEVEL = 0.4
_BLOCK_FRAMES = 16384  # libsndfile crashes on longer blocks of Vorbis.


@dataclasses.dataclass(frozen=True)
class _Form:
    """What all tracks have in common."""

    stems: list[str]
    sample_rate_hz: int
    channels: int

    def __str__(self) -> str:
        stems = ", ".join(self.stems)
        return f"{stems} at {self.sample_rate_hz} Hz with {self.channels} channels"


@dataclasses.dataclass(frozen=True)
class _Track:
    """A track, as an index lists it."""

    name: str
    subset: str
    weight: float
    data_set: str
    frames: int


@dataclasses.dataclass(frozen=True)
class _Index:
    """What a part holds."""

    part: int
    parts: int
    form: _Form
    tracks: list[_Track]

    @classmethod
    def of_json(cls, content: dict) -> _Index:
        """Reads what `dataclasses.asdict` made; TypeError if it is anything else."""
        fields = {**content, "form": _Form(**content["form"])}
        return cls(**{**fields, "tracks": [_Track(**x) for x in content["tracks"]]})


class _PreparedTrack(NamedTuple):
    """A track of a prepared folder, and the files of its stems."""

    track: _Track
    form: _Form
    paths: dict[str, pathlib.Path]


def write_stem_parts(
    data_dirs: Sequence[str | os.PathLike],
    folder: str | os.PathLike,
    *,
    part_bytes: int,
    weights: Sequence[float] | None = None,
    format: str = "ogg",
) -> tuple[int, int, int]:
    """Writes the training and validation tracks of prepared folders into parts.

    Args:
        data_dirs: Folders that `prepare` wrote, with the same stems.
        folder: The folder of the parts, which must be new.
        part_bytes: The size of a part at most, but for a single longer track.
        weights: The folders' weights; see prepared.check_weights.
        format: "ogg" or "flac". Vorbis is lossy, but a mixture is the sum of its
            stems here as well.

    Returns:
        The number of parts, of training tracks and of their frames.

    Raises:
        InputError: A folder lacks training tracks, or all lack validation tracks;
            tracks differ in stems, sample rate or channels; stems are no audio or
            differ in length; or a weight is out of range.
        OSError: A file cannot be read or written.
    """
    found = _find_tracks(data_dirs, weights)
    form = found[0].form
    for prepared_track in found:
        if prepared_track.form != form:
            place = next(iter(prepared_track.paths.values())).parent
            raise InputError(
                f"{place}: must have the form of other tracks, {form}. Received: "
                f"{prepared_track.form}"
            )
    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: must be a new or empty folder")
    with files.atomic_folder(folder) as unfinished:
        parts = list(_in_parts(_encoded(found, format), part_bytes))
        for number, part in enumerate(parts):
            index = _Index(number, len(parts), form, [track for track, _ in part])
            with zipfile.ZipFile(unfinished / f"part-{number:02}.zip", "w") as archive:
                archive.writestr(_INDEX, json.dumps(dataclasses.asdict(index)))
                for place, (_, stems) in enumerate(part):
                    for stem, encoded in stems.items():
                        archive.writestr(f"{place}/{stem}", encoded)
    frames = [track.frames for track, *_ in found if track.subset == "train"]
    return len(parts), len(frames), sum(frames)


def _find_tracks(
    data_dirs: Sequence[str | os.PathLike], weights: Sequence[float] | None
) -> list[_PreparedTrack]:
    """Lists all tracks; some folders may lack validation tracks."""
    from waveunet_tf.data import prepared
    from waveunet_tf.data.datasets import find_tracks

    found = []
    for data_dir, weight in zip(data_dirs, prepared.check_weights(data_dirs, weights)):
        if "://" in str(data_dir):
            raise InputError(f"{data_dir}: must be a folder on this machine")
        has_valid = prepared.has_subset(data_dir, "valid")
        subsets = ("train", "valid") if has_valid else ("train",)
        for subset in subsets:
            for track in find_tracks(data_dir, dataset="folder", subsets=(subset,)):
                paths = {stem: track.sources[stem].path for stem in track.part_names}
                rate_hz, channels, frames = _measures(paths.values())
                form = _Form(list(paths), rate_hz, channels)
                listed = _Track(track.name, subset, weight, os.fspath(data_dir), frames)
                found.append(_PreparedTrack(listed, form, paths))
    if not any(track.subset == "valid" for track, *_ in found):
        raise InputError(f"{data_dirs[0]}: must hold tracks of valid, but has none")
    return found


def _measures(paths: Iterable[pathlib.Path]) -> tuple[int, int, int]:
    """Returns the rate in Hz, the channels and the frames that a track's stems have."""
    measures = {}
    for path in paths:
        with _naming(path):
            info = soundfile.info(path)
        measures[path] = info.samplerate, info.channels, info.frames
    first, *others = measures
    for path in others:
        if measures[path] != measures[first]:
            raise InputError(
                f"{path}: must have the rate, channels and frames of {first.name}, "
                f"{measures[first]}. Received: {measures[path]}"
            )
    return measures[first]


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Makes what libsndfile cannot read bad input, which names the file."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: must be audio: {error}") from error


def _encoded(
    found: Sequence[_PreparedTrack], format: str
) -> Iterator[tuple[_Track, dict[str, bytes]]]:
    """Yields each track and the bytes of its stems."""

    def encode(prepared_track: _PreparedTrack) -> tuple[_Track, dict[str, bytes]]:
        stems = prepared_track.paths.items()
        return prepared_track.track, {
            stem: _encode(path, format) for stem, path in stems
        }

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(encode, found)


def _encode(path: pathlib.Path, format: str) -> bytes:
    lossy = {"subtype": "VORBIS", "compression_level": _COMPRESSION_LEVEL}
    out = io.BytesIO()
    with (
        _naming(path),
        soundfile.SoundFile(path) as stem,
        soundfile.SoundFile(
            *(out, "w", stem.samplerate, stem.channels),
            format=format,
            **(lossy if format == "ogg" else {"subtype": "PCM_16"}),
        ) as encoded,
    ):
        for block in stem.blocks(_BLOCK_FRAMES, dtype="float32"):
            encoded.write(block)
    return out.getvalue()


def _in_parts(encoded, part_bytes: int) -> Iterator[list]:
    """Groups tracks, in their order, into parts of this size."""
    part, left = [], part_bytes
    for track, stems in encoded:
        size = sum(map(len, stems.values()))
        if part and size > left:
            yield part
            part, left = [], part_bytes
        part.append((track, stems))
        left -= size
    yield part


def read_stem_parts(
    folder: str | os.PathLike, subset: str, config: NetworkConfig
) -> CodedStems:
    """Reads a subset of what write_stem_parts wrote, for a network.

    Args:
        folder: The folder of all parts.
        subset: "train" or "valid".
        config: The config of the network.

    Raises:
        InputError: A part is missing or broken, or the sources, sample rate or channels
            are not the network's.
    """
    indexes = _read_indexes(folder)
    form = next(iter(indexes.values())).form
    stems_of = stems_of_sources(config.sources, form.stems, f"{folder}:")
    found = form.sample_rate_hz, form.channels
    wanted = config.sample_rate_hz, config.channels
    if found != wanted:
        raise InputError(
            f"{folder}: must have the network's {wanted[0]} Hz and {wanted[1]} "
            f"channels. Received: {found[0]}, {found[1]}"
        )
    chosen = [
        (path, place, track)
        for path, index in indexes.items()
        for place, track in enumerate(index.tracks)
        if track.subset == subset
    ]
    tracks = [track for *_, track in chosen]
    frames = [track.frames for track in tracks]
    ends = np.cumsum(frames)
    shape = sum(frames), config.channels
    codes = {stem: np.empty(shape, np.int8) for stem in form.stems}

    def decode(number: int) -> None:
        path, place, track = chosen[number]
        for stem, of_stem in codes.items():
            samples = _decode(path, f"{place}/{stem}")
            if samples.shape != (track.frames, config.channels):
                raise InputError(
                    f"{path}: {track.name} must have {track.frames} frames. Received: "
                    f"{len(samples)}"
                )
            end = ends[number]
            of_stem[end - track.frames : end] = encode_samples(samples)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(decode, range(len(chosen))))
    return CodedStems(
        [track.name for track in tracks],
        frames,
        {
            source: {stem: codes[stem] for stem in of}
            for source, of in zip(config.sources, stems_of)
        },
        [track.weight for track in tracks],
        [track.data_set for track in tracks],
    )


def _read_indexes(folder: str | os.PathLike) -> dict[pathlib.Path, _Index]:
    """Reads what each part holds, by its path."""
    paths = sorted(
        pathlib.Path(folder).glob("part-*.zip"), key=lambda path: (len(path.name), path)
    )
    indexes = {path: _read_index(path) for path in paths}
    if not indexes:
        raise InputError(f"{folder}: must hold parts, part-00.zip and so on")
    first = indexes[paths[0]]
    for path, index in indexes.items():
        if (index.parts, index.form) != (first.parts, first.form):
            raise InputError(
                f"{path}: must be packed together with {paths[0].name}, but is of "
                f"{index.parts} parts, {index.form}"
            )
    if [index.part for index in indexes.values()] != [*range(first.parts)]:
        raise InputError(
            f"{folder}: must hold all {first.parts} parts, part-00.zip and so on. "
            f"Received: {len(paths)}"
        )
    return indexes


def _read_index(path: pathlib.Path) -> _Index:
    try:
        with zipfile.ZipFile(path) as archive:
            return _Index.of_json(json.loads(archive.read(_INDEX)))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: must be a part of stems: {error}") from error


def _decode(path: pathlib.Path, name: str) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive:
            encoded = archive.read(name)
        return soundfile.read(io.BytesIO(encoded), dtype="float32", always_2d=True)[0]
    except (
        *(OSError, KeyError, EOFError, zipfile.BadZipFile),
        soundfile.LibsndfileError,
    ) as error:
        raise InputError(f"{path}: {name} must be audio: {error}") from error
