r"""Puts prepared stems into one small file, to carry to a machine without TensorFlow.

    python -m benchmarks.pretrained.data_file --data_dir work/musdb18-1.0 \
        --data_dir work/eir-1.0 --output stems.npz

Samples take 8 bits each, by the μ-law of ITU-T G.711 without its segments, whose noise
is some 38 dB below the music. Where all does not fit, long tracks of the training lose
their ends.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import zipfile

import numpy as np
from absl import flags

if not __package__:  # run by its path
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from waveunet_tf import cli, files
from waveunet_tf.configs import NetworkConfig
from waveunet_tf.errors import InputError

_DATA_DIR = flags.DEFINE_multi_string(
    "data_dir", None, "A folder that run_prepare wrote. Once or more.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "The .npz file to write.", required=True)
_MAX_MB = flags.DEFINE_float(
    "max_mb", 50.0, "The file's size at most, in MB.", lower_bound=0
)
_MU = 255


@dataclasses.dataclass(frozen=True)
class Stems:
    """Tracks of one subset, one after the other.

    Attributes:
        names: the tracks'.
        frames: their lengths.
        codes: source → int8 `(all frames, channels)`.
    """

    names: list[str]
    frames: list[int]
    codes: dict[str, np.ndarray]

    @property
    def firsts(self) -> np.ndarray:
        """Where each track begins."""
        return np.cumsum([0, *self.frames])[:-1]


def encode(samples: np.ndarray) -> np.ndarray:
    """Samples within [-1, 1] as int8; what is beyond is clipped."""
    samples = np.clip(samples, -1, 1)
    levels = np.sign(samples) * np.log1p(_MU * np.abs(samples)) / np.log1p(_MU)
    return np.round(127 * levels).astype(np.int8)


def decode(codes):
    """The samples of int8 codes, float32, on any Keras backend."""
    from keras import ops

    levels = ops.cast(codes, "float32") / 127
    return ops.sign(levels) * (ops.exp(ops.abs(levels) * np.log1p(_MU)) - 1) / _MU


def read(path: str, subset: str, config: NetworkConfig) -> Stems:
    """Reads a subset of a file that this program wrote, for a network.

    Raises:
        InputError: it cannot be read, or is of other sources, another rate or number
            of channels.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            codes = {source: file[f"{subset}/{source}"] for source in config.sources}
            names = [str(name) for name in file[f"{subset}/names"]]
            frames = file[f"{subset}/frames"].tolist()
            rate_hz = int(file["sample_rate_hz"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: must be a file of the stems: {error}") from error
    came = (rate_hz, codes[config.sources[0]].shape[1])
    wanted = (config.sample_rate_hz, config.channels)
    if came != wanted:
        raise InputError(
            f"{path}: must have the network's {wanted[0]} Hz and {wanted[1]} channels. "
            f"Received: {came[0]}, {came[1]}"
        )
    return Stems(names, frames, codes)


def _longest_allowed(frames: list[int], budget: int) -> int:
    """The length to cut tracks to, so that they have no more frames together."""
    low, high = 0, max(frames)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(middle, length) for length in frames) <= budget:
            low = middle
        else:
            high = middle - 1
    return low


def main(_):
    import soundfile

    from waveunet_tf.datasets import find_tracks

    arrays, sources, left = {}, None, int(_MAX_MB.value * 1e6)
    for subset in ("valid", "train"):  # validation is not cut
        tracks = [
            track
            for folder in _DATA_DIR.value
            for track in find_tracks(folder, dataset="folder", subsets=(subset,))
        ]
        if not tracks:
            raise InputError(f"{_DATA_DIR.value[0]}: must hold tracks of {subset}")
        sources = sources or sorted(set(tracks[0].sources) - {"mixture"})
        infos = [soundfile.info(track.sources[sources[0]].path) for track in tracks]
        rate_hz, frame_bytes = infos[0].samplerate, len(sources) * infos[0].channels
        lengths = [info.frames for info in infos]
        cut = max(lengths)
        if subset == "train":
            cut = _longest_allowed(lengths, left // frame_bytes)
        lengths = [min(cut, length) for length in lengths]
        left -= sum(lengths) * frame_bytes
        if left < 0 or not cut:
            raise InputError(f"`max_mb` must leave room for the {subset} tracks")
        arrays[f"{subset}/names"] = [track.name for track in tracks]
        arrays[f"{subset}/frames"] = lengths
        for source in sources:
            stems = [
                soundfile.read(track.sources[source].path, length, always_2d=True)[0]
                for track, length in zip(tracks, lengths)
            ]
            arrays[f"{subset}/{source}"] = np.concatenate([*map(encode, stems)])
    with files.atomic_file(pathlib.Path(_OUTPUT.value)) as part, part.open("wb") as out:
        np.savez_compressed(out, sample_rate_hz=rate_hz, **arrays)
    print(f"{_OUTPUT.value}: {len(tracks)} training tracks, {sum(lengths)} frames")


if __name__ == "__main__":
    cli.run(main)
