r"""Draws museval's scores of systems, as PNG and SVG, and prints the drawn numbers.

    waveunet plots ours=~/scores/m4 mixture=~/scores/mixture \
        --output_dir ~/figures --tracks "Al James - Schoolboy Facination"

An argument NAME=DIR is a system's name and the folder of its scores. Writes
OUTPUT_DIR/sdr_distributions, sdr_by_energy and sdr_quietest_left_out, and
sdr_over_time/<track> for each of --tracks. The two figures by level need the true
sources' energies: `waveunet score` writes them beside the scores of a system, or
--data_dir measures them.
"""

import difflib
import pathlib

import numpy as np
import tqdm
from absl import flags, logging

from waveunet_tf.commands import app
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import figures, levels, plots, scores, systems, tables
from waveunet_tf.evaluate.system_arguments import named_folders
from waveunet_tf.system import files

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "The folder to write the figures in.",
    required=True,
    short_name="o",
)
_METRIC = flags.DEFINE_enum("metric", "SDR", scores.METRICS, "The score to draw.")
_TRACKS = flags.DEFINE_list(
    "tracks",
    [],
    "Tracks to draw over time, comma separated (a name with a comma in double quotes); "
    "all: every track.",
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "The true stems (MUSDB18, MUSDB18-HQ or a folder of stems), to measure levels "
    "where no system has energies beside its scores.",
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace figures that exist.")

# The table without the quietest frames has a row for each of these percentages.
_PERCENTS = np.array([0, 5, 10, 25, 50, 75])
_FRAMES = (
    *("system", "source", "frames", "nan_frames"),
    *("median", "low_quartile", "high_quartile", "mean"),
)
_LEFT_OUT = ("system", "source", "left_out_percent", "from_dbfs", "mean", "median")


def tracks_to_draw(known: list[str]) -> list[str]:
    """Returns the tracks that --tracks names.

    Raises:
        InputError: A track is unknown.
    """
    if _TRACKS.value == ["all"]:
        return known
    tracks = [files.find_name(track, known) for track in _TRACKS.value]
    for track, found in zip(_TRACKS.value, tracks):
        if found is None:
            (nearest,) = difflib.get_close_matches(track, known, 1, cutoff=0)
            raise InputError(
                f"--tracks must be of the {len(known)} tracks that all systems have, "
                f"such as {nearest}. Received: {track}"
            )
    return tracks


def frame_rows(compared: systems.Systems, metric: str) -> list[dict]:
    """Returns the numbers of the distributions, one row a source and system."""
    rows = []
    for source in plots.sources_of(compared):
        for system, tracks in compared.items():
            values = plots.frame_values(tracks, source, metric)
            scored = values[~np.isnan(values)]
            low, median, high = (
                np.percentile(scored, [25, 50, 75]) if len(scored) else [np.nan] * 3
            )
            mean = scored.mean() if len(scored) else np.nan
            counts = (len(values), len(values) - len(scored))
            row = (system, source, *counts, median, low, high, mean)
            rows.append(dict(zip(_FRAMES, row)))
    return rows


def left_out_rows(
    compared: systems.Systems, energies: systems.Energies, metric: str
) -> list[dict]:
    """Returns the numbers without the quietest frames."""
    rows = []
    for source in plots.sources_of(compared):
        for system, tracks in compared.items():
            pair = levels.levels_and_values(tracks, energies[system], source, metric)
            if len(pair[0]):
                curve = levels.leave_out_quietest(*pair, _PERCENTS)
                rows += [
                    dict(zip(_LEFT_OUT, (system, source, *point)))
                    for point in zip(*curve)
                ]
    return rows


def main(arguments):
    """Draws the figures and prints their numbers."""
    errors = []
    folders = named_folders(arguments)
    compared = systems.read_scores(folders, errors.append)
    tracks = tracks_to_draw(list(next(iter(compared.values()))))
    stems = None
    if _DATA_DIR.value:
        stems = {track.name: track for track in find_tracks(_DATA_DIR.value)}
    energies = systems.energies_if_any(folders, compared, errors.append, stems=stems)
    metric, output = _METRIC.value, pathlib.Path(_OUTPUT_DIR.value)
    numbers = [(_FRAMES, frame_rows(compared, metric))]
    drawings = {"distributions": (plots.sdr_distributions, compared)}
    if ranges := levels.level_rows(compared, energies, [metric]):
        left = left_out_rows(compared, energies, metric)
        numbers += [(levels.LEVEL_COLUMNS, ranges), (_LEFT_OUT, left)]
        drawings["by_energy"] = plots.sdr_by_energy, compared, energies
        drawings["quietest_left_out"] = plots.quietest_left_out, compared, energies
    for track in tracks:
        drawings[f"over_time/{track}"] = plots.sdr_over_time, compared, track
    paths = {name: output / f"{metric.lower()}_{name}" for name in drawings}
    files.require_new(
        *figures.figure_paths(*paths.values()), overwrite=_OVERWRITE.value
    )

    for name, (draw, *data) in tqdm.tqdm(drawings.items(), "draw", disable=None):
        for path in figures.save_figure(draw(*data, metric), paths[name]):
            logging.info("%s", path)
    print(f"{metric} of frames, dB")
    for columns, rows in numbers:
        print(tables.format_rows(columns, rows, "text"), end="\n\n")
    for error in errors:
        app.print_error(error)
    return 1 if errors else 0


if __name__ == "__main__":
    app.run(main, arguments="systems: NAME=DIR …")
