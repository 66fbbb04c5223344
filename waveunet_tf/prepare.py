"""Any data set → a folder of stems at the model's rate, as MUSDB18-HQ has it."""

from __future__ import annotations

import concurrent.futures.process
import contextlib
import dataclasses
import errno
import hashlib
import itertools
import json
import multiprocessing.connection
import os
import pathlib
import shutil
import signal
import sys
import threading
from collections.abc import Iterator

import numpy as np
import tqdm
from absl import logging

from waveunet_tf import audio, files
from waveunet_tf.encode import AudioWriter
from waveunet_tf.errors import InputError
from waveunet_tf.tracks import SUBSETS, Mending, Track

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MANIFEST_VERSION = 2
MANIFEST = "manifest.json"
# What keeps any track from being written.
_FATAL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}
# A lossy codec leaves about -28 dB of a mixture; much more is another song.
_MAX_RESIDUAL_DB = -10


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a prepared data set is like, the same for all its tracks.

    Attributes:
        sample_rate_hz: the model's sample rate in Hz.
        sources: names of the sources to write.
        bit_depth: 16 with dither, 24, or 32, which is float and never clipped.
        validation: how the validation tracks were chosen (see splits.split), or None.
        mending: what is made of tracks that are not as they must be.

    Raises:
        InputError: the names are no names of files, of which each is another; or a sum
            is none of the sources.
    """

    sample_rate_hz: int
    sources: tuple[str, ...]
    bit_depth: int = 16
    validation: str | None = None
    mending: Mending = dataclasses.field(default_factory=Mending)

    def __post_init__(self):
        names = self.sources
        if not names or len(set(names)) < len(names) or "mixture" in names:
            raise InputError(
                "`sources` must be different names, and not mixture. "
                f"Received: {', '.join(names)}"
            )
        for name in names:
            if not name or name[0] == "." or set(name) & set("/\\\0"):
                raise InputError(
                    f"`sources` must be names of files. Received: {name!r}"
                )
        if unknown := sorted(set(self.mending.merges) - set(names)):
            raise InputError(
                f"`merges` must be of the sources {', '.join(names)}. "
                f"Received: {unknown[0]}"
            )

    def to_dict(self) -> dict:
        """What the manifest holds of them."""
        return {
            "format_version": MANIFEST_VERSION,
            **dataclasses.asdict(self),
            "sources": list(self.sources),
            "mending": {
                **dataclasses.asdict(self.mending),
                "merges": {
                    name: list(stems) for name, stems in self.mending.merges.items()
                },
            },
        }


def prepare(
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
        workers: processes that prepare a track each.

    Returns:
        One line for each track that could not be prepared; the others are done.

    Raises:
        InputError: the output folder holds something else.
        OSError: the output folder cannot be written.
    """
    output = pathlib.Path(output)
    entries = entries_of_earlier_run(output, settings, tracks)
    with _locked(output):
        return _prepare(tracks, output, settings, entries, workers)


def _prepare(tracks, output, settings, entries, workers) -> list[str]:
    remove_parts(output)
    # At once, for it tells a later run that the folder is one of ours.
    write_manifest(output, settings, entries)
    wanted = [track for track in tracks if track.label not in entries]
    failures = {}
    logging.info("preparing %d tracks at %d Hz", len(wanted), settings.sample_rate_hz)
    jobs = [(track, output, settings) for track in wanted]
    results = _run(jobs, min(workers, len(jobs)))
    for label, entry in tqdm.tqdm(
        results, "prepare", len(jobs), unit="track", disable=None
    ):
        if isinstance(entry, str):
            failures[label] = entry
            continue
        entries[label] = entry
        _warn(label, entry)
        write_manifest(output, settings, entries)
    return [failures[track.label] for track in wanted if track.label in failures]


def write_manifest(output: pathlib.Path, settings: Settings, entries: dict) -> None:
    """Writes the manifest, its tracks in an order that does not depend on the run."""

    def place(label: str) -> tuple[int, str]:
        subset, _, name = label.partition("/")
        return SUBSETS.index(subset), name

    ordered = {label: entries[label] for label in sorted(entries, key=place)}
    manifest = {**settings.to_dict(), "tracks": ordered}
    with files.atomic_file(output / MANIFEST) as part:
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        part.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")


def _run(jobs: list[tuple], workers: int) -> Iterator[tuple[str, dict | str]]:
    """Prepares tracks, some at a time; gives each one's label and result."""
    if workers <= 1:
        for job in jobs:
            yield try_to_prepare(job)
        return
    # "spawn", because a fork of a process with threads may hang.
    executor = concurrent.futures.ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _end_by_sigterm
    )
    waiting, running = iter(jobs), set()
    try:
        while True:
            # No more than can run, lest much is still to do after Ctrl-C.
            with _interrupts_ignored():  # by the workers, from their first moment on
                for job in itertools.islice(waiting, workers - len(running)):
                    running.add(executor.submit(try_to_prepare, job))
            if not running:
                return
            done, running = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                yield future.result()
    except concurrent.futures.process.BrokenProcessPool as error:
        raise OSError(
            "a process that prepares tracks died, such as for want of memory; fewer "
            "--workers need less"
        ) from error
    finally:
        if running:  # Ctrl-C, or no space
            for process in executor._processes.values():
                process.terminate()
        executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """For processes that are started meanwhile: Ctrl-C is the parent's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_by_sigterm() -> None:
    """For a worker: clears up when it is told to end, and ends with its parent."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    parent = multiprocessing.parent_process()

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(143)

    threading.Thread(target=end_with_parent, daemon=True).start()


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
                for block in _resampled(reader, names, settings.sample_rate_hz):
                    for name, writer in writers.items():
                        writer.write(block[name])
                    statistics.add(block, clipped=settings.bit_depth < 32)
            if not statistics.frames:
                raise InputError(f"{track.label}: must hold audio, but has zero frames")
            hashes = {name: _sha256(part / f"{name}.wav") for name in names}
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


