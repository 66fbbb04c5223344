r"""Separates songs into stems.

    python -m waveunet_tf.run_separate --checkpoint ~/m4/best --output_dir ~/stems \
        song.mp3 other.flac folder

Writes OUTPUT_DIR/<song>/<source>.<format>, of the song's length and rate. Songs are
files, folders, of which all audio files are taken, patterns in quotes ("*.mp3"), or -,
standard input.
"""

import pathlib
import re

from absl import flags

from waveunet_tf import cli, song_command
from waveunet_tf.engines import ENGINES

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The folder of config.json and weights.", required=True
)
_ENGINE = flags.DEFINE_enum(
    "engine",
    "auto",
    ENGINES,
    "What computes the network. auto: what measured faster on this CPU, once for a "
    "checkpoint; on a GPU tensorflow.",
)
_DEVICE = flags.DEFINE_string(
    "device", None, "cpu, gpu:0, gpu:1, … Default: the first GPU, if there is one."
)
_THREADS = flags.DEFINE_integer(
    "threads", None, "CPU threads. Default: one a core.", lower_bound=1
)
cli.define_refinement_flags()
flags.adopt_module_key_flags(cli)
flags.adopt_module_key_flags(song_command)


def main(arguments):
    from waveunet_tf.checkpoint import read_config
    from waveunet_tf.separate import load

    if _DEVICE.value and not re.fullmatch(r"cpu|gpu:\d+", _DEVICE.value):
        raise cli.UsageError(
            f"--device must be cpu, gpu:0, gpu:1, …. Received: {_DEVICE.value}"
        )
    if _ENGINE.value == "litert" and _DEVICE.value not in (None, "cpu"):
        raise cli.UsageError("--engine litert is for the CPU")
    checkpoint = pathlib.Path(_CHECKPOINT.value).expanduser()
    return song_command.separate_all(
        arguments,
        read_config(checkpoint).sources,
        lambda: load(
            checkpoint,
            engine=_ENGINE.value,
            device=_DEVICE.value,
            threads=_THREADS.value,
            **cli.refinement_from_flags(),
        ),
    )


if __name__ == "__main__":
    cli.run(main, arguments="audio files, folders, patterns, or -")
