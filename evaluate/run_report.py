r"""Makes a folder with a page that compares systems: scores, figures, and a player.

    python -m evaluate.run_report M4=~/scores/m4 mixture=~/scores/mixture \
        --data_dir ~/musdb18 --estimates M4=~/stems/m4 --output_dir ~/report

Arguments are NAME=DIR: what to call a system, and the folder of its scores, as
run_musdb writes them. OUTPUT_DIR/index.html then opens in a browser, from the file
system and without a network. With --data_dir it has a player for excerpts of some
tracks: mixture, true sources and the estimates of each system that --estimates names,
in a folder as run_musdb's --estimates_dir has it, all on one clock, to mute and solo,
with waveforms, spectrograms and the SDR under the cursor.
"""

import pathlib

from absl import flags

from evaluate import estimators, systems, tables
from evaluate.report import contents, html_tables, page, selection, track_files
from waveunet_tf.commands import app
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.tracks import SUBSETS
from waveunet_tf.errors import InputError

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The folder to make.", required=True
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "The true sources: MUSDB18 (*.stem.mp4), MUSDB18-HQ, or another folder of stems. "
    "Without it the page has no player.",
)
_SUBSET = flags.DEFINE_enum("subset", "test", SUBSETS, "Which of its tracks.")
_ESTIMATES = flags.DEFINE_multi_string(
    "estimates",
    [],
    "NAME=DIR: a system's estimates, to listen to; once for each system that has some. "
    "NAME=oracle_irm or NAME=mixture: those of a baseline of run_musdb.",
)
_TRACKS = flags.DEFINE_list(
    "tracks",
    None,
    "Tracks to listen to, comma separated (a name with a comma in double quotes). "
    "Default: the first system's worst, median and best, by the median SDR.",
)
_START_SECONDS = flags.DEFINE_float(
    "start_seconds",
    None,
    "Where excerpts begin. Default: where the quietest source is loudest.",
    lower_bound=0,
)
_DURATION_SECONDS = flags.DEFINE_float(
    "duration_seconds",
    selection.DURATION_SECONDS,
    "How long excerpts are, at most.",
    lower_bound=1,
    upper_bound=600,
)
_AUDIO_FORMAT = flags.DEFINE_enum(
    "audio_format",
    "opus",
    track_files.AUDIO_FORMATS,
    "How the page holds audio: opus (lossy, 256 kbit/s, 48 kHz) or flac (16 bits, "
    "three times the size).",
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace a report that exists.")


def chosen_tracks(scores: dict, data: dict, left_out) -> list[str]:
    """The tracks to listen to: those of --tracks that are known, or typical ones.

    Args:
        scores: track → scores of the first system.
        data: track → true sources.
        left_out: is told of unknown tracks.
    """
    if _TRACKS.value is None:
        return selection.typical_tracks(scores, set(data))
    known = set(data) & set(scores)
    for name in _TRACKS.value:
        if name not in known:
            where = "the scores of all systems" if name in data else _DATA_DIR.value
            left_out(
                InputError(f"--tracks must name tracks of {where}. Received: {name}")
            )
    return [name for name in dict.fromkeys(_TRACKS.value) if name in known]


def estimator_of(source: str) -> estimators.Estimator:
    """What --estimates names: a baseline or a folder; its sources are told later."""
    if source in estimators.BASELINES:
        return estimators.Estimator(source, ())
    return estimators.Estimator("estimates_dir", (), source)


def main(arguments):
    folders = systems.named_folders(arguments)
    estimate_folders = systems.named_folders(_ESTIMATES.value)
    if unknown := sorted(set(estimate_folders) - set(folders)):
        raise app.UsageError(
            f"--estimates must name one of {', '.join(folders)}. Received: {unknown[0]}"
        )
    if not _DATA_DIR.value and (estimate_folders or _TRACKS.value):
        raise app.UsageError("--estimates and --tracks need --data_dir")
    output = pathlib.Path(_OUTPUT_DIR.value).expanduser()
    page.check_output(output, overwrite=_OVERWRITE.value)
    errors = []
    compared = systems.read_scores(folders, errors.append)
    data, names = {}, []
    if _DATA_DIR.value:
        found = find_tracks(_DATA_DIR.value, subsets=(_SUBSET.value,))
        data = {track.name: track for track in found}
        first = next(iter(compared.values()))
        names = chosen_tracks(first, data, errors.append)
    energies = contents.read_energies(folders, compared, data, errors.append)
    summaries = contents.summarize(compared, energies)
    comparisons = contents.compare(compared)
    with page.new_folder(output) as folder:
        page.write_assets(folder)
        for form in ("csv", "json"):
            text = tables.format_summaries(summaries, form, comparisons=comparisons)
            (folder / f"summary.{form}").write_text(f"{text}\n", encoding="utf-8")
        pictures = contents.draw_figures(folder / "figures", compared, energies)
        names = contents.write_tracks(
            folder / "tracks",
            names,
            compared,
            data,
            {
                system: estimator_of(str(source))
                for system, source in estimate_folders.items()
                if system in compared
            },
            start_seconds=_START_SECONDS.value,
            duration_seconds=_DURATION_SECONDS.value,
            audio_format=_AUDIO_FORMAT.value,
            left_out=errors.append,
        )
        page.write_index(
            folder,
            systems=list(compared),
            tracks_scored=len(next(iter(compared.values()))),
            tables=html_tables.format_summaries(summaries, comparisons),
            pictures=pictures,
            tracks=names,
        )
    for error in errors:
        app.print_error(error)
    print(output / "index.html")
    return 1 if errors else 0


if __name__ == "__main__":
    app.run(main, arguments="systems: NAME=DIR …")
