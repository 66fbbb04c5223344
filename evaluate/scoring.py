"""Scores an estimator on tracks: in processes, or on Beam; goes on where it stopped."""

from __future__ import annotations

import os
import pathlib
from importlib import metadata
from typing import Any

import numpy as np
import tqdm
import yaml
from absl import logging

from evaluate import bss, energies, true_stems
from evaluate.estimators import Estimator
from waveunet_tf.data.tracks import SUBSETS, Track
from waveunet_tf.errors import InputError
from waveunet_tf.system import beam, cpus, files, processes

# Beside the scores: what was scored.
NOTE = "scored.yaml"


def score(
    tracks: list[Track],
    estimator: Estimator,
    output: str | os.PathLike,
    *,
    workers: int = 1,
    overwrite: bool = False,
    about: dict[str, Any] | None = None,
    runner: str | None = None,
    options: list[str] | None = None,
) -> list[str]:
    """Writes `<output>/<subset>/<track>.json`, as museval does, and energies beside it.

    A track that has both is not scored again, so that a stopped run goes on.

    Args:
        tracks: the tracks.
        estimator: what is scored.
        output: a folder that is new, or holds scores of the same estimator.
        workers: processes that score a track each.
        overwrite: whether scores that are there are thrown away.
        about: what else the scores depend on, such as the data set's folder.
        runner: one of Beam's runners, to score on instead of in processes here.
        options: Beam's own.

    Returns:
        One line for each track that could not be scored; the others are done.

    Raises:
        InputError: the folder holds other scores, another run is at work in it, or
            Beam is not installed.
        OSError: the folder cannot be written, or a process died.
    """
    output = pathlib.Path(output).absolute()
    note = {**estimator.identity(), **(about or {})}
    note["museval"] = metadata.version("museval")
    if runner:
        beam.import_beam()  # before anything is written
    with files.locked_folder(output):
        files.remove_parts(output)
        _begin(output, note, tracks, overwrite)
        wanted = [track for track in tracks if not scores_path(output, track).exists()]
        if len(wanted) < len(tracks):
            done = len(tracks) - len(wanted)
            logging.info("%d tracks are scored already in %s", done, output)
        logging.info("scoring %d tracks", len(wanted))
        threads = None
        if runner or workers > 1:
            threads = max(cpus.cores() // workers, 1)
        jobs = [(track, estimator, output, threads) for track in wanted]
        if runner:
            results = beam.run_on_beam(
                try_to_score,
                jobs,
                output,
                pipeline_runner=runner,
                options=options or (),
            )
        else:
            results = processes.run_in_processes(try_to_score, jobs, workers)
        failures = {}
        for label, failure, warnings in tqdm.tqdm(
            results, "score", len(jobs), unit="track", disable=None
        ):
            for warning in warnings:
                logging.warning("%s", warning)
            if failure:
                failures[label] = failure
    return [failures[track.label] for track in wanted if track.label in failures]


def scores_path(output: pathlib.Path, track: Track) -> pathlib.Path:
    """Where museval writes a track's scores: `<output>/<subset>/<track>.json`."""
    return output / track.subset / f"{track.name}.json"


def _begin(
    output: pathlib.Path, note: dict, tracks: list[Track], overwrite: bool
) -> None:
    """Notes what is scored; keeps scores of anything else out of it."""
    path = output / NOTE
    earlier = _read_note(path)
    same = earlier is not None and _compared(earlier) == _compared(note)
    subsets = {track.subset for track in tracks} if same else set(SUBSETS)
    old = [
        old
        for subset in sorted(subsets)
        for suffix in (".json", energies.SUFFIX)
        for old in sorted((output / subset).glob(f"*{suffix}"))
    ]
    if old and not overwrite and not same:
        what = "without a note of what they are of" if earlier is None else "of another"
        differ = sorted(
            key
            for key in {*(earlier or {}), *note}
            if earlier and earlier.get(key) != note.get(key)
        )
        came = f" ({', '.join(differ)})" if differ else ""
        raise InputError(
            f"{output}: must be a new folder, or one with scores of the same estimator "
            f"and data, or --overwrite be given, but has scores {what}{came}"
        )
    if overwrite:
        for scores in old:
            scores.unlink()
    with files.atomic_file(path) as part:
        part.write_text(
            yaml.safe_dump(note, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def _read_note(path: pathlib.Path) -> dict | None:
    try:
        note = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, yaml.YAMLError):
        return {}
    return note if isinstance(note, dict) else {}


def _compared(note: dict) -> dict:
    """A network is the same wherever it lies."""
    return {k: v for k, v in note.items() if k != "path" or "sha256" not in note}


def try_to_score(job: tuple) -> tuple[str, str | None, list[str]]:
    """Scores a track; gives its label, why it could not be scored, and warnings.

    Raises:
        OSError: the output cannot be written, which is not the track's fault.
    """
    track, estimator, output, threads = job
    try:
        scores, measured = score_track(track, estimator, threads)
    except (InputError, OSError) as error:
        reason = str(error)
        if isinstance(error, OSError) and error.strerror:
            reason = f"{error.filename}: {error.strerror}"
        if not reason.startswith(track.label):
            reason = f"{track.label}: {reason}"
        return track.label, reason, []
    except MemoryError:
        return track.label, f"{track.label}: needs more memory than there is", []
    path = scores_path(output, track)
    beside = path.with_name(track.name + energies.SUFFIX)
    scores.validate()
    # The scores last: they tell that a track is done.
    with files.atomic_files([beside, path]) as (energies_part, scores_part):
        energies_part.write_text(energies.format_track(measured), encoding="utf-8")
        scores_part.write_text(scores.json, encoding="utf-8")
    return track.label, None, silence_warnings(track.label, measured)


def score_track(track: Track, estimator: Estimator, threads: int | None = None):
    """Reads, estimates and scores a track.

    Args:
        track: the track.
        estimator: what is scored.
        threads: of the CPU, if other processes are at work, too.

    Returns:
        museval's TrackStore, and TrackEnergies.

    Raises:
        InputError: the track or an estimate is not as it must be.
        OSError: a file cannot be read.
    """
    stems = true_stems.read(track, estimator.sources)
    estimates = estimator.estimate(track, stems, threads)
    references, rate_hz = stems.sources, stems.sample_rate_hz
    del stems  # the parts are no longer needed, and museval needs much memory
    scores = bss.score_track(
        track.label, references, estimates, rate_hz, threads=1 if threads else None
    )
    return scores, energies.measure(track.name, references, estimates, rate_hz)


def silence_warnings(label: str, measured: energies.TrackEnergies) -> list[str]:
    """A line for each source whose estimate's silence leaves frames without a score.

    museval gives none to any source of a frame in which one source or one estimate is
    silent. The true source's silence is nobody's fault.
    """
    lines = []
    for source, reference in measured.reference.items():
        heard = reference[: measured.frames] > 0
        lost = heard & (measured.estimate[source][: measured.frames] == 0)
        if lost.any():
            lines.append(
                f"{label}: the estimate of {source} is silent in {np.sum(lost)} of the "
                f"{np.sum(heard)} frames in which {source} is not: these have no score"
            )
    return lines
