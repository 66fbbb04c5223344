"""Lists the tracks of data sets of several layouts on disk."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from absl import logging

from waveunet_tf.audio.formats import COMPANION_SUFFIXES, SUFFIXES, song_name
from waveunet_tf.data import splits
from waveunet_tf.data.estimates import Estimates, read_estimates
from waveunet_tf.data.manifest import MANIFEST
from waveunet_tf.data.sigsep import musdb_setup
from waveunet_tf.data.tracks import SUBSETS, AudioStream, Track
from waveunet_tf.errors import InputError


def find_tracks(
    root: str | os.PathLike,
    *,
    dataset: str | None = None,
    subsets: tuple[str, ...] = SUBSETS,
    validation: str | None = None,
) -> list[Track]:
    """Lists the tracks below a folder, by subset and name.

    Args:
        root: The data set's folder.
        dataset: The layout, one of `DATASETS`; by default tracks of musdb18's and of
            folder's layout are listed.
        subsets: The subsets to list.
        validation: The training tracks that become the subset `valid`; see
            splits.split. By default musdb's official 14 of MUSDB18; of other data sets
            the tracks in a folder of that name.

    Raises:
        InputError: The folder is missing, or holds no track; two tracks have the same
            name; the data set does not fit the split.
    """
    root = pathlib.Path(root)
    if not root.is_dir():
        raise InputError(f"{root}: must be a folder of tracks, but is none")
    layouts = [DATASETS[name] for name in ([dataset] if dataset else _DEFAULT)]
    tracks = []
    for layout in layouts:
        found = layout.find(root)
        how = validation or layout.validation
        tracks += splits.split(found, how) if found and how else found
    labels = [track.label for track in tracks]
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise InputError(
            f"{root}: tracks must have different names, but {len(twice)} are there "
            f"twice, such as {twice[0]}"
        )
    tracks = [track for track in tracks if track.subset in subsets]
    if not tracks:
        expected = " or ".join(layout.layout for layout in layouts)
        raise InputError(
            f"{root}: must hold tracks of {' or '.join(subsets)}, as {expected}, but "
            "has none"
        )
    return sorted(tracks, key=lambda track: (SUBSETS.index(track.subset), track.name))


def _musdb18_tracks(root: pathlib.Path) -> list[Track]:
    stream_of = dict(musdb_setup()["stem_ids"])
    mixture = stream_of.pop("mixture")
    return [
        Track(
            song_name(path),
            subset,
            {source: AudioStream(path, number) for source, number in stream_of.items()},
            AudioStream(path, mixture),
        )
        for subset in ("train", "test")
        for path in (root / subset).glob("[!.]*.stem.mp4")
    ]


def _musdb18hq_tracks(root: pathlib.Path) -> list[Track]:
    names = set(musdb_setup()["stem_ids"])
    tracks = []
    for track in _folder_tracks(root):
        stems = {*track.sources, *(["mixture"] if track.mixture else [])}
        problem = track.problem
        if not problem and stems != names:
            problem = (
                f"must have the files of MUSDB18-HQ, {', '.join(sorted(names))}, but "
                f"has {', '.join(sorted(stems))}"
            )
        tracks.append(dataclasses.replace(track, problem=problem))
    return tracks


def _ccmixter_tracks(root: pathlib.Path) -> list[Track]:
    """Lists the vocal-separation set of Liutkus et al., as the original reads it."""
    streams = {
        "mixture": "mix.wav",
        "accompaniment": "source-01.wav",
        "vocals": "source-02.wav",
    }
    tracks = []
    for folder in _folders(root):
        found = {
            name: AudioStream(folder / file)
            for name, file in streams.items()
            if (folder / file).exists()
        }
        if not found:
            logging.warning("%s: is no track, for it has none of the files", folder)
            continue
        missing = [file for name, file in streams.items() if name not in found]
        problem = f"must have a {missing[0]}, but has none" if missing else None
        mixture = found.pop("mixture", None)
        tracks.append(Track(folder.name, "train", found, mixture, problem))
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
    estimates = _KnownEstimates(root)
    tracks = []
    for subset, folder in folders:
        stems, problem = {}, None
        try:
            inside = sorted(folder.iterdir())
        except OSError as error:
            problem = f"its folder cannot be read: {error.strerror}"
            tracks.append(Track(folder.name, subset, {}, problem=problem))
            continue
        for path in inside:
            suffix = path.suffix.lower()
            if path.name.startswith(".") or suffix in COMPANION_SUFFIXES:
                continue
            if suffix not in SUFFIXES:
                if path.is_file():
                    problem = (
                        f"must have stems and texts alone, but has {path.name}, which "
                        "is neither by its name"
                    )
                continue
            if path.stem in stems:
                problem = (
                    "must have one file a source, but has "
                    f"{stems[path.stem].path.name} and {path.name}"
                )
            stems[path.stem] = AudioStream(path)
        mixture = stems.pop("mixture", None)
        if stems:
            track = Track(folder.name, subset, stems, mixture, problem)
            of = estimates.of_track(folder, subset)
            tracks.append(dataclasses.replace(track, estimates=of))
        else:
            logging.warning("%s: is no track, for it has no stems", folder)
    return tracks


class _KnownEstimates:
    """Knows which tracks have estimates for stems, by the manifests around them."""

    def __init__(self, root: pathlib.Path):
        self._root = root
        self._told: dict[pathlib.Path, dict[str, Estimates]] = {}

    def of_track(self, folder: pathlib.Path, subset: str) -> Estimates | None:
        """Returns a track's estimates, which the root or its own data set may tell."""
        real = folder.resolve()  # a link leads to a track of another data set
        own = real.parent.parent if real.parent.name in SUBSETS else real.parent
        return self._told_by(self._root, subset, folder.name) or self._told_by(
            own, real.parent.name, real.name
        )

    def _told_by(
        self, data_set: pathlib.Path, subset: str, name: str
    ) -> Estimates | None:
        if data_set not in self._told:
            self._told[data_set] = read_estimates(data_set / MANIFEST)
        told = self._told[data_set]
        return told.get(f"{subset}/{name}", told.get(name))


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
    if not root.is_dir():
        return []
    return [path for path in root.iterdir() if path.is_dir() and path.name[0] != "."]


class Dataset(NamedTuple):
    """A kind of data set.

    Attributes:
        find: Lists the tracks below a folder.
        layout: The files' paths below the folder, for help and errors.
        validation: The split by default, as in splits.split; None: the folders'.
    """

    find: Callable[[pathlib.Path], list[Track]]
    layout: str
    validation: str | None = None


DATASETS = {
    "musdb18": Dataset(_musdb18_tracks, "<train|test>/<track>.stem.mp4", "musdb"),
    "folder": Dataset(
        _folder_tracks,
        "<train|valid|test>/<track>/<source>.<wav|flac|…>, or <track>/<source>.<…>",
    ),
    "musdb18hq": Dataset(
        _musdb18hq_tracks,
        "<train|test>/<track>/<mixture|vocals|drums|bass|other>.wav",
        "musdb",
    ),
    "ccmixter": Dataset(
        _ccmixter_tracks, "<track>/mix.wav, source-01.wav and source-02.wav"
    ),
}
# The layouts that are looked for where none is named.
_DEFAULT = ("musdb18", "folder")
