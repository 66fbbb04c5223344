"""Scores an estimator on tracks, in processes or on Beam; a stopped run goes on."""

from __future__ import annotations

import errno
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import bss, energies, scored_folder, true_stems
from waveunet_tf.evaluate.estimators import Estimator
from waveunet_tf.evaluate.scored_folder import scores_path
from waveunet_tf.system import beam, cpus, dask_cluster, dask_jobs, files, processes
from waveunet_tf.system.progress_lines import with_progress

if TYPE_CHECKING:
    from museval import TrackStore


def score_tracks(
    tracks: list[Track],
    estimator: Estimator,
    output: str | os.PathLike,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    about: dict[str, Any] | None = None,
    estimated_truth: bool = False,
    scheduler: str | None = None,
    pipeline_runner: str | None = None,
    pipeline_options: Sequence[str] = (),
) -> list[str]:
    """Writes `<output>/<subset>/<track>.json`, as museval does, and energies beside it.

    A track that has scores is not scored again, so that a stopped run goes on; unless
    the files of its estimates or true stems have changed since.

    Args:
        tracks: The tracks to score.
        estimator: The estimator to score.
        output: A folder that is new, or holds scores of the same estimator.
        workers: The number of processes, each of which scores one track at a time;
            None: one, or with the scheduler "local" one for each core.
        overwrite: Whether existing scores are thrown away.
        about: What else the scores depend on, such as the data set's folder.
        estimated_truth: Whether tracks are scored, too, whose stems are estimates.
        scheduler: The scheduler of dask.distributed whose workers score the tracks; see
            `dask_cluster.connect`. They see all folders by the same absolute paths.
        pipeline_runner: The pipeline runner of Beam to score on, in place of processes
            on this machine.
        pipeline_options: Beam's own options.

    Returns:
        One line for each track that could not be scored. All others are scored.

    Raises:
        InputError: The folder holds other scores, another run works in it, or Beam or
            dask is not installed.
        OSError: The folder cannot be written, or a process died.
    """
    output = pathlib.Path(output).absolute()
    note = scored_folder.note_of(tracks, estimator, about or {})
    if pipeline_runner:
        beam.import_beam()  # before anything is written
    if scheduler:
        dask_cluster.import_distributed()
    refused = _estimated(tracks)
    if refused and estimated_truth:
        note["estimated_truth"], refused = True, {}
    tracks = [track for track in tracks if track.label not in refused]
    if refused and not tracks:
        return list(refused.values())
    with files.locked_folder(output), decoding_apart():
        files.remove_parts(output)
        scored_folder.begin(output, note, tracks, overwrite=overwrite)
        wanted = [
            track for track in tracks if not os.path.exists(scores_path(output, track))
        ]
        if len(wanted) < len(tracks):
            done = len(tracks) - len(wanted)
            logging.info("%d tracks are scored already in %s", done, output)
        logging.info("scoring %d tracks", len(wanted))
        threads = 1 if scheduler else None
        if pipeline_runner or (workers or 1) > 1:
            threads = max(cpus.cores() // (workers or 1), 1)
        jobs = [(track, estimator, output, threads) for track in wanted]
        if pipeline_runner:
            results = beam.run_on_beam(
                try_to_score,
                jobs,
                output,
                pipeline_runner=pipeline_runner,
                options=pipeline_options,
            )
        elif scheduler:
            results = dask_jobs.results_on_dask(
                scheduler, try_to_score, jobs, _failed, workers=workers
            )
        else:
            results = processes.run_in_processes(try_to_score, jobs, workers or 1)
        failures = _collect_failures(results, len(jobs))
        files.remove_parts(output)  # of workers that outlived a killed run
    failed = [failures[track.label] for track in wanted if track.label in failures]
    return [*refused.values(), *failed]


def _estimated(tracks: list[Track]) -> dict[str, str]:
    """Returns label → the reason why a track is not scored: its truth is estimated."""
    return {
        track.label: f"{track.label}: its stems must be true ones, or "
        f"--estimated_truth be given. Received: {track.estimates}"
        for track in tracks
        if track.estimates
    }


def _collect_failures(results: Iterable, count: int) -> dict[str, str]:
    """Waits for the results of `try_to_score`; logs warnings, returns the failures."""
    failures = {}
    for label, failure, warnings in with_progress(results, "score", count):
        for warning in warnings:
            logging.warning("%s", warning)
        if failure:
            failures[label] = failure
    return failures


def try_to_score(job: tuple) -> tuple[str, str | None, list[str]]:
    """Scores a track and writes its files.

    Args:
        job: The track, the estimator, the folder of the scores, and the number of
            threads (None: all).

    Returns:
        The track's label, the reason why it could not be scored or None, and warnings.

    Raises:
        OSError: The output cannot be written, which is no fault of the track.
    """
    track, estimator, output, threads = job
    warnings: list[str] = []
    try:
        with decoding_apart(keep=processes.in_worker()):
            scores, measured = score_track(
                track, estimator, threads, on_warning=warnings.append
            )
    except (InputError, OSError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.strerror:
            reason = f"{error.filename}: {error.strerror}"
        return _failed(job, reason)
    except MemoryError:
        return _failed(job, "needs more memory than there is")
    path = scores_path(output, track)
    beside = path.with_name(track.name + energies.SUFFIX)
    scores.validate()
    try:
        # The scores are written last: they mark the track as done.
        with files.atomic_files([beside, path]) as (energies_part, scores_part):
            text = energies.format_track_energies(measured)
            energies_part.write_text(text, encoding="utf-8")
            scores_part.write_text(scores.json, encoding="utf-8")
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return _failed(job, f"{error.filename}: {error.strerror}")
    return track.label, None, warnings + silence_warnings(track.label, measured)


def _failed(job: tuple, reason: str) -> tuple[str, str, list[str]]:
    """Makes the result of a track that could not be scored."""
    label = job[0].label
    return label, reason if reason.startswith(label) else f"{label}: {reason}", []


def score_track(
    track: Track,
    estimator: Estimator,
    threads: int | None = None,
    *,
    on_warning: Callable[[str], None] = logging.warning,
) -> tuple[TrackStore, energies.TrackEnergies]:
    """Reads a track, estimates its sources, and scores the estimates.

    Args:
        track: The track.
        estimator: The estimator.
        threads: The number of CPU threads, where other processes work too; None: all.
        on_warning: Called with a line for each estimate that had to be mended.

    Returns:
        museval's store of the scores, and the energies.

    Raises:
        InputError: The track or an estimate cannot be used.
        OSError: A file cannot be read.
    """
    stems = true_stems.read_true_stems(track, estimator.sources)
    estimates = estimator.estimate(track, stems, threads, on_warning=on_warning)
    references, rate_hz = stems.sources, stems.sample_rate_hz
    del stems  # frees the parts, for museval needs much memory
    scores = bss.score_estimates(
        track.label, references, estimates, rate_hz, threads=1 if threads else None
    )
    measured = energies.measure_energies(track.name, references, estimates, rate_hz)
    return scores, measured


def silence_warnings(label: str, measured: energies.TrackEnergies) -> list[str]:
    """Returns a line for each source or estimate whose silence costs scores.

    museval gives no score to any source in a frame in which one source or one estimate
    is silent. Silent frames of a true source that sounds elsewhere need no warning.

    Args:
        label: The track's name in the warnings.
        measured: The track's energies.
    """
    lines = []
    for source, reference in measured.reference.items():
        if not reference.any():
            lines.append(f"{label}: {source} is silent throughout: it has no score")
            continue
        heard = reference[: measured.frames] > 0
        lost = heard & (measured.estimate[source][: measured.frames] == 0)
        if lost.any():
            lines.append(
                f"{label}: the estimate of {source} is silent in {np.sum(lost)} of the "
                f"{np.sum(heard)} frames in which {source} is not: these have no score"
            )
    return lines
