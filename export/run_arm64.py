r"""Runs exported TFLite files on 64-bit ARM, in an emulator, and compares with x86-64.

    python -m export.run_arm64 --artifacts ~/artefacts

The ARM machine is qemu's, with Debian's Python and the same LiteRT as here; it is
unpacked once into --root, for which no root's rights are needed. Prints a table of the
largest differences of a sample, and leaves with exit code 1 where one is beyond its
bound: float32 1e-5, int8 and int16x8 nothing. It says nothing of speed.
"""

import pathlib

from absl import flags, logging

from export.arm64 import machine
from waveunet_tf.commands import app
from waveunet_tf.errors import InputError

_ARTIFACTS = flags.DEFINE_string(
    "artifacts",
    None,
    "The folder of *.tflite; those in its folders, too.",
    required=True,
)
_ROOT = flags.DEFINE_string(
    "root",
    None,
    "The folder that keeps ARM machines, 170 MB each. Default: of the user's cache, "
    "waveunet_tf/arm64.",
)
_CPU = flags.DEFINE_string("cpu", machine.CPU, "qemu's name of the processor.")
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Songs, of which the first is taken; as of run_musdb. Default: one that a package "
    "carries.",
)
_MAX_SECONDS = flags.DEFINE_float(
    "max_seconds", 1.0, "How much of it, from its middle.", lower_bound=0.01
)


def main(_):
    from export import parity_songs
    from export.arm64 import comparison

    folder = pathlib.Path(_ARTIFACTS.value)
    artefacts = sorted(folder.rglob("*.tflite"))
    if not artefacts:
        raise InputError(f"{folder}: must be a folder of *.tflite, but has none")
    music = {}
    for path in artefacts:
        (music[path],) = parity_songs.find_parity_songs(
            _DATA_DIR.value,
            comparison.read_artefact_config(path),
            max_songs=1,
            max_seconds=_MAX_SECONDS.value,
        )
    arm = machine.get_machine(_ROOT.value or machine.default_folder())
    rows = []
    for path, song in music.items():
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
