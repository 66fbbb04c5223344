r"""Measures what exported TFLite files lose against the Keras network, and their cost.

    python -m export.run_parity --checkpoint ~/m4/best --artifacts ~/artefacts \
        --data_dir ~/prepared

Prints the table, and writes it into the artefacts' folder as parity.md and parity.json:
size; SNR against the Keras network, all sources as one signal (dB, median and worst
second); median change of museval's SDR against the true stems; seconds of work for a
second of audio on one and two threads; peak memory and load time of a Python process.
Leaves with exit code 1 where an SNR is below its floor.
"""

import pathlib

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "The folder of config.json and weights, or a model's name.",
    required=True,
)
_ARTIFACTS = flags.DEFINE_string(
    "artifacts", None, "The folder of *.tflite that were made of it.", required=True
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Songs with stems, as of run_musdb. Default: six seconds that a package carries.",
)
_MAX_SONGS = flags.DEFINE_integer(
    "max_songs", 4, "How many of them, at most.", lower_bound=1
)
_MAX_SECONDS = flags.DEFINE_float(
    "max_seconds", 30.0, "How much of each, from its middle.", lower_bound=1
)


def main(_):
    from export import parity, parity_songs, parity_tables
    from waveunet_tf.checkpoints import checkpoint

    folder = pathlib.Path(_ARTIFACTS.value)
    artefacts = sorted(folder.glob("*.tflite"))
    if not artefacts:
        raise InputError(f"{folder}: must be a folder of *.tflite, but has none")
    music = parity_songs.find_parity_songs(
        _DATA_DIR.value,
        checkpoint.read_config(_CHECKPOINT.value),
        max_songs=_MAX_SONGS.value,
        max_seconds=_MAX_SECONDS.value,
    )
    rows = parity.measure_files(artefacts, _CHECKPOINT.value, music)
    print(parity_tables.format_parity(rows))
    with files.atomic_files([folder / name for name in parity_tables.TABLES]) as parts:
        parity_tables.write_tables(rows, music, parts)
    failures = parity_tables.floor_failures(rows)
    for failure in failures:
        app.print_error(InputError(failure))
    return 1 if failures else 0


if __name__ == "__main__":
    app.run(main)
