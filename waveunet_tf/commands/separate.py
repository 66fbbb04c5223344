r"""Separates songs into stems.

    waveunet separate song.mp3
    waveunet separate --checkpoint ~/m4/best --output_dir ~/stems \
        song.mp3 other.flac folder
    waveunet separate --tflite ~/artefacts/tflite_mixed.tflite \
        --output_dir ~/stems song.mp3
    waveunet separate --scheduler tcp://host:8786 --songs_from songs.txt
    waveunet separate --runner FlinkRunner --songs_from songs.txt -- \
        --flink_master=host:8081

Uses a trained model of the package unless a checkpoint is named. Writes
OUTPUT_DIR/<song>/<source>.<format>, with the song's length and rate. Songs are files,
folders (all audio files in them), patterns in quotes ("*.mp3"), or -, standard input.

With --scheduler the workers of a dask.distributed cluster separate the songs, with
--runner those of Apache Beam, whose own options follow after --.
OUTPUT_DIR/ledger.jsonl notes each; after a stop, the same command goes on.
"""

import contextlib
import functools
import pathlib
import re

from absl import flags

from waveunet_tf.checkpoints import registry
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.commands import app, config_flags, song_flags
from waveunet_tf.errors import InputError
from waveunet_tf.separation.engines import ENGINES
from waveunet_tf.separation.separator import load_tflite_separator, separator_of
from waveunet_tf.separation.separator_source import (
    CheckpointSource,
    SeparatorSource,
    TFLiteSource,
)
from waveunet_tf.separation.song_catalogue import Catalogue
from waveunet_tf.separation.songs import SongOptions
from waveunet_tf.separation.songs_on_beam import separate_on_beam
from waveunet_tf.separation.songs_on_dask import separate_on_dask
from waveunet_tf.system import beam, dask_cluster

_MODEL = flags.DEFINE_string(
    "model",
    None,
    "The name of a trained model; `waveunet models` lists them. Default, without a "
    f"checkpoint: {registry.DEFAULT}.",
)
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "A checkpoint: the folder of config.json and weights."
)
_TFLITE = flags.DEFINE_string(
    "tflite", None, "A file that waveunet export wrote, instead of a checkpoint."
)
_ENGINE = flags.DEFINE_enum(
    "engine",
    "auto",
    ENGINES,
    "What computes the network. auto: on a GPU tensorflow; on a CPU the faster one, "
    "which is measured once for each checkpoint.",
)
_DEVICE = flags.DEFINE_string(
    "device", None, "cpu, gpu:0, gpu:1, … Default: the first GPU, or else the CPU."
)
_THREADS = flags.DEFINE_integer(
    "threads",
    None,
    "CPU threads. Default: one for each core; of a --scheduler's workers, one.",
    lower_bound=1,
)
_SCHEDULER = flags.DEFINE_string(
    "scheduler",
    None,
    "Separate on the workers of this scheduler of dask.distributed, such as "
    f"tcp://host:8786, or on workers that are started here, {dask_cluster.LOCAL}. All "
    "see the songs and OUTPUT_DIR by the same paths. Needs requirements-dask.txt.",
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    None,
    f"With --scheduler {dask_cluster.LOCAL}: workers. Default: one for each core.",
    lower_bound=1,
    short_name="j",
)
_RUNNER = flags.DEFINE_string(
    "runner",
    None,
    "Separate on this pipeline runner of Apache Beam (DirectRunner, DataflowRunner, "
    "FlinkRunner, SparkRunner, DaskRunner), whose own options follow after --. Needs "
    "requirements-beam.txt, and folders that all its workers see.",
)
config_flags.define_refinement_flags()
flags.adopt_module_key_flags(config_flags)
flags.adopt_module_key_flags(song_flags)
flags.mark_flags_as_mutual_exclusive(["model", "checkpoint", "tflite"])
flags.mark_flags_as_mutual_exclusive(["scheduler", "runner"])


def network_folder() -> pathlib.Path:
    """Finds the folder of the checkpoint, or of the model.

    Raises:
        InputError: There is no such checkpoint or model.
    """
    if _CHECKPOINT.value is not None:
        return registry.find(_CHECKPOINT.value)
    try:
        return registry.folder_of(_MODEL.value or registry.DEFAULT)
    except InputError as error:
        hint = "" if _MODEL.value else " (--checkpoint names one of your own)"
        raise InputError(f"{error}{hint}") from None


