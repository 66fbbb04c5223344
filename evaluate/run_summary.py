r"""Summarises museval's scores of one system or several, side by side.

    python -m evaluate.run_summary ours=~/scores/m4 theirs=~/sisec2018/STL1
    python -m evaluate.run_summary ours=~/scores/m4 --metric all --format csv
    python -m evaluate.run_summary ours=~/scores/m4 --by_energy

NAME=DIR is a system's name and a folder of museval's JSON, one file a track, ours or
anyone's. Prints for each source, in dB, the median over all frames (seconds), the
median absolute deviation, mean, standard deviation, and the median of the tracks'
medians with its 95 % interval; of every two systems a paired test. NaN frames, in which
a source or an estimate is silent, are left out and counted. Systems are compared on the
tracks that all have.
"""

import math

from absl import flags

from evaluate import energies as energy_metrics
from evaluate.scores import METRICS
from waveunet_tf.commands import app
from waveunet_tf.errors import InputError

_METRIC = flags.DEFINE_list(
    "metric",
    ["SDR"],
    "What is summarised, comma separated: SDR, ISR, SIR, SAR (museval's), PES "
    "(predicted energy at silence), wSDR (energy-weighted SDR), nSDR (the 2021 "
    "challenge's SDR of whole tracks), or all. The last three need energies, which "
    "run_musdb writes.",
)
_FORMAT = flags.DEFINE_enum(
    "format", "text", ["text", "markdown", "csv", "json"], "How it is printed."
)
_BY_ENERGY = flags.DEFINE_boolean(
    "by_energy",
    False,
    "Show the metric in ranges of the true source's level (dBFS) instead.",
)
_BIN_DB = flags.DEFINE_float(
    "bin_db", 10.0, "With --by_energy: how wide a range is, in dB.", lower_bound=0.1
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "The true stems, to measure levels where scores have no energies beside them: "
    "MUSDB18, MUSDB18-HQ or a folder of stems. For --by_energy and wSDR.",
)
_SILENCE_DBFS = flags.DEFINE_float(
    "silence_dbfs",
    None,
    "PES: up to which level in dBFS a second of a true source counts as silent. "
    "Default: only where all samples are zero.",
)


def metrics_from_flags() -> list[str]:
    """What is summarised.

    Raises:
        UsageError: there is no such metric, or not in ranges of level.
    """
    known = METRICS if _BY_ENERGY.value else (*METRICS, *energy_metrics.METRICS)
    metrics = known if _METRIC.value == ["all"] else _METRIC.value
    if unknown := [metric for metric in metrics if metric not in known]:
        raise app.UsageError(
            f"--metric must be of {', '.join(known)}, or all. Received: {unknown[0]}"
        )
    return list(dict.fromkeys(metrics))


class _Told:
    """Prints what is left out, and remembers that something was."""

    any = False

    def __call__(self, error: InputError | OSError) -> None:
        self.any = True
        app.print_error(error)


def main(arguments):
    from evaluate import systems, tables
    from waveunet_tf.data.datasets import find_tracks

    folders = systems.named_folders(arguments)
    metrics = metrics_from_flags()
    told = _Told()
    scores = systems.read_scores(folders, told)
    energies = {}
    if _BY_ENERGY.value or set(metrics) & set(energy_metrics.METRICS):
        stems = None
        if _DATA_DIR.value:
            stems = {track.name: track for track in find_tracks(_DATA_DIR.value)}
        energies = systems.energies_by_system(folders, scores, told, stems=stems)
    if _BY_ENERGY.value:
        from evaluate import levels

        rows = levels.rows(scores, energies, metrics, bin_db=_BIN_DB.value)
        print(tables.format_rows(levels.COLUMNS, rows, _FORMAT.value))
    else:
        summaries, comparisons = summarize(scores, energies, metrics, told)
        print(
            tables.format_summaries(summaries, _FORMAT.value, comparisons=comparisons)
        )
    return 1 if told.any else 0


def summarize(scores, energies, metrics, told):
    """Summaries by system and metric, and comparisons; tells what cannot be had."""
    from evaluate import summary

    summaries = {name: {} for name in scores}
    comparisons = []
    silence_dbfs = -math.inf if _SILENCE_DBFS.value is None else _SILENCE_DBFS.value
    for metric in metrics:
        values = {}
        for name, tracks in scores.items():
            try:
                values[name] = summary.track_values(
                    tracks,
                    metric,
                    energies=energies.get(name),
                    silence_dbfs=silence_dbfs,
                )
            except InputError as error:
                told(InputError(f"{name}: {metric} is left out: {error}"))
            else:
                summaries[name][metric] = summary.summarize_values(values[name])
        comparisons += summary.compare(values, metric)
    return summaries, comparisons


if __name__ == "__main__":
    app.run(main, arguments="systems as NAME=DIR")
