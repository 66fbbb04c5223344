r"""Draws museval's scores of systems, as PNG and SVG, and prints the numbers drawn.

    python -m evaluate.run_plots ours=~/scores/m4 mixture=~/scores/mixture \
        --output_dir ~/figures --tracks "Al James - Schoolboy Facination"

Arguments are NAME=DIR: what to call a system, and the folder of its scores. Writes
OUTPUT_DIR/sdr_distributions, sdr_by_energy and sdr_quietest_left_out, and of each of
--tracks sdr_over_time/<track>. The two by level need the true sources' energies, which
run_musdb writes beside the scores, for one system at least, or --data_dir.
"""

import difflib
import pathlib

import numpy as np
import tqdm
from absl import flags, logging

from evaluate import figures, levels, plots, scores, systems, tables
from waveunet_tf.commands import app
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.errors import InputError

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The folder to write the figures in.", required=True
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
    "The true stems, to measure levels where no system has energies beside its scores: "
    "MUSDB18, MUSDB18-HQ or a folder of stems.",
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace figures that exist.")

# The table of what is left without the quietest frames has these percentages.
_PERCENTS = np.array([0, 5, 10, 25, 50, 75])
_FRAMES = (
    *("system", "source", "frames", "nan_frames"),
    *("median", "low_quartile", "high_quartile", "mean"),
)
_LEFT_OUT = ("system", "source", "left_out_percent", "from_dbfs", "mean", "median")


def tracks_to_draw(known: list[str]) -> list[str]:
    """The tracks that --tracks names.

    Raises:
        InputError: one is not known.
    """
    if _TRACKS.value == ["all"]:
        return known
    for track in _TRACKS.value:
        if track not in known:
            (nearest,) = difflib.get_close_matches(track, known, 1, cutoff=0)
            raise InputError(
                f"--tracks must be of the {len(known)} tracks that all systems have, "
                f"such as {nearest}. Received: {track}"
            )
    return _TRACKS.value


def frame_rows(compared: plots.Systems, metric: str) -> list[dict]:
    """The numbers of the distributions, a row a source and system."""
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
    compared: plots.Systems, energies: plots.Energies, metric: str
) -> list[dict]:
    """The numbers without the quietest frames."""
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


def read_energies(folders, compared: plots.Systems, left_out) -> plots.Energies:
    """The systems' energies, or none where none has any and --data_dir is not given."""
    if _DATA_DIR.value:
        stems = {track.name: track for track in find_tracks(_DATA_DIR.value)}
        return systems.energies_by_system(folders, compared, left_out, stems=stems)
    if systems.read_energies(folders, lambda _: None):
        return systems.energies_by_system(folders, compared, left_out)
    logging.warning("no energies beside the scores, and no --data_dir: none by level")
    return {}


def main(arguments):
    errors = []
    folders = systems.named_folders(arguments)
    compared = systems.read_scores(folders, errors.append)
    tracks = tracks_to_draw(list(next(iter(compared.values()))))
    energies = read_energies(folders, compared, errors.append)
    metric, output = _METRIC.value, pathlib.Path(_OUTPUT_DIR.value).expanduser()
    numbers = [(_FRAMES, frame_rows(compared, metric))]
    drawings = {"distributions": (plots.sdr_distributions, compared)}
    if ranges := levels.rows(compared, energies, [metric]) if energies else []:
        left = left_out_rows(compared, energies, metric)
        numbers += [(levels.COLUMNS, ranges), (_LEFT_OUT, left)]
        drawings["by_energy"] = plots.sdr_by_energy, compared, energies
        drawings["quietest_left_out"] = plots.quietest_left_out, compared, energies
    for track in tracks:
        drawings[f"over_time/{track}"] = plots.sdr_over_time, compared, track
    stems = {name: output / f"{metric.lower()}_{name}" for name in drawings}
    figures.require_new(stems.values(), _OVERWRITE.value)

    for name, (draw, *data) in tqdm.tqdm(drawings.items(), "draw", disable=None):
        figures.save(draw(*data, metric), stems[name])
    print(f"{metric} of frames, dB")
    for columns, rows in numbers:
        print(tables.format_rows(columns, rows, "text"), end="\n\n")
    for error in errors:
        app.print_error(error)
    return 1 if errors else 0


if __name__ == "__main__":
    app.run(main, arguments="systems: NAME=DIR …")
