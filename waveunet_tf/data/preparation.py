"""Prepares any data set: a folder of stems at the model's rate, like MUSDB18-HQ."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from absl import logging

from waveunet_tf.audio import resample
from waveunet_tf.audio.decoder_process import decoding_apart
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.data.estimates import EstimateLevels
from waveunet_tf.data.manifest import (
    Settings,
    entries_of_earlier_run,
    forget_notes,
    note_entry,
    write_manifest,
)
from waveunet_tf.data.tracks import Track, TrackReader
from waveunet_tf.errors import InputError
from waveunet_tf.system import (
    beam,
    dask_cluster,
    dask_jobs,
    files,
    own_folders,
    processes,
)
from waveunet_tf.system.files import file_sha256
from waveunet_tf.system.progress_lines import with_progress

# Errors of the output folder: no other track could be written either.
_FATAL = files.FULL_DISK | {errno.EACCES, errno.EIO}
# A lossy codec leaves about -28 dB of a mixture; much more is another song.
_MAX_RESIDUAL_DB = -10


def prepare_tracks(
    tracks: list[Track],
    output: str | os.PathLike,
    settings: Settings,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    pipeline_runner: str | None = None,
    pipeline_options: Sequence[str] = (),
) -> list[str]:
    """Writes `<output>/<subset>/<track>/<source>.wav` and `mixture.wav` of each track.

    `manifest.json` beside them holds for each track its origin, its length, the hash
    of each file, the number of clipped samples, and how far the sum of the sources is
    from the mixture. A track of the manifest is not prepared again: a stopped run goes
    on, and ends with the same bytes as one that was not stopped.

    Args:
        tracks: The tracks to prepare.
        output: A folder that is new, empty, or of an earlier run of the same settings.
        settings: The rate, sources and bit depth to write.
        workers: The number of tracks prepared at a time, in processes here; None: one,
            or with the scheduler "local" one for each core.
        scheduler: The scheduler of dask.distributed whose workers prepare the tracks;
            see `dask_cluster.connect`. They must see the source and the output by the
            same absolute paths as the caller.
        pipeline_runner: The pipeline runner of Apache Beam that prepares the tracks,
            such as DirectRunner; by default processes here do. Its workers must see
            the source and the output by the same absolute paths as the caller.
        pipeline_options: Beam's own options, such as `--direct_num_workers=4`.

    Returns:
        One line for each track that could not be prepared; the others are done.

    Raises:
        InputError: The output folder holds something else, or another run is at work
            in it; or Beam or dask is not installed, or there is no such pipeline runner
            or scheduler.
        OSError: The output folder cannot be written.
    """
    output = pathlib.Path(output)
    if pipeline_runner:
        beam.import_beam()  # Before anything is written.
    if scheduler:
        dask_cluster.import_distributed()
    if pipeline_runner or scheduler:
        output = output.absolute()  # Its workers may run in other folders.
    with files.locked_folder(output), decoding_apart():
        entries = entries_of_earlier_run(output, settings, tracks)
        files.remove_parts(output)
        # At once: a later run knows the folder by its manifest.
        write_manifest(output, settings, entries)
        forget_notes(output)
        wanted = [track for track in tracks if track.label not in entries]
        logging.info(
            "preparing %d tracks at %d Hz", len(wanted), settings.sample_rate_hz
        )
        _tell_unused(wanted, settings)
        jobs = [(track, output, settings) for track in wanted]
        record = functools.partial(_record, output, settings, entries)
        if pipeline_runner:
            results = beam.run_on_beam(
                try_to_prepare_and_note,
                jobs,
                output,
                pipeline_runner=pipeline_runner,
                options=pipeline_options,
                on_results=record,
            )
        else:
            if scheduler:
                results = dask_jobs.results_on_dask(
                    scheduler, try_to_prepare, jobs, _failed, workers=workers
                )
            else:
                results = processes.run_in_processes(try_to_prepare, jobs, workers or 1)
            results = _recorded(results, len(jobs), record)
        failures = _collect_failures(results)
        files.remove_parts(output)  # of workers that outlived a killed run
    return [failures[track.label] for track in wanted if track.label in failures]


def _recorded(
    results: Iterable[tuple], count: int, record: Callable[[list], None]
) -> Iterator[tuple]:
    """Records each track as soon as it is done."""
    for result in with_progress(results, "prepare", count):
        record([result])
        yield result


def _collect_failures(results: Iterable[tuple]) -> dict[str, str]:
    """Waits for the results, and tells of them; returns label → why it failed."""
    failures, done = {}, []
    for label, entry, failure in results:
        if entry is None:
            failures[label] = failure
        else:
            _warn(label, entry)
            done.append(entry)
    _tell(done)
    return failures


def _failed(job: tuple, reason: str) -> tuple[str, None, str]:
    """Makes the result of a track whose worker could not prepare it."""
    label = job[0].label
    return label, None, reason if reason.startswith(label) else f"{label}: {reason}"


def _record(
    output: pathlib.Path, settings: Settings, entries: dict, results: list[tuple]
) -> None:
    """Adds the tracks that could be prepared to the manifest."""
    entries.update({label: entry for label, entry, _ in results if entry is not None})
    write_manifest(output, settings, entries)
    forget_notes(output)


def try_to_prepare(
    job: tuple[Track, pathlib.Path, Settings],
) -> tuple[str, dict | None, str | None]:
    """Calls `prepare_track`, in a process of its own or on a machine of Beam's.

    Args:
        job: The arguments of `prepare_track`.

    Returns:
        The track's label, its entry in the manifest, and the reason why there is none.

    Raises:
        OSError: The output cannot be written, which is not the track's fault.
    """
    track, output, settings = job
    try:
        with decoding_apart(keep=processes.in_worker()):
            return track.label, prepare_track(track, output, settings), None
    except InputError as error:
        return _failed(job, str(error))
    except OSError as error:
        if error.errno in _FATAL:
            raise
        return _failed(job, str(error))


def try_to_prepare_and_note(
    job: tuple[Track, pathlib.Path, Settings],
) -> tuple[str, dict | None, str | None]:
    """Calls `try_to_prepare` where the results come back at the end of the run alone.

    A run that is stopped before then goes on from the notes.
    """
    _, output, _ = job
    label, entry, _ = result = try_to_prepare(job)
    if entry is not None:
        note_entry(output, label, entry)
    return result


def prepare_track(track: Track, output: pathlib.Path, settings: Settings) -> dict:
    """Writes a track's folder, which appears when it is whole, in constant memory.

    Returns:
        The track's entry in the manifest.

    Raises:
        InputError: The track is broken, or its stems do not agree.
        OSError: A file cannot be written.
    """
    folder = output / track.subset / track.name
    if folder.exists():  # A run was stopped before it could record the track.
        stems = [f"{name}.wav" for name in ("mixture", *settings.sources)]
        own_folders.remove_files(folder, stems)
    with track.open(settings.sources, settings.mending) as reader:
        with files.atomic_folder(folder) as part:
            measured, levels = _write_stems(part, reader, settings)
            if not measured["frames"]:
                raise InputError(f"{track.label}: must hold audio, but has zero frames")
            if reader.rest or track.estimates:
                levels.check(track.label)
            names = ("mixture", *settings.sources)
            hashes = {name: file_sha256(part / f"{name}.wav") for name in names}
        return {
            "origin": {str(path): path.stat().st_size for path in sorted(reader.paths)},
            "origin_hz": reader.sample_rate_hz,
            **measured,
            "sha256": hashes,
            **_origin_of_sources(track, reader, settings),
        }


def _origin_of_sources(track: Track, reader: TrackReader, settings: Settings) -> dict:
    """Tells which source is the rest of the mixture, and which are estimates."""
    told = {"rest": reader.rest} if reader.rest else {}
    if track.estimates:
        estimates = track.estimates.among(settings.sources, track.sources)
        told["estimates"] = estimates.to_dict()
    return told


def _write_stems(
    folder: pathlib.Path, reader: TrackReader, settings: Settings
) -> tuple[dict, EstimateLevels]:
    """Writes a track's mixture and sources.

    Returns:
        What the manifest tells of them, and their levels.
    """
    names = ("mixture", *settings.sources)
    statistics, levels = _Statistics(), EstimateLevels()
    with contextlib.ExitStack() as stack:
        writers = {
            name: stack.enter_context(
                AudioWriter(
                    folder / f"{name}.wav",
                    settings.sample_rate_hz,
                    reader.channels,
                    bit_depth=settings.bit_depth,
                )
            )
            for name in names
        }
        for block in resample.resample_blocks(
            reader.blocks(),
            round(reader.sample_rate_hz * settings.speed),
            dict.fromkeys(names, settings.sample_rate_hz),
            reader.channels,
        ):
            for name, writer in writers.items():
                writer.write(block[name])
            statistics.add(block, clipped=settings.bit_depth < 32)
            levels.add(block)
    measured = {
        "frames": statistics.frames,
        "channels": reader.channels,
        "clipped_samples": sum(writer.clipped_samples for writer in writers.values()),
        "residual_db": round(statistics.residual_db, 2),
    }
    return measured, levels


class _Statistics:
    """Counts a track's frames, and measures mixture − sum of the sources."""

    def __init__(self):
        self.frames, self._rest, self._mixture = 0, 0.0, 0.0

    def add(self, block: dict[str, np.ndarray], *, clipped: bool) -> None:
        if clipped:
            block = {name: stem.clip(-1, 1) for name, stem in block.items()}
        mixture = block["mixture"]
        rest = mixture - sum(stem for name, stem in block.items() if name != "mixture")
        self.frames += len(mixture)
        self._rest += float(np.sum(np.square(rest, dtype=np.float64)))
        self._mixture += float(np.sum(np.square(mixture, dtype=np.float64)))

    @property
    def residual_db(self) -> float:
        """Energy of mixture − sum over that of the mixture, in dB, at least -200."""
        ratio = self._rest / max(self._mixture, 1e-20)
        return float(10 * np.log10(max(ratio, 1e-20)))