def check_engine() -> None:
    """Checks the flags of what computes the network.

    Raises:
        UsageError: A flag is out of range, or two contradict each other.
    """
    on_cpu = _DEVICE.value in (None, "cpu")
    if not on_cpu and not re.fullmatch(r"gpu:\d+", _DEVICE.value):
        raise app.UsageError(
            f"--device must be cpu, gpu:0, gpu:1, …. Received: {_DEVICE.value}"
        )
    if _ENGINE.value == "litert" and not on_cpu:
        raise app.UsageError(
            f"--engine litert is for the CPU. Received: --device {_DEVICE.value}"
        )
    as_exported = on_cpu and _ENGINE.value != "tensorflow"
    if _TFLITE.value is not None and (
        not as_exported or config_flags.refinement_from_flags()
    ):
        raise app.UsageError("--tflite is for LiteRT on the CPU, as it was exported")


def source_from_flags() -> SeparatorSource:
    """Opens the network that other processes will load.

    Raises:
        InputError: There is no such checkpoint, model or file.
        OSError: A file cannot be read.
    """
    threads = _THREADS.value or 1
    if _TFLITE.value is not None:
        return TFLiteSource.open(_TFLITE.value, threads=threads)
    network_folder()  # says more of a name that is unknown
    return CheckpointSource.open(
        _CHECKPOINT.value or _MODEL.value or registry.DEFAULT,
        overrides=config_flags.refinement_from_flags(),
        engine=_ENGINE.value,
        device=_DEVICE.value,
        threads=threads,
    )


def separate_on_scheduler(songs: list[str], options: SongOptions) -> int:
    """Separates songs on a cluster; returns the exit code."""
    dask_cluster.import_distributed()  # before anything is looked for
    source = source_from_flags()
    connect = functools.partial(
        dask_cluster.connect, _SCHEDULER.value, workers=_WORKERS.value
    )
    with contextlib.ExitStack() as stack:
        is_here = _SCHEDULER.value == dask_cluster.LOCAL
        # Workers here start when there is work; others are asked for at once.
        client = None if is_here else stack.enter_context(connect())

        def separate(catalogue, show):
            with contextlib.ExitStack() as here:
                on = client or here.enter_context(connect())
                engine = functools.partial(separate_on_dask, on, source)
                catalogue.run(engine, on_progress=show)

        return song_flags.separate_batch(
            functools.partial(Catalogue, songs, options, source), separate
        )


def separate_on_runner(
    songs: list[str], options: SongOptions, beam_options: list[str]
) -> int:
    """Separates songs on Apache Beam; returns the exit code."""
    beam.import_beam()  # before anything is looked for
    source = source_from_flags()
    engine = functools.partial(separate_on_beam, _RUNNER.value, beam_options, source)
    return song_flags.separate_batch(
        functools.partial(Catalogue, songs, options, source),
        lambda catalogue, show: catalogue.run(engine, on_progress=show),
    )


def main(arguments):
    """Separates the songs of the arguments."""
    check_engine()
    options = song_flags.options_from_flags()
    beam_options = []
    if _RUNNER.value is not None:
        beam_options = [word for word in arguments if word.startswith("--")]
        arguments = [word for word in arguments if not word.startswith("--")]
    songs = song_flags.songs_from_flags(arguments)
    if _RUNNER.value is not None:
        return separate_on_runner(songs, options, beam_options)
    if _SCHEDULER.value is not None:
        return separate_on_scheduler(songs, options)
    if _TFLITE.value is not None:
        path = pathlib.Path(_TFLITE.value)
        separator = load_tflite_separator(path, threads=_THREADS.value)
        return song_flags.separate_arguments(
            songs, options, separator.config.sources, lambda: separator
        )
    # The network is loaded when all else is well.
    checkpoint = Checkpoint.open(
        network_folder(), **config_flags.refinement_from_flags()
    )
    load = functools.partial(
        separator_of,
        checkpoint,
        engine=_ENGINE.value,
        device=_DEVICE.value,
        threads=_THREADS.value,
    )
    return song_flags.separate_arguments(
        songs, options, checkpoint.config.sources, load
    )


if __name__ == "__main__":
    app.run(main, arguments=song_flags.ARGUMENTS, may_be_none=True)
