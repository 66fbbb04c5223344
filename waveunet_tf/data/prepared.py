"""Lists prepared tracks for a training, checked against its network beforehand."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence

import soundfile
from absl import logging

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.manifest import (
    MANIFEST,
    merges_of,
    parse_manifest,
    read_manifest,
)
from waveunet_tf.data.stem_sums import stems_of_sources
from waveunet_tf.errors import InputError

_OF_MONO = "; `prepare --mono_to_stereo` gives mono stems two"
# A share beyond would be none at all, or all.
_LEAST_WEIGHT, _MOST_WEIGHT = 1e-6, 1e6


@dataclasses.dataclass(frozen=True)
class PreparedTrack:
    """A track whose stems can be read as the network needs them.

    Attributes:
        name: `<subset>/<track>`.
        paths: The stems' files, in the order of `stems`; they may be on any file system
            of TensorFlow's.
        stems: For each of the network's sources, the names of its stems.
        frames: The length of the stems.
        kinds: The files' containers and subtypes, in libsndfile's words.
        data_dir: The folder of the data set.
        weight: What multiplies the track's probability to be drawn.
        is_estimated: Whether a teacher estimated its stems.
    """

    name: str
    paths: tuple[str, ...]
    stems: tuple[tuple[str, ...], ...]
    frames: int
    kinds: frozenset[tuple[str, str]] = frozenset()
    data_dir: str = ""
    weight: float = 1.0
    is_estimated: bool = False

    def sums(self, stems: Sequence) -> list:
        """Sums stems to the network's sources.

        Args:
            stems: An array for each of `paths`, such as `(frames, channels)`.

        Returns:
            An array of the same shape for each source; what stands behind the stems,
            as with_mixtures adds it, is left out.
        """
        left = iter(stems)
        return [sum(next(left) for _ in names) for names in self.stems]


def load_prepared(
    data_dir: str | os.PathLike, config: NetworkConfig, subset: str
) -> list[PreparedTrack]:
    """Lists a subset's tracks, checked against the network.

    Args:
        data_dir: A prepared folder, or one of the same layout. It may be on another
            file system of TensorFlow's, such as `gs://bucket/prepared`; then only the
            manifest is checked.
        config: The network. The folder may hold its accompaniment as several stems.
        subset: train, valid or test.

    Raises:
        InputError: The folder has no track of the subset; a source is missing, broken,
            or of another rate than the network's; tracks have other stems than the
            first; the sources of a track differ in length; mono sources are to train a
            stereo network.
    """
    if "://" in str(data_dir):
        return _listed_in_manifest(str(data_dir), config, subset)
    tracks, listed, merges = [], None, {}
    if (pathlib.Path(data_dir) / MANIFEST).exists():
        manifest = read_manifest(data_dir)
        listed, merges = manifest["tracks"], merges_of(manifest)
    for track in find_tracks(data_dir, dataset="folder", subsets=(subset,)):
        label = track.label
        if listed is not None and label not in listed:
            logging.warning("%s: left out, for it is not in the manifest", label)
            continue
        place = f"{data_dir}: {label}"
        if track.problem and listed is None:  # no manifest tells which files count
            raise InputError(f"{place}: {track.problem}")
        stems = stems_of_sources(config.sources, track.sources, place, merges)
        if tracks and stems != tracks[0].stems:
            ours, theirs = (", ".join(sum(of, ())) for of in (stems, tracks[0].stems))
            raise InputError(
                f"{place} must have the same stems as {tracks[0].name}, {theirs}; "
                f"`prepare` writes the same of all. Received: {ours}"
            )
        paths = [track.sources[name].path for names in stems for name in names]
        frames, kinds = _common_frames(paths, config)
        fields = (label, tuple(map(str, paths)), stems, frames, kinds)
        is_estimated = track.estimates is not None
        tracks.append(PreparedTrack(*fields, is_estimated=is_estimated))
    if not tracks:
        raise InputError(
            f"{data_dir}: must hold tracks of {subset} that its {MANIFEST} lists, but "
            "has none"
        )
    told = {label for label in listed or () if label.startswith(f"{subset}/")}
    if missing := sorted(told - {track.name for track in tracks}):
        what = "%s: lacks %d of the %d tracks of %s in its manifest, such as %s"
        logging.warning(what, data_dir, len(missing), len(told), subset, missing[0])
    return tracks


def with_mixtures(
    tracks: Sequence[PreparedTrack], config: NetworkConfig
) -> list[PreparedTrack]:
    """Adds each track's mixture.wav behind its stems, as another file to read.

    Args:
        tracks: The tracks. Where they are not on this machine, nothing is checked.
        config: The network.

    Raises:
        InputError: A track has no mixture.wav, or one of another length or rate.
    """
    found = []
    for track in tracks:
        path = f"{track.paths[0].rpartition('/')[0]}/mixture.wav"
        kinds = track.kinds
        if "://" not in path:
            path = str(pathlib.Path(track.paths[0]).with_name("mixture.wav"))
            if not os.path.exists(path):
                raise InputError(
                    f"{path}: is missing, but --validation_mixture file needs it"
                )
            _, kinds = _common_frames(
                [pathlib.Path(one) for one in (*track.paths, path)], config
            )
        found.append(
            dataclasses.replace(track, paths=(*track.paths, path), kinds=kinds)
        )
    return found


def load_all(
    data_dirs: Sequence[str | os.PathLike],
    config: NetworkConfig,
    subset: str,
    *,
    weights: Sequence[float] | None = None,
) -> list[PreparedTrack]:
    """Lists a subset's tracks of several folders.

    Args:
        data_dirs: The folders; see load_prepared. Some may lack the subset `valid`.
        config: The network.
        subset: train, valid or test.
        weights: The folders' weights, which their tracks get; see check_weights.

    Raises:
        InputError: A folder's tracks do not fit the network (see load_prepared), the
            folders hold different stems, or a weight is out of range.
    """
    tracks = []
    for data_dir, weight in zip(data_dirs, check_weights(data_dirs, weights)):
        if subset != "valid" or has_subset(data_dir, subset):
            tracks += [
                dataclasses.replace(track, data_dir=os.fspath(data_dir), weight=weight)
                for track in load_prepared(data_dir, config, subset)
            ]
            if tracks[-1].stems != tracks[0].stems:
                raise InputError(
                    f"{data_dir}: must have the same stems as {data_dirs[0]}, "
                    f"{tracks[0].stems}. Received: {tracks[-1].stems}"
                )
    return tracks


def check_weights(
    data_dirs: Sequence[str | os.PathLike], weights: Sequence[float] | None
) -> tuple[float, ...]:
    """Checks the weights of data sets.

    Args:
        data_dirs: The folders of the data sets.
        weights: One for each, in their order: a folder of weight 3 is as if it was
            there three times. None or empty: 1 for each.

    Returns:
        The weights.

    Raises:
        InputError: There are more or fewer than folders, or one is out of range.
    """
    if not weights:
        return (1.0,) * len(data_dirs)
    if len(weights) != len(data_dirs):
        raise InputError(
            "`data_weight` must be given once for each `data_dir`, or not at all. "
            f"Received: {len(weights)} weights for {len(data_dirs)} folders"
        )
    for data_dir, weight in zip(data_dirs, weights):
        if not _LEAST_WEIGHT <= weight <= _MOST_WEIGHT:  # nor NaN
            raise InputError(
                f"{data_dir}: its `data_weight` must be a number from "
                f"{_LEAST_WEIGHT:f} to {_MOST_WEIGHT:.0f}. Received: {weight:g}"
            )
    return tuple(map(float, weights))


def has_subset(data_dir: str | os.PathLike, subset: str) -> bool:
    """Returns whether a folder holds tracks of a subset.

    Args:
        data_dir: The folder; see load_prepared.
        subset: train, valid or test.

    Raises:
        InputError: The data set is missing.
    """
    if "://" in str(data_dir):
        labels = _remote_manifest(str(data_dir))["tracks"]
        return any(label.startswith(f"{subset}/") for label in labels)
    tracks = find_tracks(data_dir, dataset="folder")
    return any(track.subset == subset for track in tracks)


def identify(data_dir: str | os.PathLike) -> str:
    """Returns what tells the content of a folder from another's, wherever it lies.

    Args:
        data_dir: The folder; see load_prepared.

    Returns:
        16 hexadecimal digits: a hash of the hashes in the manifest or, without one, of
        the names and sizes of the stems' files.

    Raises:
        InputError: The folder holds no tracks, or its manifest is broken.
        OSError: A stem's file cannot be read.
    """
    if "://" in str(data_dir):
        manifest = _remote_manifest(str(data_dir))
    elif (pathlib.Path(data_dir) / MANIFEST).exists():
        manifest = read_manifest(data_dir)
    else:
        content = {
            f"{track.label}/{name}": stem.path.stat().st_size
            for track in find_tracks(data_dir, dataset="folder")
            for name, stem in track.sources.items()
        }
        return _hash(content)
    tracks = manifest["tracks"].items()
    return _hash({label: entry["sha256"] for label, entry in tracks})


def _hash(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _common_frames(
    paths: Sequence[pathlib.Path], config: NetworkConfig
) -> tuple[int, frozenset]:
    """Checks a track's files; returns their common length, and their kinds."""
    lengths, kinds = {}, set()
    for path in paths:
        try:
            with soundfile.SoundFile(os.fsencode(path)) as info:
                info.seek(max(info.frames - 1, 0))
                whole = len(info.read(1)) == 1
        except soundfile.LibsndfileError as error:
            raise InputError(f"{path}: must be a wav file: {error}") from error
        if not whole:
            raise InputError(f"{path}: must hold audio, to its last frame")
        if info.samplerate != config.sample_rate_hz:
            raise InputError(
                f"{path}: must have the network's sample rate, {config.sample_rate_hz} "
                f"Hz, but has {info.samplerate} Hz; `prepare` resamples"
            )
        if info.channels < config.channels or info.channels > 2:
            raise InputError(
                f"{path}: must have the network's {config.channels} channels, but has "
                f"{info.channels}{_OF_MONO if info.channels == 1 else ''}"
            )
        lengths[path.name] = info.frames
        kinds.add((info.format, info.subtype))
    if len(set(lengths.values())) > 1:
        raise InputError(
            f"{paths[0].parent}: its sources must be of one length. Received: "
            + ", ".join(f"{name}: {frames} frames" for name, frames in lengths.items())
        )
    return info.frames, frozenset(kinds)


