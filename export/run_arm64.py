r"""Runs exported TFLite files on 64-bit ARM, in an emulator, and compares with x86-64.

    waveunet arm64 --artifacts ~/artefacts

The files may lie in folders of --artifacts. The ARM machine is qemu's, with Debian's
Python and the same LiteRT as here; it is unpacked once into --root, for which any user
will do. Prints a table of the largest differences of a sample. Exits with code 1 where
one is beyond its bound: float32 1e-5, int8 and int16x8 nothing. The emulator's speed
says nothing of a real ARM's.
"""

import pathlib

from absl import flags, logging

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.export import artefact_flags
from waveunet_tf.export.arm64 import machine

_ROOT = flags.DEFINE_string(
    "root",
    None,
    "The folder that keeps ARM machines, 170 MB each. Default: waveunet_tf/arm64 in "
    "the user's cache.",
)
_CPU = flags.DEFINE_string("cpu", machine.CPU, "qemu's name of the processor.")
artefact_flags.define_artefact_flags(max_seconds=1.0, least_seconds=0.01)
flags.adopt_module_key_flags(artefact_flags)


def main(_):
    """Compares every file on the first song."""
    folder = pathlib.Path(flags.FLAGS.artifacts)
    artefacts = artefact_flags.find_artefacts(folder, recursive=True)

    from waveunet_tf.export import parity_songs
    from waveunet_tf.export.arm64 import comparison

    songs = {}
    for path in artefacts:
        (songs[path],) = parity_songs.find_parity_songs(
            flags.FLAGS.data_dir,
            comparison.read_artefact_config(path),
            max_songs=1,
            max_seconds=flags.FLAGS.max_seconds,
        )
    arm = machine.get_machine(_ROOT.value or machine.default_folder())
    rows = []
    for path, song in songs.items():
        name = str(path.relative_to(folder))
        rows.append(
            comparison.compare_on_arm(
                path, song.mixture, arm, name=name, cpu=_CPU.value
            )
        )
        logging.info("%s: compared on %s", name, song.name)
    print(comparison.format_comparison(rows))
    failures = comparison.bound_failures(rows)
    for failure in failures:
        app.print_error(InputError(failure))
    return 1 if failures else 0


if __name__ == "__main__":
    app.run(main)
