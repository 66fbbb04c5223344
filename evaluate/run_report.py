r"""Makes a folder with a page that compares systems: scores, figures, and a player.

    waveunet report M4=~/scores/m4 mixture=~/scores/mixture \
        --data_dir ~/musdb18 --estimates M4=~/stems/m4 --output_dir ~/report

An argument NAME=DIR is a system's name and the folder of its scores, as `score` writes
them. OUTPUT_DIR/index.html opens in a browser from the file system, without a
network. With --data_dir the page has a player for excerpts of some tracks: mixture,
true sources, and the estimates of each system that --estimates names. All play
together, each with mute and solo, waveform, spectrogram, and the SDR under the cursor.
"""

import pathlib
from collections.abc import Callable

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.tracks import SUBSETS, Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import systems
from waveunet_tf.evaluate.report import contents, page, selection, track_files
from waveunet_tf.evaluate.scores import TrackScores
from waveunet_tf.evaluate.system_arguments import named_folders
from waveunet_tf.system import files, own_folders

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The folder to make.", required=True, short_name="o"
)
_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "The true sources: MUSDB18 (*.stem.mp4), MUSDB18-HQ, or another folder of stems. "
    "Without it the page has no player.",
)
_SUBSET = flags.DEFINE_enum("subset", "test", SUBSETS, "The subset of the tracks.")
_ESTIMATES = flags.DEFINE_multi_string(
    "estimates",
    [],
    "NAME=DIR: a system and the folder of its estimates, as `score`'s "
    "--estimates_dir reads it. Once for each system to listen to. NAME=oracle_irm or "
    "NAME=mixture: a baseline of `score`.",
)
_TRACKS = flags.DEFINE_list(
    "tracks",
    None,
    "Tracks to listen to, comma separated (a name with a comma in double quotes). "
    "Default: the first system's worst, median and best track, by the median SDR.",
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
    "The highest length of an excerpt.",
    lower_bound=1,
    upper_bound=600,
)
_AUDIO_FORMAT = flags.DEFINE_enum(
    "audio_format",
    "opus",
    track_files.AUDIO_FORMATS,
    "The page's audio format: opus (lossy, 256 kbit/s, 48 kHz) or flac (16 bits, "
    "three times the size).",
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace a report that exists.")


def chosen_tracks(
    scores: dict[str, TrackScores],
    data: dict[str, Track],
    left_out: Callable[[InputError], None],
) -> list[str]:
    """Returns the tracks to listen to: those of --tracks, or typical ones.

    Args:
        scores: Track → scores of the first system.
        data: Track → its true sources.
        left_out: Called with an error for each unknown track.
    """
    if _TRACKS.value is None:
        return selection.typical_tracks(scores, set(data))
    known = set(data) & set(scores)
    tracks = {name: files.find_name(name, known) for name in _TRACKS.value}
    for name, found in tracks.items():
        if found is None:
            there = files.find_name(name, data)
            where = "the scores of all systems" if there else _DATA_DIR.value
            left_out(
                InputError(f"--tracks must name tracks of {where}. Received: {name}")
            )
    return [name for name in dict.fromkeys(tracks.values()) if name is not None]


def listening_from_flags(
    estimate_folders: dict[str, pathlib.Path],
    compared: systems.Systems,
    left_out: Callable[[InputError], None],
) -> contents.Listening:
    """Returns what the player plays, which is nothing without --data_dir.

    Args:
        estimate_folders: System → the folder or baseline that --estimates names.
        compared: System → track → scores.
        left_out: Called with an error for each unknown track.

    Raises:
        InputError: The data set has no such tracks.
    """
    if not _DATA_DIR.value:
        return contents.Listening()
    found = find_tracks(_DATA_DIR.value, subsets=(_SUBSET.value,))
    data = {track.name: track for track in found}
    return contents.Listening(
        chosen_tracks(next(iter(compared.values())), data, left_out),
        data,
        {
            system: contents.estimator_named(str(folder))
            for system, folder in estimate_folders.items()
        },
        _START_SECONDS.value,
        _DURATION_SECONDS.value,
        _AUDIO_FORMAT.value,
    )


def main(arguments):
    """Makes the report and prints the path of its page."""
    folders = named_folders(arguments)
    estimate_folders = named_folders(_ESTIMATES.value)
    if unknown := sorted(set(estimate_folders) - set(folders)):
        raise app.UsageError(
            f"--estimates must name one of {', '.join(folders)}. Received: {unknown[0]}"
        )
    if not _DATA_DIR.value and (estimate_folders or _TRACKS.value):
        raise app.UsageError("--estimates and --tracks need --data_dir")
    output = pathlib.Path(_OUTPUT_DIR.value)
    own_folders.require_own(output, page.WHAT, overwrite=_OVERWRITE.value)
    errors = []
    compared = systems.read_scores(folders, errors.append)
    listening = listening_from_flags(estimate_folders, compared, errors.append)
    stems = listening.data if _DATA_DIR.value else None
    energies = systems.energies_if_any(folders, compared, errors.append, stems=stems)
    with own_folders.made_folder(output, page.WHAT) as folder:
        contents.write_report(folder, compared, energies, listening, errors.append)
    for error in errors:
        app.print_error(error)
    print(output / "index.html")
    return 1 if errors else 0


if __name__ == "__main__":
    app.run(main, arguments="systems: NAME=DIR …")