def _listed_in_manifest(
    data_dir: str, config: NetworkConfig, subset: str
) -> list[PreparedTrack]:
    """Lists the tracks of a remote manifest, without a look at the files."""
    data_dir = data_dir.rstrip("/")
    manifest = _remote_manifest(data_dir)
    stems = stems_of_sources(
        config.sources, manifest["sources"], f"{data_dir}:", merges_of(manifest)
    )
    if manifest["sample_rate_hz"] != config.sample_rate_hz:
        raise InputError(
            f"{data_dir}: must have the network's sample rate, {config.sample_rate_hz} "
            f"Hz, but has {manifest['sample_rate_hz']} Hz; `prepare` resamples"
        )
    subtype = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}[manifest["bit_depth"]]
    tracks = []
    for label, entry in manifest["tracks"].items():
        if not label.startswith(f"{subset}/"):
            continue
        if entry["channels"] < config.channels:
            raise InputError(
                f"{data_dir}: {label} must have the network's {config.channels} "
                f"channels, but has {entry['channels']}{_OF_MONO}"
            )
        paths = tuple(
            f"{data_dir}/{label}/{name}.wav" for names in stems for name in names
        )
        kinds = frozenset({("WAV", subtype)})
        fields = (label, paths, stems, entry["frames"], kinds)
        tracks.append(PreparedTrack(*fields, is_estimated="estimates" in entry))
    if not tracks:
        raise InputError(f"{data_dir}: must hold tracks of {subset}, but has none")
    return tracks


def _remote_manifest(data_dir: str) -> dict:
    import tensorflow as tf

    path = f"{data_dir.rstrip('/')}/{MANIFEST}"
    try:
        with tf.io.gfile.GFile(path) as file:
            return parse_manifest(file.read(), path)
    except (tf.errors.OpError, UnicodeError) as error:
        raise InputError(
            f"{data_dir}: must be what `prepare` wrote, but its {MANIFEST} cannot be "
            f"read: {error}"
        ) from error
