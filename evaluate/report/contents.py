"""What a report holds: summaries of the scores, figures, tracks to listen to."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tqdm
from absl import logging

from evaluate import energies as energy_metrics
from evaluate import figures, levels, plots, summary, systems
from evaluate.energies import SUFFIX, TrackEnergies
from evaluate.estimators import Estimator
from evaluate.report import selection, track_files
from evaluate.report.html_tables import Summaries
from evaluate.report.page import Picture
from evaluate.scores import METRICS
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError

LeftOut = Callable[[Exception], Any]


def read_energies(
    folders: dict[str, pathlib.Path],
    compared: plots.Systems,
    data: dict[str, Track],
    left_out: LeftOut,
) -> dict[str, dict[str, TrackEnergies]]:
    """Each system's energies by track; those of the true sources where it has none.

    Args:
        folders: system → folder of its scores.
        compared: system → track → scores.
        data: track → its true sources, to be measured where no system has energies; if
            there are neither, no system gets any.
        left_out: is told of files that cannot be read, and of tracks without energies.
    """
    if not any(any(folder.rglob(f"*{SUFFIX}")) for folder in folders.values()):
        if not data:
            logging.warning(
                "no energies beside the scores, and no --data_dir: none by level"
            )
            return {system: {} for system in compared}
        logging.info("no energies beside the scores: measuring the true sources")
    return systems.energies_by_system(folders, compared, left_out, stems=data)


def summarize(
    compared: plots.Systems, energies: Mapping[str, Mapping[str, TrackEnergies]]
) -> Summaries:
    """All metrics of all systems: museval's, and those of the energies where these are.

    Args:
        compared: system → track → scores.
        energies: system → track → energies.
    """
    summaries: dict[str, dict] = {}
    for system, tracks in compared.items():
        metrics = [*METRICS, *(energy_metrics.METRICS if energies[system] else ())]
        summaries[system] = {}
        for metric in metrics:
            try:
                summaries[system][metric] = summary.summarize(
                    tracks, metric, energies=energies[system]
                )
            except InputError as error:
                logging.warning("%s: %s is left out: %s", system, metric, error)
    return summaries


def compare(compared: plots.Systems) -> list[summary.Comparison]:
    """Tests the SDR of every two systems against each other."""
    values = {name: summary.track_values(own) for name, own in compared.items()}
    return summary.compare(values, "SDR")


def draw_figures(
    folder: pathlib.Path,
    compared: plots.Systems,
    energies: dict[str, dict[str, TrackEnergies]],
) -> list[Picture]:
    """Draws the figures of the SDR; those by level only where there are energies.

    Args:
        folder: where to.
        compared: system → track → scores.
        energies: system → track → energies.
    """
    drawings = {
        Picture("distributions", "SDR of all frames, by source and system."): (
            plots.sdr_distributions,
            compared,
        )
    }
    if levels.rows(compared, energies, ["SDR"]):
        by_level = "SDR by the level of the true source."
        left = "Mean and median SDR as the quietest frames are left out."
        drawings |= {
            Picture("by_energy", by_level): (plots.sdr_by_energy, compared, energies),
            Picture("quietest_left_out", left): (
                plots.quietest_left_out,
                compared,
                energies,
            ),
        }
    for picture, (draw, *data) in tqdm.tqdm(drawings.items(), "draw", disable=None):
        figures.save(draw(*data), folder / picture.stem)
    return list(drawings)


def write_tracks(
    folder: pathlib.Path,
    names: Iterable[str],
    compared: plots.Systems,
    data: Mapping[str, Track],
    estimators: dict[str, Estimator],
    *,
    audio_format: str,
    left_out: LeftOut,
    **options,
) -> list[str]:
    """Writes excerpts of tracks for the player; gives the names of those written.

    Args:
        folder: where to.
        names: of the tracks.
        compared: system → track → scores.
        data: track → its true sources.
        estimators: system → what gives its estimates; without those that have none.
        audio_format: see track_files.write_track.
        left_out: is told of tracks and estimates that cannot be read.
        **options: see excerpts.read_excerpt.
    """
    written: list[str] = []
    for name in tqdm.tqdm(list(names), "listen", unit="track", disable=None):
        scores = {system: tracks[name] for system, tracks in compared.items()}
        sources = sorted({source for own in scores.values() for source in own.sources})
        own = {
            system: dataclasses.replace(estimator, sources=tuple(sources))
            for system, estimator in estimators.items()
        }
        try:
            excerpt = selection.read_excerpt(
                data[name], tuple(sources), own, left_out=left_out, **options
            )
        except (InputError, OSError) as error:
            left_out(error)
            continue
        number = len(written) + 1
        track_files.write_track(
            folder, number, excerpt, scores, audio_format=audio_format
        )
        written.append(name)
    return written
