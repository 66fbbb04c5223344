r"""Puts prepared stems into one small file, to carry to a machine without TensorFlow.

    python -m examples.pretrained.data_file --data_dir work/musdb18-1.0 \
        --data_dir work/eir-1.0 --output stems.npz

Samples take 8 bits each (stems.py). Where all does not fit, long tracks of the training
lose their ends.
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
from absl import flags

if not __package__:  # run by its path
    sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from examples.pretrained import stems
from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

_DATA_DIR = flags.DEFINE_multi_string(
    "data_dir", None, "A folder that `prepare` wrote. Once or more.", required=True
)
_OUTPUT = flags.DEFINE_string("output", None, "The .npz file to write.", required=True)
_MAX_MB = flags.DEFINE_float(
    "max_mb", 50.0, "The file's size at most, in MB.", lower_bound=0
)


def main(_):
    import soundfile

    from waveunet_tf.data.datasets import find_tracks

    arrays, names, left = {}, None, int(_MAX_MB.value * 1e6)
    for subset in ("valid", "train"):  # validation is not cut
        tracks = [
            track
            for folder in _DATA_DIR.value
            for track in find_tracks(folder, dataset="folder", subsets=(subset,))
        ]
        if not tracks:
            raise InputError(f"{_DATA_DIR.value[0]}: must hold tracks of {subset}")
        names = names or sorted(tracks[0].sources)
        infos = [soundfile.info(track.sources[names[0]].path) for track in tracks]
        rate_hz, frame_bytes = infos[0].samplerate, len(names) * infos[0].channels
        lengths = [info.frames for info in infos]
        cut = max(lengths)
        if subset == "train":
            cut = stems.longest_allowed(lengths, left // frame_bytes)
        lengths = [min(cut, length) for length in lengths]
        left -= sum(lengths) * frame_bytes
        if left < 0 or not cut:
            raise InputError(f"`max_mb` must leave room for the {subset} tracks")
        arrays[f"names/{subset}"] = [track.name for track in tracks]
        arrays[f"frames/{subset}"] = lengths
        for name in names:
            samples = [
                soundfile.read(track.sources[name].path, length, always_2d=True)[0]
                for track, length in zip(tracks, lengths)
            ]
            arrays[f"{subset}/{name}"] = np.concatenate([*map(stems.encode, samples)])
    with files.atomic_file(pathlib.Path(_OUTPUT.value)) as part, part.open("wb") as out:
        np.savez_compressed(out, sample_rate_hz=rate_hz, stems=names, **arrays)
    print(f"{_OUTPUT.value}: {len(tracks)} training tracks, {sum(lengths)} frames")


if __name__ == "__main__":
    app.run(main)
