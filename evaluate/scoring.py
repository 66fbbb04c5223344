"""Scores an estimator on tracks, in processes or on Beam; a stopped run goes on."""

from __future__ import annotations

import errno
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
import tqdm
from absl import logging

from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.data.tracks import SUBSETS, Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import bss, energies, true_stems
from waveunet_tf.evaluate.estimators import Estimator
from waveunet_tf.system import beam, cpus, dask_cluster, dask_jobs, files, processes

if TYPE_CHECKING:
    from museval import TrackStore

# The file beside the scores that says what was scored.
NOTE = "scored.yaml"
# What in it changes with each track's files, by the track's label.
_STATES = "files"


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
    note = {**estimator.identity(), **(about or {})}
    note["museval"] = metadata.version("museval")
    states = {track.label: _state_of(track, estimator) for track in tracks}
    if states := {label: state for label, state in states.items() if state}:
        note[_STATES] = states
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
        _begin(output, note, tracks, overwrite)
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
    for label, failure, warnings in tqdm.tqdm(
        results, "score", count, unit="track", disable=None
    ):
        for warning in warnings:
            logging.warning("%s", warning)
        if failure:
            failures[label] = failure
    return failures


def scores_path(output: pathlib.Path, track: Track) -> pathlib.Path:
    """Returns where museval writes a track's scores: `<output>/<subset>/<track>.json`.

    Args:
        output: The folder of the scores.
        track: The track.
    """
    return output / track.subset / f"{track.name}.json"


def _begin(
    output: pathlib.Path, note: dict, tracks: list[Track], overwrite: bool
) -> None:
    """Writes what is scored into the folder; refuses a folder of other scores."""
    import yaml  # not every install has it

    path = output / NOTE
    earlier = _read_note(path)
    same = earlier is not None and _of_all(earlier) == _of_all(note)
    subsets = {track.subset for track in tracks} if same else set(SUBSETS)
    old = [
        old
        for subset in sorted(subsets)
        for suffix in (".json", energies.SUFFIX)
        for old in sorted((output / subset).glob(f"*{suffix}"))
    ]
    if old and not overwrite and not same:
        what = "without a note of their estimator" if earlier is None else "of another"
        differing = sorted(
            key
            for key in {*(earlier or {}), *note} - {_STATES}
            if earlier and earlier.get(key) != note.get(key)
        )
        listing = f" ({', '.join(differing)})" if differing else ""
        raise InputError(
            f"{output}: must be a new folder, or one with scores of the same estimator "
            f"and data, or --overwrite be given, but has scores {what}{listing}"
        )
    if old and overwrite and not (earlier or {}).get("museval"):
        raise InputError(
            f"{output}: --overwrite replaces scores of `waveunet score` only, but this "
            f"folder has no {NOTE} of it"
        )
    if overwrite:
        ours = {scores_path(output, track) for track in tracks}
        for scores in old:
            stem = scores.name.removesuffix(energies.SUFFIX).removesuffix(".json")
            pair = {scores.with_name(stem + end) for end in (".json", energies.SUFFIX)}
            if pair <= set(old) or scores in ours:
                scores.unlink()
    if same and (states := {**_states(earlier), **_states(note)}):
        _remove_outdated(output, _states(earlier), states, tracks)
        note = {**note, _STATES: states}
    with files.atomic_file(path) as part:
        text = yaml.safe_dump(note, sort_keys=False, allow_unicode=True)
        part.write_text(text, encoding="utf-8")


def _read_note(path: pathlib.Path) -> dict | None:
    """Reads a note; None where there is none, {} where the file is not a note."""
    import yaml

    try:
        note = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, yaml.YAMLError):
        return {}
    return note if isinstance(note, dict) else {}


def _of_all(note: dict) -> dict:
    """Returns what of a note all scores in a folder have in common.

    A network is the same wherever it lies, and files are a track's own.
    """
    place = {"path"} if "sha256" in note else set()
    return {key: note[key] for key in note.keys() - place - {_STATES}}


def _state_of(track: Track, estimator: Estimator) -> str:
    """Returns what changes with a track's files; "" where one is missing."""
    try:
        true = true_stems.true_files(track, estimator.sources)
        return files.state_of_files([*true, *estimator.files_of(track)])
    except (InputError, OSError):  # which `score_track` tells
        return ""


def _states(note: dict) -> dict[str, str]:
    """Returns the states of tracks' files, which earlier versions did not note."""
    states = note.get(_STATES)
    return states if isinstance(states, dict) else {}


def _remove_outdated(
    output: pathlib.Path, earlier: dict, now: dict, tracks: list[Track]
) -> None:
    """Removes the scores of files that have changed since."""
    for track in tracks:
        path = scores_path(output, track)
        label = track.label
        if label in earlier and earlier[label] != now[label] and path.exists():
            logging.warning("%s: has other stems now: scored again", label)
            path.unlink()


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
