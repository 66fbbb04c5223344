r"""Measures what exported TFLite files lose against the Keras network, and their cost.

    waveunet parity --checkpoint ~/m4/best --artifacts ~/artefacts \
        --data_dir ~/prepared

Prints the table, and writes it into the folder of the files as parity.md and
parity.json: size; SNR against the Keras network, all sources as one signal (dB, median
and worst second); median change of museval's SDR against the true stems; work for a
second of audio, in milliseconds, on one and two threads; peak memory and load time of a
Python process. Exits with code 1 where an SNR is below its floor.
"""

import pathlib

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.export import artefact_flags
from waveunet_tf.system import files

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "The folder of config.json and weights, or a model's name.",
    required=True,
)
_MAX_SONGS = flags.DEFINE_integer(
    "max_songs", 4, "The most songs to measure on.", lower_bound=1
)
artefact_flags.define_artefact_flags(max_seconds=30.0, least_seconds=1.0)
flags.adopt_module_key_flags(artefact_flags)


def main(_):
    """Measures every file of the folder."""
    folder = pathlib.Path(flags.FLAGS.artifacts)
    artefacts = artefact_flags.find_artefacts(folder, recursive=False)

    from waveunet_tf.checkpoints.checkpoint import Checkpoint
    from waveunet_tf.export import parity, parity_songs, parity_tables

    songs = parity_songs.find_parity_songs(
        flags.FLAGS.data_dir,
        Checkpoint.open(_CHECKPOINT.value).config,
        max_songs=_MAX_SONGS.value,
        max_seconds=flags.FLAGS.max_seconds,
    )
    rows = parity.measure_files(artefacts, _CHECKPOINT.value, songs)
    print(parity_tables.format_parity(rows))
    with files.atomic_files([folder / name for name in parity_tables.TABLES]) as parts:
        parity_tables.write_tables(rows, songs, parts)
    failures = parity_tables.floor_failures(rows)
    for failure in failures:
        app.print_error(InputError(failure))
    return 1 if failures else 0


if __name__ == "__main__":
    app.run(main)
