"""Data sets as lists of tracks, whatever their layout on disk."""

from __future__ import annotations

import dataclasses
import importlib.resources
import os
import pathlib

import numpy as np
import yaml
from absl import logging

from waveunet_tf import audio
from waveunet_tf.decode import SUFFIXES
from waveunet_tf.errors import InputError
from waveunet_tf.sigsep import import_sigsep

DATASETS = ("folder", "musdb18")
SUBSETS = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True)
class AudioStream:
    """One audio stream of a file."""

    path: pathlib.Path
    stream: int = 0

    def read(self) -> tuple[np.ndarray, int]:
        """Float32 `(frames, channels)` and the sample rate in Hz; see audio.read."""
        return audio.read(self.path, stream=self.stream)


@dataclasses.dataclass(frozen=True)
class Track:
    """A song and its stems.

    Attributes:
        name: the song's name.
        subset: train, valid or test.
        sources: the stems by name.
        mixture: the song itself; None: it is the sum of the stems.
    """

    name: str
    subset: str
    sources: dict[str, AudioStream]
    mixture: AudioStream | None = None

    def read(self, names: tuple[str, ...]) -> tuple[dict[str, np.ndarray], int]:
        """Decodes the mixture and the named sources.

        Args:
            names: sources; `accompaniment`, where there is no such stem, is the sum of
                all stems but the vocals, as in musdb.

        Returns:
            `mixture` and each name → float32 `(frames, channels)`; the sample rate in
            Hz.

        Raises:
            InputError: a name is no stem of this track, or stems differ in length,
                channels or rate.
        """
        parts = {name: self._parts(name) for name in names}
        parts["mixture"] = (self.mixture,) if self.mixture else self._all_parts()
        decoded = {}
        for stream in {stream for streams in parts.values() for stream in streams}:
            decoded[stream] = stream.read()
        formats = {
            stream: (*samples.shape, rate)
            for stream, (samples, rate) in decoded.items()
        }
        if len(set(formats.values())) > 1:
            listing = "; ".join(
                f"{stream.path.name}[{stream.stream}]: {frames} frames, "
                f"{channels} channels, {rate} Hz"
                for stream, (frames, channels, rate) in formats.items()
            )
            raise InputError(
                f"{self.subset}/{self.name}: its stems must agree in length, channels "
                f"and rate. Received: {listing}"
            )
        rate = next(iter(decoded.values()))[1]
        return {
            name: sum(decoded[stream][0] for stream in streams)
            for name, streams in parts.items()
        }, rate

    def _all_parts(self) -> tuple[AudioStream, ...]:
        """What adds up to the mixture: not the accompaniment beside its own parts."""
        names = set(self.sources)
        if names - {"vocals", "accompaniment"}:
            names -= {"accompaniment"}
        return tuple(self.sources[name] for name in sorted(names))

    def _parts(self, name: str) -> tuple[AudioStream, ...]:
        if name in self.sources:
            return (self.sources[name],)
        rest = tuple(
            stream for source, stream in self.sources.items() if source != "vocals"
        )
        if name == "accompaniment" and rest and "vocals" in self.sources:
            return rest
        raise InputError(
            f"{self.subset}/{self.name}: has no source {name} (in this spelling), only "
            f"{', '.join(sorted(self.sources))}"
        )


def find_tracks(
    root: str | os.PathLike,
    *,
    dataset: str | None = None,
    subsets: tuple[str, ...] = SUBSETS,
) -> list[Track]:
    """Lists the tracks below a folder, by subset and name.

    Args:
        root: the data set's folder.
        dataset: `musdb18`: `<root>/<train|test>/<track>.stem.mp4`, of which musdb's
            official validation tracks become the subset `valid`. `folder`: stems
            `<root>/<train|valid|test>/<track>/<source>.<wav, flac, …>`, as MUSDB18-HQ
            has them, or `<root>/<track>/<source>.<…>`, all of them `train`. By default
            what is found.
        subsets: the subsets wished for.

    Raises:
        InputError: there is no such folder, or no track in it.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: must be a folder of tracks, but is none")
    listers = {"musdb18": _musdb18_tracks, "folder": _folder_tracks}
    tracks = []
    for name in [dataset] if dataset else DATASETS:
        tracks += listers[name](root)
    tracks = [track for track in tracks if track.subset in subsets]
    if not tracks:
        layouts = {"musdb18": "<subset>/<track>.stem.mp4"}
        layouts["folder"] = "<subset>/<track>/<source>.wav"
        expected = [layouts[dataset]] if dataset else layouts.values()
        raise InputError(
            f"{root}: must hold tracks of {' or '.join(subsets)}, as "
            f"{' or '.join(expected)}, but has none"
        )
    order = {subset: number for number, subset in enumerate(SUBSETS)}
    return sorted(tracks, key=lambda track: (order[track.subset], track.name))


def _musdb18_tracks(root: pathlib.Path) -> list[Track]:
    with (importlib.resources.files(import_sigsep("musdb")) / "configs/mus.yaml").open(
        encoding="utf-8"
    ) as file:
        setup = yaml.safe_load(file)
    tracks = []
    for subset in ("train", "test"):
        for path in (root / subset).glob("*.stem.mp4"):
            name = audio.stem_name(path)
            validation = subset == "train" and name in setup["validation_tracks"]
            stream_of = dict(setup["stem_ids"])
            mixture = AudioStream(path, stream_of.pop("mixture"))
            sources = {
                source: AudioStream(path, stream)
                for source, stream in stream_of.items()
            }
            tracks.append(
                Track(name, "valid" if validation else subset, sources, mixture)
            )
    return tracks


def _folder_tracks(root: pathlib.Path) -> list[Track]:
    if any((root / subset).is_dir() for subset in SUBSETS):
        folders = [
            (subset, folder) for subset in SUBSETS for folder in _folders(root / subset)
        ]
        for folder in _folders(root):
            if folder.name not in SUBSETS:
                logging.warning("%s: left out, for it is no subset", folder)
    else:
        folders = [("train", folder) for folder in _folders(root)]
    tracks = []
    for subset, folder in folders:
        stems = {}
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
                continue
            if path.stem in stems:
                raise InputError(
                    f"{folder}: must have one file a source. Received: "
                    f"{stems[path.stem].path.name}, {path.name}"
                )
            stems[path.stem] = AudioStream(path)
        mixture = stems.pop("mixture", None)
        if stems:
            tracks.append(Track(folder.name, subset, stems, mixture))
        else:
            logging.warning("%s: no track, for it holds no stems", folder)
    return tracks


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
    if not root.is_dir():
        return []
    return [path for path in root.iterdir() if path.is_dir() and path.name[0] != "."]
