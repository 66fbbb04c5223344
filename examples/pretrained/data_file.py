r"""Writes prepared stems into one small file, for a machine without TensorFlow.

    python -m examples.pretrained.data_file --data_dir work/musdb18-1.0 \
        --data_dir work/eir-1.0 --output stems.npz

A sample takes 8 bits (coded_stems.py). If the file would be too large, the longest
training tracks lose their ends.
"""

from __future__ import annotations

from absl import flags

from waveunet_tf.commands import app

_DATA_DIR = flags.DEFINE_multi_string(
    "data_dir", None, "A folder that `prepare` wrote. Once or more.", required=True
)
_DATA_WEIGHT = flags.DEFINE_multi_float(
    "data_weight",
    None,
    "How often a --data_dir counts, as in `train`. Default: 1 each.",
)
_OUTPUT = flags.DEFINE_string("output", None, "The .npz file to write.", required=True)
_MAX_MB = flags.DEFINE_float(
    "max_mb", 50.0, "The size of the file at most, in MB.", lower_bound=0
)


def main(_):
    """Writes the file, and prints how much it holds."""
    from examples.pretrained.coded_stems import write_coded_stems

    tracks, frames = write_coded_stems(
        _DATA_DIR.value,
        _OUTPUT.value,
        max_bytes=int(_MAX_MB.value * 1e6),
        weights=_DATA_WEIGHT.value,
    )
    print(f"{_OUTPUT.value}: {tracks} training tracks, {frames} frames")


if __name__ == "__main__":
    app.run(main)
