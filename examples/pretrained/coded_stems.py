"""Stems of many tracks in one small .npz file, 8 bits a sample.

The code is the μ-law of ITU-T G.711 without its segments. Its noise lies some 38 dB
below the music.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.data.stem_sums import stems_of_sources
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

_MU = 255


@dataclasses.dataclass(frozen=True)
class CodedStems:
    """The tracks of one subset, one after the other.

    Attributes:
        names: The names of the tracks.
        frames: The lengths of the tracks.
        codes: Source → stem → int8 `(frames, channels)` of all tracks; a source is the
            sum of its stems.
        weights: The tracks' weights; see augmentation.track_probabilities. None: 1.
        data_sets: The folders of the tracks' data sets, where they are known.
    """

    names: list[str]
    frames: list[int]
    codes: dict[str, dict[str, np.ndarray]]
    weights: list[float] | None = None
    data_sets: list[str] | None = None

    @property
    def firsts(self) -> list[int]:
        """The first frame of each track."""
        return np.cumsum([0, *self.frames])[:-1].tolist()


def encode_samples(samples: np.ndarray) -> np.ndarray:
    """Encodes samples in 8 bits; samples beyond ±1 are clipped.

    Args:
        samples: An array of any shape, at a full scale of ±1.

    Returns:
        int8 codes of the same shape.
    """
    samples = np.clip(samples, -1, 1)
    levels = np.sign(samples) * np.log1p(_MU * np.abs(samples)) / np.log1p(_MU)
    return np.round(127 * levels).astype(np.int8)


def decode_samples(codes):
    """Decodes what encode_samples gave, on any Keras backend.

    Args:
        codes: int8 codes of any shape.

    Returns:
        A float32 tensor of the same shape.
    """
    from keras import ops

    levels = ops.cast(codes, "float32") / 127
    return ops.sign(levels) * (ops.exp(ops.abs(levels) * np.log1p(_MU)) - 1) / _MU


def read_coded_stems(
    path: str | os.PathLike, subset: str, config: NetworkConfig
) -> CodedStems:
    """Reads a subset of a file that write_coded_stems wrote, for a network.

    Args:
        path: The file.
        subset: "train" or "valid".
        config: The config of the network.

    Raises:
        InputError: The file cannot be read, or its sources, sample rate or channels are
            not the network's.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            stems = file["stems"].tolist()
            codes = {stem: file[f"{subset}/{stem}"] for stem in stems}
            names = file[f"names/{subset}"].tolist()
            frames = file[f"frames/{subset}"].tolist()
            weights = file[f"weights/{subset}"].tolist()
            data_sets = file[f"data_sets/{subset}"].tolist()
            rate_hz = int(file["sample_rate_hz"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: must be a file of the stems: {error}") from error
    stems_of = stems_of_sources(config.sources, stems, f"{path}:")
    found = (rate_hz, codes[stems[0]].shape[1])
    wanted = (config.sample_rate_hz, config.channels)
    if found != wanted:
        raise InputError(
            f"{path}: must have the network's {wanted[0]} Hz and {wanted[1]} channels. "
            f"Received: {found[0]}, {found[1]}"
        )
    return CodedStems(
        names,
        frames,
        {
            source: {stem: codes[stem] for stem in of}
            for source, of in zip(config.sources, stems_of)
        },
        weights,
        data_sets,
    )


def write_coded_stems(
    data_dirs: Sequence[str | os.PathLike],
    path: str | os.PathLike,
    *,
    max_bytes: int,
    weights: Sequence[float] | None = None,
) -> tuple[int, int]:
    """Writes the training and validation tracks of prepared folders into one file.

    If they do not fit, the longest training tracks lose their ends.

    Args:
        data_dirs: Folders that `prepare` wrote, with the same stems.
        path: The .npz file to write.
        max_bytes: The size of all codes at most.
        weights: The folders' weights; see prepared.check_weights.

    Returns:
        The number of training tracks, and of their frames.

    Raises:
        InputError: A folder lacks training tracks, or all lack validation tracks;
            tracks differ in stems, sample rate or channels; `max_bytes` is too small;
            or a weight is out of range.
        OSError: A file cannot be read or written.
    """
    from waveunet_tf.data import prepared  # needs what a JAX machine may lack

    arrays, form, left = {}, None, max_bytes
    weights = prepared.check_weights(data_dirs, weights)
    for subset in ("valid", "train"):  # validation tracks are never cut
        tracks = _find_tracks(data_dirs, weights, subset)
        form = form or tracks[0].form
        for track in tracks:
            if track.form != form:
                raise InputError(
                    f"{track.folder}: must have the form of other tracks, {form}. "
                    f"Received: {track.form}"
                )
        lengths = [track.frames for track in tracks]
        if subset == "train":
            cut = longest_allowed(lengths, left // form.frame_bytes)
            lengths = [min(cut, length) for length in lengths]
        left -= sum(lengths) * form.frame_bytes
        if left < 0 or not any(lengths):
            raise InputError(
                f"`max_bytes` must leave room for the {subset} tracks. "
                f"Received: {max_bytes}"
            )
        arrays[f"names/{subset}"] = [track.name for track in tracks]
        arrays[f"frames/{subset}"] = lengths
        arrays[f"weights/{subset}"] = [track.weight for track in tracks]
        arrays[f"data_sets/{subset}"] = [track.data_set for track in tracks]
        for stem in form.stems:
            coded = [
                track.read_codes(stem, length) for track, length in zip(tracks, lengths)
            ]
            arrays[f"{subset}/{stem}"] = np.concatenate(coded)
    with files.atomic_file(path) as part, part.open("wb") as out:
        np.savez_compressed(
            out, sample_rate_hz=form.sample_rate_hz, stems=form.stems, **arrays
        )
    return len(tracks), sum(lengths)


def longest_allowed(frames: Sequence[int], budget: int) -> int:
    """Returns the length to which tracks are cut so that they fit together.

    Args:
        frames: The lengths of the tracks.
        budget: The frames of all tracks at most.
    """
    low, high = 0, max(frames)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(middle, length) for length in frames) <= budget:
            low = middle
        else:
            high = middle - 1
    return low


@dataclasses.dataclass(frozen=True)
class _Form:
    """What all tracks have in common."""

    stems: tuple[str, ...]
    sample_rate_hz: int
    channels: int

    @property
    def frame_bytes(self) -> int:
        """The size of the codes of a frame of all stems."""
        return len(self.stems) * self.channels

    def __str__(self) -> str:
        stems = ", ".join(self.stems)
        return f"{stems} at {self.sample_rate_hz} Hz with {self.channels} channels"


@dataclasses.dataclass(frozen=True)
class _PreparedTrack:
    """A track of a prepared folder."""

    name: str
    folder: pathlib.Path
    paths: dict[str, pathlib.Path]
    form: _Form
    frames: int
    weight: float
    data_set: str

    def read_codes(self, stem: str, frames: int) -> np.ndarray:
        """Reads the beginning of a stem as int8 `(frames, channels)`."""
        import soundfile

        samples, _ = soundfile.read(self.paths[stem], frames, always_2d=True)
        return encode_samples(samples)


def _find_tracks(
    data_dirs: Sequence[str | os.PathLike], weights: Sequence[float], subset: str
) -> list[_PreparedTrack]:
    """Lists a subset's tracks; some folders may lack validation tracks."""
    import soundfile

    from waveunet_tf.data import prepared
    from waveunet_tf.data.datasets import find_tracks

    found = []
    for data_dir, weight in zip(data_dirs, weights):
        if "://" in str(data_dir):
            raise InputError(f"{data_dir}: must be a folder on this machine")
        if subset == "valid" and not prepared.has_subset(data_dir, subset):
            continue
        for track in find_tracks(data_dir, dataset="folder", subsets=(subset,)):
            paths = {stem: track.sources[stem].path for stem in sorted(track.sources)}
            path = next(iter(paths.values()))
            info = soundfile.info(path)
            form = _Form(tuple(paths), info.samplerate, info.channels)
            found.append(
                _PreparedTrack(
                    *(track.name, path.parent, paths, form, info.frames),
                    weight=weight,
                    data_set=os.fspath(data_dir),
                )
            )
    if not found:
        raise InputError(f"{data_dirs[0]}: must hold tracks of {subset}, but has none")
    return found