def _resampled(reader, names: tuple[str, ...], rate_hz: int) -> Iterator[dict]:
    """A track's blocks at another rate."""
    resamplers = {
        name: audio.StreamResampler(reader.sample_rate_hz, rate_hz, reader.channels)
        for name in names
    }
    for block in reader.blocks():
        yield {name: resamplers[name].push(block[name]) for name in names}
    yield {name: resampler.finish() for name, resampler in resamplers.items()}


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


def _sha256(path: pathlib.Path) -> str:
    hashed = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            hashed.update(block)
    return hashed.hexdigest()


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


def read_manifest(output: str | os.PathLike) -> dict:
    """Reads a prepared folder's manifest.

    Raises:
        InputError: there is none, or it is broken or of another version.
    """
    path = pathlib.Path(output) / MANIFEST
    try:
        text = path.read_text("utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{output}: must be what run_prepare wrote, but has no {MANIFEST}"
        ) from None
    return parse_manifest(text, path)


def parse_manifest(text: str, path: str | os.PathLike) -> dict:
    """What is in a manifest; see read_manifest.

    Args:
        text: its content.
        path: to name in errors.
    """
    try:
        manifest = json.loads(text)
        version = manifest["format_version"]
        for name in ("sample_rate_hz", "sources", "bit_depth", "validation"):
            manifest[name]
        for label, entry in manifest["tracks"].items():
            subset, name = label.split("/")
            if subset not in SUBSETS or name in ("", ".", ".."):
                raise ValueError(label)
            for field in ("origin", "frames", "channels", "sha256", "residual_db"):
                entry[field]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: must be a manifest, but cannot be read") from error
    if version != MANIFEST_VERSION:
        raise InputError(
            f"{path}: `format_version` must be {MANIFEST_VERSION}. Received: {version}"
        )
    return manifest


def entries_of_earlier_run(
    output: pathlib.Path, settings: Settings, tracks: list[Track]
) -> dict:
    """What an earlier run of the same settings has prepared of these tracks.

    A track that is gone from the output, or whose files have changed their sizes, is
    left out, to be prepared again.

    Raises:
        InputError: the output holds something else; or the tracks of an earlier run,
            but in other subsets.
    """
    if not output.exists() or not any(output.iterdir()):
        return {}
    if not (output / MANIFEST).exists():
        raise InputError(
            f"{output}: must be new, empty, or of an earlier run, but holds files "
            f"without a {MANIFEST}"
        )
    manifest = read_manifest(output)
    entries = manifest.pop("tracks")
    if manifest != settings.to_dict():
        raise InputError(
            f"{output}: must be of an earlier run with {settings.to_dict()}, but its "
            f"{MANIFEST} has {manifest}"
        )
    labels = {track.label for track in tracks}
    subset_of = {track.name: track.subset for track in tracks}
    kept = {}
    for label, entry in entries.items():
        name = label.partition("/")[2]
        if label in labels:
            if (output / label).is_dir() and _is_unchanged(entry["origin"]):
                kept[label] = entry
            continue
        if name in subset_of:
            raise InputError(
                f"{output}: tracks must be in the subsets of the earlier run, but "
                f"{label} would now be in {subset_of[name]}"
            )
        logging.warning("%s: is prepared, but not in the source any more", label)
        kept[label] = entry
    return kept


def _is_unchanged(sizes: dict[str, int]) -> bool:
    with contextlib.suppress(OSError):
        return all(os.stat(path).st_size == size for path, size in sizes.items())
    return False


def remove_parts(output: pathlib.Path) -> None:
    """Removes what killed runs left half-written."""
    for path in [*output.glob(".part-*"), *output.glob("*/.part-*")]:
        path.unlink() if path.is_file() else shutil.rmtree(path)


@contextlib.contextmanager
def _locked(output: pathlib.Path) -> Iterator[None]:
    """Keeps other runs out of the folder; a killed process gives it free."""
    output.mkdir(parents=True, exist_ok=True)
    if fcntl is None:
        yield
        return
    folder = os.open(output, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{output}: another run is at work in it") from error
        yield
    finally:
        os.close(folder)


def verify(output: str | os.PathLike) -> list[str]:
    """Checks a prepared folder against its manifest.

    Returns:
        One line for each file that is missing, changed or not of the manifest.

    Raises:
        InputError: see read_manifest.
    """
    output = pathlib.Path(output)
    manifest = read_manifest(output)
    problems, known = [], set()
    entries = manifest["tracks"].items()
    for label, entry in tqdm.tqdm(entries, "verify", unit="track", disable=None):
        for name, expected in entry["sha256"].items():
            path = output / label / f"{name}.wav"
            known.add(path)
            if not path.is_file():
                problems.append(f"{path}: is missing")
            elif _sha256(path) != expected:
                problems.append(f"{path}: is not what was written")
    for subset in SUBSETS:
        for path in sorted((output / subset).rglob("*.wav")):
            if path not in known:
                problems.append(f"{path}: is not of the manifest")
    return problems
