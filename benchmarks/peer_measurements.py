"""Measures separators: each separates the same songs in processes of its own."""

from __future__ import annotations

import dataclasses
import json
import math
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence

import numpy as np

from benchmarks.common import last_error
from benchmarks.peer_child import SOURCES
from waveunet_tf.audio import io, resample
from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate.true_stems import read_true_stems

OURS = "wave_u_net"
"""The key of this project's models in `peer_child.SEPARATORS`."""
_RATE_HZ = 44100
_REPEATS = 2  # how often a process separates the song that is timed


@dataclasses.dataclass(frozen=True)
class Peer:
    """A separator that is measured.

    Attributes:
        name: Its name in the table.
        separator: Its key in `peer_child.SEPARATORS`.
        path: What the child loads.
        size_bytes: How large that is on the disk.
    """

    name: str
    separator: str
    path: pathlib.Path
    size_bytes: int


@dataclasses.dataclass(frozen=True)
class Cost:
    """What separating costs with one separator.

    Attributes:
        factor: Seconds of work for a second of sound, from wav file to wav files.
        first_seconds: Seconds from the start of the process to the first track's stems.
        peak_mib: The process's peak memory in MiB.
    """

    factor: float
    first_seconds: float
    peak_mib: float

    def best(self, other: Cost) -> Cost:
        """Returns the shorter times of two costs, and the higher memory."""
        return Cost(
            min(self.factor, other.factor),
            min(self.first_seconds, other.first_seconds),
            max(self.peak_mib, other.peak_mib),
        )


class Songs:
    """The songs to separate, as wav files: the tracks' mixtures, and a longer one."""

    def __init__(self, folder: pathlib.Path, tracks: Sequence[Track], seconds: float):
        """Writes the files.

        Args:
            folder: An empty folder.
            tracks: The tracks.
            seconds: The length of the longer song: the mixtures, one after the other,
                again and again. All separators are timed on it.

        Raises:
            InputError: A track cannot be read.
            OSError: A file cannot be read or written.
        """
        self.mixtures: list[tuple[Track, pathlib.Path]] = []
        self.long, self.seconds = folder / "long.wav", seconds
        parts, frames, wished = [], 0, math.ceil(seconds * _RATE_HZ)
        for number, track in enumerate(tracks):
            stems = read_true_stems(track, SOURCES)
            path = folder / f"{number}.wav"
            io.write_wav(path, stems.mixture, stems.sample_rate_hz, bit_depth=32)
            self.mixtures.append((track, path))
            if frames < wished:
                part = resample.resample(
                    to_channels(stems.mixture, 2), stems.sample_rate_hz, _RATE_HZ
                )
                parts.append(part)
                frames += len(part)
        song = np.resize(np.concatenate(parts), (wished, 2))  # repeats it
        io.write_wav(self.long, song, _RATE_HZ, bit_depth=32)


def measure_peers(
    peers: Iterable[Peer], songs: Songs, estimates: pathlib.Path, rounds: int
) -> dict[str, Cost]:
    """Separates all songs by all separators, in turn.

    Args:
        peers: The separators.
        songs: The songs.
        estimates: The folder for `<peer>/<subset>/<track>/<source>.wav`.
        rounds: How often; the shortest times count. All tracks are separated in the
            first round, later only the first one and the longer song.

    Returns:
        Separator → its cost.

    Raises:
        InputError: A separator failed.
        OSError: A file cannot be written.
    """
    costs: dict[str, Cost] = {}
    peers = list(peers)
    for number in range(rounds):
        for peer in peers:
            chosen = songs.mixtures[: None if number == 0 else 1]
            jobs = [
                _job(path, estimates / peer.name / track.subset / track.name)
                for track, path in chosen
            ]
            beside = songs.long.with_suffix("")
            jobs += [_job(songs.long, beside)] * _REPEATS
            cost = _run(peer, jobs, songs.seconds)
            costs[peer.name] = cost.best(costs.get(peer.name, cost))
    return costs


def _job(mixture: pathlib.Path, folder: pathlib.Path) -> dict[str, str]:
    """Makes the folder, and returns what the child needs to know of a song."""
    folder.mkdir(parents=True, exist_ok=True)
    stems = {source: str(folder / f"{source}.wav") for source in SOURCES}
    return {"mixture": str(mixture), **stems}


def _run(peer: Peer, jobs: list[dict[str, str]], seconds: float) -> Cost:
    """Runs a child, whose last songs are the one that is timed."""
    job = {"separator": peer.separator, "path": str(peer.path), "songs": jobs}
    started = time.monotonic()
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.peer_child"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        raise InputError(f"{peer.name}: its process failed: {last_error(child)}")
    told = json.loads(child.stdout.splitlines()[-1])
    took = np.diff(told["ended"])[-_REPEATS:]
    return Cost(
        float(min(took)) / seconds, told["ended"][0] - started, told["peak_mib"]
    )