def _tell_unused(tracks: Sequence[Track], settings: Settings) -> None:
    """Tells in one line which stems are part of no source."""
    unused = [track.unused(settings.sources, settings.mending) for track in tracks]
    if names := sorted({name for of_track in unused for name in of_track}):
        first = next(track.label for track, names in zip(tracks, unused) if names)
        logging.warning(
            "%s: in none of the sources, and left out, in %d of %d tracks (%s, …)",
            ", ".join(names),
            *(sum(map(bool, unused)), len(tracks), first),
        )


def _tell(entries: list[dict]) -> None:
    """Tells what was made of mixtures and of estimates."""
    rests = [entry["rest"] for entry in entries if "rest" in entry]
    if rests:
        logging.info(
            "%s is the mixture less the other sources in %d of %d tracks",
            *(rests[0], len(rests), len(entries)),
        )
    if estimated := sum("estimates" in entry for entry in entries):
        logging.info(
            "%d of %d tracks have a teacher's estimates for stems",
            *(estimated, len(entries)),
        )


def _warn(label: str, entry: dict) -> None:
    if entry["clipped_samples"]:
        logging.warning("%s: %d samples clipped", label, entry["clipped_samples"])
    if entry["residual_db"] > _MAX_RESIDUAL_DB:
        logging.warning(
            "%s: the mixture is not the sum of its sources: their difference has "
            "%.1f dB of the mixture",
            label,
            entry["residual_db"],
        )
