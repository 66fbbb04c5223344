r"""Scores a separator on a data set with museval (BSSEval v4, windows of 1 s).

    waveunet score --data_dir ~/musdb18 --checkpoint ~/m4/best \
        --output_dir ~/scores/m4
    waveunet score … --runner DirectRunner -- --direct_num_workers=4

Scores one of these:

- a checkpoint or an exported TFLite file, which separates the mixtures;
- a folder of estimates, <estimates_dir>/[<subset>/]<track>/<source>.wav (or flac, …);
- a baseline: the mixture as the estimate of every source (the floor), or the ideal
  ratio mask (the ceiling).

Writes OUTPUT_DIR/<subset>/<track>.json in museval's format, and the energies beside it
as <track>.energies.csv. After a stop, the same command goes on. At the end it prints
the paper's statistics, as waveunet statistics does.
"""

import os
import pathlib

from absl import flags

from waveunet_tf.commands import app, config_flags
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.tracks import SUBSETS
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import estimators
from waveunet_tf.system import dask_cluster

_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "MUSDB18 (*.stem.mp4), MUSDB18-HQ, or another folder of stems "
    "<subset>/<track>/<source>.wav.",
    required=True,
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "The folder to write the scores in: a new one, or an earlier run's, which goes on.",
    required=True,
    short_name="o",
)
_SUBSET = flags.DEFINE_enum("subset", "test", SUBSETS, "The subset to score.")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "Score this checkpoint: a folder of config.json and weights, or a model's name.",
)
_TFLITE = flags.DEFINE_string(
    "tflite", None, "Score this TFLite file, which waveunet export wrote."
)
_ESTIMATES_DIR = flags.DEFINE_string(
    "estimates_dir", None, "Score the stems in this folder."
)
_ESTIMATES = flags.DEFINE_enum(
    "estimates",
    None,
    list(estimators.BASELINES),
    "Score a baseline. mixture: the song as every source; oracle_irm: the ideal ratio "
    "mask, which knows the true sources.",
)
_SOURCES = flags.DEFINE_list(
    "sources",
    None,
    "Sources to score, comma separated; a network has its own. "
    "Default: accompaniment,vocals.",
)
_WORKERS = flags.DEFINE_integer(
    "workers",
    1,
    "Processes that score one track each at a time. Each needs some 4.5 GiB for a song "
    "of four minutes.",
    lower_bound=1,
    short_name="j",
)
_RUNNER = flags.DEFINE_string(
    "runner",
    None,
    "Score on this pipeline runner of Apache Beam (DirectRunner, DataflowRunner, "
    "FlinkRunner, SparkRunner, DaskRunner), whose own options follow after --. Needs "
    "requirements-beam.txt, and folders that all its workers see. Default: processes "
    "on this machine (--workers).",
)
_SCHEDULER = flags.DEFINE_string(
    "scheduler",
    None,
    "Score on the workers of this scheduler of dask.distributed, such as "
    f"tcp://host:8786, or {dask_cluster.LOCAL}. Needs requirements-dask.txt, and "
    "folders that all workers see.",
)
_ESTIMATED_TRUTH = flags.DEFINE_boolean(
    "estimated_truth",
    False,
    "Score tracks whose stems are a teacher's estimates (see waveunet teach), too. The "
    "scores then tell how near one separator is to another.",
)
_OVERWRITE = flags.DEFINE_boolean(
    "overwrite", False, "Throw away the scores in OUTPUT_DIR."
)
config_flags.define_refinement_flags()
flags.adopt_module_key_flags(config_flags)
flags.mark_flags_as_mutual_exclusive(
    ["checkpoint", "tflite", "estimates_dir", "estimates"], required=True
)
flags.mark_flags_as_mutual_exclusive(["runner", "scheduler"])


def estimator_from_flags() -> estimators.Estimator:
    """Returns the estimator to score.

    Raises:
        UsageError: The flags contradict each other.
        InputError: The checkpoint, file or folder does not exist, or is none.
        OSError: A file cannot be read.
    """
    refinement = config_flags.refinement_from_flags()
    if refinement and not _CHECKPOINT.value:
        raise app.UsageError(f"--{min(refinement)} is for a --checkpoint")
    for flag in (_CHECKPOINT, _TFLITE):
        if flag.value is not None and _SOURCES.value:
            raise app.UsageError(f"--{flag.name} has its own sources: no --sources")
    if _CHECKPOINT.value is not None:
        return estimators.CheckpointEstimator.open(_CHECKPOINT.value, **refinement)
    if _TFLITE.value is not None:
        return estimators.TFLiteEstimator.open(_TFLITE.value)
    sources = tuple(_SOURCES.value or ("accompaniment", "vocals"))
    if _ESTIMATES.value:
        return estimators.BASELINES[_ESTIMATES.value](sources)
    if not pathlib.Path(_ESTIMATES_DIR.value).is_dir():
        raise InputError(f"{_ESTIMATES_DIR.value}: must be a folder, but is none")
    folder = os.path.abspath(_ESTIMATES_DIR.value)
    return estimators.FolderEstimator(sources, folder)


def main(beam_options):
    """Scores the tracks and prints their statistics."""
    from waveunet_tf.evaluate import scores, scoring, summary, tables

    if beam_options and not _RUNNER.value:
        raise app.UsageError(
            "takes no arguments but options of a --runner. "
            f"Received: {' '.join(beam_options)}"
        )
    estimator = estimator_from_flags()
    # Beam's workers may run in other folders.
    data_dir = os.path.abspath(_DATA_DIR.value)
    tracks = find_tracks(data_dir, subsets=(_SUBSET.value,))
    failures = scoring.score_tracks(
        tracks,
        estimator,
        _OUTPUT_DIR.value,
        workers=_WORKERS.value,
        overwrite=_OVERWRITE.value,
        estimated_truth=_ESTIMATED_TRUTH.value,
        scheduler=_SCHEDULER.value,
        about={"data_dir": os.path.realpath(data_dir)},
        pipeline_runner=_RUNNER.value,
        pipeline_options=beam_options,
    )
    output = pathlib.Path(_OUTPUT_DIR.value)
    errors: list[InputError | OSError] = []
    if len(failures) < len(tracks):
        folder = output / _SUBSET.value
        system = scores.read_system(folder, left_out=errors.append)
        statistics = {output.resolve().name: {"SDR": summary.summarize(system)}}
        print(tables.format_summaries(statistics))
    errors += [InputError(failure) for failure in failures]
    for error in errors:
        app.print_error(error)
    return 1 if errors else 0


if __name__ == "__main__":
    app.run(main, arguments="Beam's options", may_be_none=True)
