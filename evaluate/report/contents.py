"""The contents of a report: summaries of the scores, figures, tracks to listen to."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import tqdm
from absl import logging

from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies as energy_metrics
from waveunet_tf.evaluate import estimators, figures, levels, plots, summary, tables
from waveunet_tf.evaluate.estimators import Estimator
from waveunet_tf.evaluate.report import html_tables, page, selection, track_files
from waveunet_tf.evaluate.report.html_tables import Summaries
from waveunet_tf.evaluate.report.page import Picture
from waveunet_tf.evaluate.scores import METRICS
from waveunet_tf.evaluate.summary import Comparison
from waveunet_tf.evaluate.systems import Energies, LeftOut, Systems


@dataclasses.dataclass(frozen=True)
class Listening:
    """What the page's player plays.

    Attributes:
        tracks: The names of the tracks, in order.
        data: Track → its true stems.
        estimators: System → the estimator to listen to; systems without one are left
            out. Their `sources` are those of the system's scores.
        start_seconds: Where excerpts begin; None: where the quietest source is loudest.
        duration_seconds: The highest length of an excerpt.
        audio_format: One of track_files.AUDIO_FORMATS.
    """

    tracks: Sequence[str] = ()
    data: Mapping[str, Track] = dataclasses.field(default_factory=dict)
    estimators: Mapping[str, Estimator] = dataclasses.field(default_factory=dict)
    start_seconds: float | None = None
    duration_seconds: float = selection.DURATION_SECONDS
    audio_format: str = "opus"


def write_report(
    folder: pathlib.Path,
    systems: Systems,
    energies: Energies,
    listening: Listening,
    left_out: LeftOut,
) -> None:
    """Writes a report into an empty folder.

    Args:
        folder: The folder.
        systems: System → track → scores.
        energies: System → track → energies, which may be none.
        listening: What the player plays.
        left_out: Called with an error for each track or estimate that cannot be heard.
    """
    page.write_assets(folder)
    summaries, comparisons = summarize_all(systems, energies)
    for form in ("csv", "json"):
        text = tables.format_summaries(summaries, form, comparisons=comparisons)
        (folder / f"summary.{form}").write_text(
            f"{text}\n", encoding="utf-8", errors="backslashreplace"
        )
    pictures = draw_figures(folder / "figures", systems, energies)
    names = write_listening(folder / "tracks", systems, listening, left_out)
    page.write_index(
        folder,
        systems=list(systems),
        tracks_scored=len(next(iter(systems.values()))),
        tables=html_tables.summary_tables(summaries, comparisons),
        pictures=pictures,
        tracks=names,
    )


def estimator_named(name: str) -> Estimator:
    """Returns a baseline or the estimator of a folder, with sources yet unknown.

    Args:
        name: One of estimators.BASELINES, or a folder's path.
    """
    if name in estimators.BASELINES:
        return estimators.BASELINES[name](())
    return estimators.FolderEstimator((), name)


def summarize_all(
    systems: Systems, energies: Energies
) -> tuple[Summaries, list[Comparison]]:
    """Summarises all metrics of all systems, and compares the systems' SDR.

    The metrics of energies are there if there are energies.

    Args:
        systems: System → track → scores.
        energies: System → track → energies.
    """
    metrics = [*METRICS, *(energy_metrics.METRICS if any(energies.values()) else ())]
    summaries, comparisons = summary.summarize_systems(
        systems, energies, metrics, left_out=lambda error: logging.warning("%s", error)
    )
    return summaries, [test for test in comparisons if test.metric == "SDR"]


def draw_figures(
    folder: pathlib.Path, systems: Systems, energies: Energies
) -> list[Picture]:
    """Draws the figures of the SDR; those by level need energies.

    Args:
        folder: The folder to write in.
        systems: System → track → scores.
        energies: System → track → energies.
    """
    drawings = {
        Picture("distributions", "SDR of all frames, by source and system."): (
            plots.sdr_distributions,
            systems,
        )
    }
    if levels.level_rows(systems, energies, ["SDR"]):
        by_level = "SDR by the level of the true source."
        left = "Mean and median SDR as the quietest frames are left out."
        drawings |= {
            Picture("by_energy", by_level): (plots.sdr_by_energy, systems, energies),
            Picture("quietest_left_out", left): (
                plots.quietest_left_out,
                systems,
                energies,
            ),
        }
    for picture, (draw, *data) in tqdm.tqdm(drawings.items(), "draw", disable=None):
        figures.save_figure(draw(*data), folder / picture.stem)
    return list(drawings)


def write_listening(
    folder: pathlib.Path, systems: Systems, listening: Listening, left_out: LeftOut
) -> list[str]:
    """Writes excerpts of tracks for the player, and returns the tracks' names.

    Args:
        folder: The folder to write in.
        systems: System → track → scores.
        listening: What the player plays.
        left_out: Called with an error for each track or estimate that cannot be heard.
    """
    written: list[str] = []
    for name in tqdm.tqdm(listening.tracks, "listen", unit="track", disable=None):
        scores = {system: tracks[name] for system, tracks in systems.items()}
        sources = sorted({source for own in scores.values() for source in own.sources})
        own = {
            system: dataclasses.replace(
                estimator, sources=tuple(sorted(scores[system].sources))
            )
            for system, estimator in listening.estimators.items()
            if system in systems
        }
        try:
            excerpt = selection.read_excerpt(
                listening.data[name],
                tuple(sources),
                own,
                start_seconds=listening.start_seconds,
                duration_seconds=listening.duration_seconds,
                left_out=left_out,
            )
        except (InputError, OSError) as error:
            left_out(error)
            continue
        number = len(written) + 1
        track_files.write_track_files(
            folder, number, excerpt, scores, audio_format=listening.audio_format
        )
        written.append(name)
    return written
