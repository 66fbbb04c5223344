r"""Packs prepared stems into parts, to be carried to a machine that trains on JAX.

    python -m examples.pretrained.pack_stems --data_dir work/data/musdb18 \
        --data_dir work/data/eir --output_dir work/parts

Writes part-00.zip and so on. A minute of a stereo stem at 22 050 Hz takes some 650 kB.
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
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The new folder of the parts.", required=True
)
_PART_MB = flags.DEFINE_float(
    "part_mb", 48.0, "The size of a part at most, in MB.", lower_bound=0
)
_FORMAT = flags.DEFINE_enum(
    "format", "ogg", ["ogg", "flac"], "Ogg Vorbis, or FLAC without loss."
)


def main(_):
    """Writes the parts, and prints how much they hold."""
    from examples.pretrained.stem_parts import write_stem_parts

    parts, tracks, frames = write_stem_parts(
        _DATA_DIR.value,
        _OUTPUT_DIR.value,
        part_bytes=int(_PART_MB.value * 1e6),
        weights=_DATA_WEIGHT.value,
        format=_FORMAT.value,
    )
    print(
        f"{_OUTPUT_DIR.value}: {parts} parts, {tracks} training tracks, {frames} frames"
    )


if __name__ == "__main__":
    app.run(main)
