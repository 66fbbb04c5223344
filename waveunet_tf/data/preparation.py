"""Any data set → a folder of stems at the model's rate, as MUSDB18-HQ has it."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil

import numpy as np
import tqdm
from absl import logging

from waveunet_tf.audio import resample
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.data.manifest import Settings, entries_of_earlier_run, write_manifest
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.system import files, processes
from waveunet_tf.system.files import file_sha256

# What keeps any track from being written.
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}
# A lossy codec leaves about -28 dB of a mixture; much more is another song.
_MAX_RESIDUAL_DB = -10


def prepare_tracks(
    tracks: list[Track],
    output: str | os.PathLike,
    settings: Settings,
    *,
    workers: int = 1,
) -> list[str]:
    """Writes `<output>/<subset>/<track>/<source>.wav` and `mixture.wav`.

    A `manifest.json` beside them tells of each track its origin, its frames, the hash
    of each file, how many samples were clipped, and how far the sum of its sources is
    from its mixture. A track of the manifest is not prepared again, so that a stopped
    run goes on, to the same bytes as one that was not stopped.

    Args:
        tracks: the tracks.
        output: a folder that is new, empty, or of an earlier run of the same settings.
        settings: what is written.
        workers: processes that prepare_tracks a track each.

    Returns:
        One line for each track that could not be prepared; the others are done.

    Raises:
        InputError: the output folder holds something else.
        OSError: the output folder cannot be written.
    """
    output = pathlib.Path(output)
    entries = entries_of_earlier_run(output, settings, tracks)
    with files.locked_folder(output):
        return _prepare(tracks, output, settings, entries, workers)


def _prepare(tracks, output, settings, entries, workers) -> list[str]:
    files.remove_parts(output)
    # At once, for it tells a later run that the folder is one of ours.
    write_manifest(output, settings, entries)
    wanted = [track for track in tracks if track.label not in entries]
    failures = {}
    logging.info("preparing %d tracks at %d Hz", len(wanted), settings.sample_rate_hz)
    jobs = [(track, output, settings) for track in wanted]
    results = processes.run_in_processes(try_to_prepare, jobs, workers)
    for label, entry in tqdm.tqdm(
        results, "prepare_tracks", len(jobs), unit="track", disable=None
    ):
        if isinstance(entry, str):
            failures[label] = entry
            continue
        entries[label] = entry
        _warn(label, entry)
        write_manifest(output, settings, entries)
    return [failures[track.label] for track in wanted if track.label in failures]


def try_to_prepare(job: tuple) -> tuple[str, dict | str]:
    """Calls `prepare_track`; gives the label, and the entry or why there is none.

    Raises:
        OSError: the output cannot be written, which is not the track's fault.
    """
    track, output, *_ = job
    try:
        return track.label, prepare_track(*job)
    except InputError as error:
        reason = str(error)
    except OSError as error:
        if error.errno in _FATAL:  # it would be for the others, too
            raise
        reason = str(error)
    return (
        track.label,
        reason if reason.startswith(track.label) else f"{track.label}: {reason}",
    )


def prepare_track(track: Track, output: pathlib.Path, settings: Settings) -> dict:
    """Writes a track's folder, which appears when it is whole, in constant memory.

    Returns:
        Its entry in the manifest.

    Raises:
        InputError: the track cannot be read as it must be.
        OSError: a file cannot be read or written.
    """
    folder = output / track.subset / track.name
    if folder.exists():  # of a run that was stopped before it could note the track
        shutil.rmtree(folder)
    with track.open(settings.sources, settings.mending) as reader:
        names = ("mixture", *settings.sources)
        with files.atomic_folder(folder) as part:
            statistics = _Statistics()
            with contextlib.ExitStack() as stack:
                writers = {
                    name: stack.enter_context(
                        AudioWriter(
                            part / f"{name}.wav",
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
            if not statistics.frames:
                raise InputError(f"{track.label}: must hold audio, but has zero frames")
            hashes = {name: file_sha256(part / f"{name}.wav") for name in names}
        return {
            "origin": {str(path): path.stat().st_size for path in sorted(reader.paths)},
            "origin_hz": reader.sample_rate_hz,
            "frames": statistics.frames,
            "channels": reader.channels,
            "clipped_samples": sum(
                writer.clipped_samples for writer in writers.values()
            ),
            "residual_db": round(statistics.residual_db, 2),
            "sha256": hashes,
        }


class _Statistics:
    """Frames of a track, and how far its sources' sum is from its mixture."""

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


def _warn(label: str, entry: dict) -> None:
    if entry["clipped_samples"]:
        logging.warning("%s: %d samples clipped", label, entry["clipped_samples"])
    if entry["residual_db"] > _MAX_RESIDUAL_DB:
        logging.warning(
            "%s: its mixture is not the sum of its sources: what is left has %.1f dB "
            "of it",
            label,
            entry["residual_db"],
        )
