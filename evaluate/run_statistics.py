r"""Summarises museval's scores of one system or several, side by side.

    waveunet statistics ours=~/scores/m4 theirs=~/sisec2018/STL1
    waveunet statistics ours=~/scores/m4 --metric all --format csv
    waveunet statistics ours=~/scores/m4 --by_energy

NAME=DIR is a system's name and a folder of museval's JSON, one file a track, written
by `score` or by others. Prints for each source, in dB, the median over all frames
(seconds), the median absolute deviation, mean, standard deviation, and the median of
the tracks' medians with its 95 % interval. Prints a paired test of every two systems,
on the tracks that all systems have. Frames of NaN, in which a source or an estimate is
silent, are left out and counted.
"""

import math

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies as energy_metrics
from waveunet_tf.evaluate.scores import METRICS
from waveunet_tf.evaluate.system_arguments import named_folders

_METRIC = flags.DEFINE_list(
    "metric",
    ["SDR"],
    "Metrics to summarise, comma separated: SDR, ISR, SIR, SAR (museval's), PES "
    "(predicted energy at silence), wSDR (energy-weighted SDR), nSDR (the 2021 "
    "challenge's SDR of whole tracks), or all. The last three need energies, which "
    "`waveunet score` writes.",
)
_FORMAT = flags.DEFINE_enum(
    "format", "text", ["text", "markdown", "csv", "json"], "The format of the table."
)
_BY_ENERGY = flags.DEFINE_boolean(
    "by_energy",
    False,
    "Show the metric in ranges of the true source's level (dBFS) instead.",
)
_BIN_DB = flags.DEFINE_float(
    "bin_db",
    10.0,
    "The width of a range of --by_energy, in dB.",
    lower_bound=0.1,
    upper_bound=100,
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "The true stems (MUSDB18, MUSDB18-HQ or a folder of stems), to measure levels "
    "where scores have no energies beside them. For --by_energy and wSDR.",
)
_SILENCE_DBFS = flags.DEFINE_float(
    "silence_dbfs",
    None,
    "The highest level in dBFS at which PES takes a second of a true source for "
    "silent. Default: only zeros are silent.",
)


def metrics_from_flags() -> list[str]:
    """Returns the metrics to summarise.

    Raises:
        UsageError: A metric is unknown, or has no values by level.
    """
    known = METRICS if _BY_ENERGY.value else (*METRICS, *energy_metrics.METRICS)
    metrics = known if _METRIC.value == ["all"] else _METRIC.value
    if unknown := [metric for metric in metrics if metric not in known]:
        raise app.UsageError(
            f"--metric must be of {', '.join(known)}, or all. Received: {unknown[0]}"
        )
    return list(dict.fromkeys(metrics))


class _PrintedErrors(list):
    """Errors, of which each is printed when it is appended."""

    def append(self, error: InputError | OSError) -> None:
        super().append(error)
        app.print_error(error)


def main(arguments):
    """Prints the summaries, or the scores by level."""
    from waveunet_tf.data.datasets import find_tracks
    from waveunet_tf.evaluate import levels, summary, systems, tables

    folders = named_folders(arguments)
    metrics = metrics_from_flags()
    errors = _PrintedErrors()
    scores = systems.read_scores(folders, errors.append)
    energies = {}
    if _BY_ENERGY.value or set(metrics) & set(energy_metrics.METRICS):
        stems = None
        if _DATA_DIR.value:
            stems = {track.name: track for track in find_tracks(_DATA_DIR.value)}
        energies = systems.energies_by_system(
            folders, scores, errors.append, stems=stems
        )
    if _BY_ENERGY.value:
        rows = levels.level_rows(scores, energies, metrics, bin_db=_BIN_DB.value)
        table = tables.format_rows(levels.LEVEL_COLUMNS, rows, _FORMAT.value)
    else:
        silent = -math.inf if _SILENCE_DBFS.value is None else _SILENCE_DBFS.value
        summaries, comparisons = summary.summarize_systems(
            scores, energies, metrics, left_out=errors.append, silence_dbfs=silent
        )
        table = tables.format_summaries(
            summaries, _FORMAT.value, comparisons=comparisons
        )
    print(table)
    return 1 if errors else 0


if __name__ == "__main__":
    app.run(main, arguments="systems as NAME=DIR")
