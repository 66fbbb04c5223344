"""Scores separators, and writes the table, the plot, and the page to listen to."""

from __future__ import annotations

import math
import pathlib
from collections.abc import Mapping, Sequence

from benchmarks import peer_plot, peer_rows
from benchmarks.peer_measurements import OURS, Cost, Peer
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import figures, scoring, systems, tables
from waveunet_tf.evaluate.estimators import BASELINES, Estimator
from waveunet_tf.evaluate.report import contents, selection
from waveunet_tf.evaluate.systems import Energies, Systems


def score_systems(
    tracks: Sequence[Track],
    estimators: Mapping[str, Estimator],
    folder: pathlib.Path,
    *,
    workers: int,
) -> tuple[Systems, Energies]:
    """Scores all systems on all tracks.

    Args:
        tracks: The tracks.
        estimators: System → what gives its stems.
        folder: The folder for a folder of scores for each system.
        workers: The number of processes, each of which scores one track at a time.

    Raises:
        InputError: A track could not be scored.
        OSError: A file cannot be read or written.
    """
    folders = {name: folder / name for name in estimators}
    for name, estimator in estimators.items():
        failures = scoring.score_tracks(
            list(tracks), estimator, folders[name], workers=workers
        )
        if failures:
            raise InputError(f"{name}: {failures[0]}")
    scores = systems.read_scores(folders, _raise)
    return scores, systems.energies_by_system(folders, scores, _raise)


def write_report_of_peers(
    folder: pathlib.Path,
    tracks: Sequence[Track],
    estimators: Mapping[str, Estimator],
    scores: Systems,
    energies: Energies,
) -> None:
    """Writes a page with the first system's worst, median and best track to hear.

    Args:
        folder: The folder to make.
        tracks: The tracks.
        estimators: System → what gives its stems.
        scores: System → track → scores.
        energies: System → track → energies.

    Raises:
        InputError: A track or an estimate cannot be read.
        OSError: A file cannot be read or written.
    """
    data = {track.name: track for track in tracks}
    typical = selection.typical_tracks(next(iter(scores.values())), set(data))
    folder.mkdir()
    contents.write_report(
        folder, scores, energies, contents.Listening(typical, data, estimators), _raise
    )


def write_table(
    folder: pathlib.Path,
    scores: Systems,
    costs: Mapping[str, Cost],
    peers: Sequence[Peer],
) -> str:
    """Writes `peers.csv`, `peers.md`, and the plot `peers.png` and `peers.svg`.

    Args:
        folder: The folder to write in.
        scores: System → track → scores.
        costs: Separator → its cost.
        peers: The separators that were measured.

    Returns:
        The table, and a line that compares the best of ours with the best of others.

    Raises:
        OSError: A file cannot be written.
    """
    medians = peer_rows.median_sdrs(scores)
    sizes = {peer.name: peer.size_bytes for peer in peers}
    rows = peer_rows.peer_rows(medians, costs, sizes)
    texts = {
        form: tables.format_rows(peer_rows.COLUMNS, rows, form)
        for form in ("csv", "markdown", "text")
    }
    for form, suffix in (("csv", "csv"), ("markdown", "md")):
        (folder / f"peers.{suffix}").write_text(f"{texts[form]}\n", encoding="utf-8")
    figures.save_figure(peer_plot.draw_peers(medians, costs), folder / "peers")
    ours = {peer.name for peer in peers if peer.separator == OURS}
    others = set(medians) - ours - set(BASELINES)
    best = [
        max(sorted(names), key=lambda name: _or_least(medians[name]["vocals"]))
        for names in (ours, others or {"mixture"})
    ]
    return f"{texts['text']}\n{peer_rows.closing_line(medians, costs, *best)}"


def _or_least(median_db: float) -> float:
    """Returns a median; the least there is where no frame has a score."""
    return -math.inf if math.isnan(median_db) else median_db


def _raise(error: Exception) -> None:
    raise error
