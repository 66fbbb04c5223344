"""Measures what exported files lose against the Keras network, and what they cost."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Mapping

import numpy as np

from waveunet_tf.checkpoints.checkpoint import Checkpoint
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.export.kinds import KINDS
from waveunet_tf.export.parity_songs import ParitySong
from waveunet_tf.networks import shapes
from waveunet_tf.separation import runners, tflite_file
from waveunet_tf.separation.separator import load_tflite_separator
from waveunet_tf.system import cpus

# A second whose sources are all below this level is silence, and has no SNR.
_SILENCE_RMS = 1e-3
# Frames of one call of the Keras network.
_HOP_FRAMES = 65536
_MIN_SECONDS = 5


@dataclasses.dataclass(frozen=True)
class ParityRow:
    """The figures of an exported file.

    Attributes:
        artefact: The file's name.
        kind: The kind of its numbers, of kinds.KINDS.
        mib: The file's size in MiB.
        snr_db: The SNR against the Keras network in dB, all sources as one signal: the
            median over the songs' seconds.
        worst_snr_db: The SNR of the worst second in dB.
        sdr_change_db: Source → the median over seconds of museval's SDR in dB, less
            that of the Keras network's estimate; no source that museval cannot score.
        factor_1: Seconds of work for a second of audio at the network's rate, on one
            thread, of the fastest of some steps.
        factor_2: The same on two threads.
        peak_mib: The peak memory in MiB of a Python process that runs the file.
        load_seconds: The seconds that this process takes to load it.
    """

    artefact: str
    kind: str
    mib: float
    snr_db: float
    worst_snr_db: float
    sdr_change_db: dict[str, float]
    factor_1: float
    factor_2: float
    peak_mib: float
    load_seconds: float


def keras_estimates(
    checkpoint_dir: str | os.PathLike, songs: list[ParitySong]
) -> list[dict[str, np.ndarray]]:
    """Separates songs with the Keras network, in windows that equal one pass.

    Args:
        checkpoint_dir: The checkpoint.
        songs: The songs.

    Returns:
        For each song, source → `(frames, channels)`.

    Raises:
        InputError: The folder is no checkpoint, or its weights cannot be loaded.
    """
    import tensorflow as tf

    checkpoint = Checkpoint.open(checkpoint_dir)
    config, network = (
        checkpoint.config,
        tf.function(checkpoint.load_network(), autograph=False),
    )
    windows = shapes.song_windows(config, _HOP_FRAMES)

    def engine(mixture):
        return network(mixture)

    return [runners.start(config, engine, windows).run(song.mixture) for song in songs]


def signal_to_noise_db(
    expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray], rate_hz: int
) -> np.ndarray:
    """Computes the SNR in dB of each second that is not silent.

    Args:
        expected: Source → `(frames, channels)`; all sources count as one signal.
        actual: As `expected`, with errors.
        rate_hz: Their sample rate in Hz.

    Returns:
        `(seconds,)`, without the silent ones, and without a rest of half a second; NaN
        where `actual` has a number that is none.

    Raises:
        InputError: `expected` has NaN or infinity, so that nothing can be compared.
    """
    signal = np.concatenate(list(expected.values()), axis=1)
    if not np.isfinite(signal).all():
        raise InputError(
            "the network must give finite samples. Received: NaN or infinity"
        )
    noise = np.concatenate([actual[name] for name in expected], axis=1) - signal
    decibels = []
    for start in range(0, max(len(signal) - rate_hz // 2, 1), rate_hz):
        part = slice(start, start + rate_hz)
        power = float(np.mean(np.square(signal[part], dtype=np.float64)))
        error = float(np.mean(np.square(noise[part], dtype=np.float64)))
        if power > _SILENCE_RMS**2:
            decibels.append(10 * np.log10(power / np.maximum(error, 1e-30)))
    return np.array(decibels)


def measure_files(
    artefacts: list[pathlib.Path],
    checkpoint_dir: str | os.PathLike,
    songs: list[ParitySong],
    names: Mapping[pathlib.Path, str] | None = None,
) -> list[ParityRow]:
    """Measures exported files of a checkpoint, each beside the Keras network.

    Args:
        artefacts: The TFLite files.
        checkpoint_dir: The checkpoint that they were made of.
        songs: The songs on which their SNR and SDR are measured.
        names: File → its name in the table, if that is not the file's own.

    Raises:
        InputError: A file is not one of this project's, or is of another network; or
            all songs are silent.
    """
    config = Checkpoint.open(checkpoint_dir).config
    references = [
        _Reference(song, estimate, _scores(song, estimate, config))
        for song, estimate in zip(songs, keras_estimates(checkpoint_dir, songs))
    ]
    rows = []
    for path in artefacts:
        separator = load_tflite_separator(path)
        if separator.config != config:
            raise InputError(f"{path}: must be of the checkpoint {checkpoint_dir}")
        name = (names or {}).get(path, path.name)
        row = _measure_file(path, name, _kind(path), separator, references)
        rows.append(row)
    return rows


@dataclasses.dataclass(frozen=True)
class _Reference:
    """A song, the Keras network's estimate, and that estimate's SDR by source."""

    song: ParitySong
    estimate: dict[str, np.ndarray]
    sdr_db: dict[str, np.ndarray]


def _kind(path: pathlib.Path) -> str:
    """Reads the kind of a file's numbers, of kinds.KINDS."""
    kind = tflite_file.read_metadata(path, path.read_bytes()).get("quantization")
    if kind not in KINDS:
        raise InputError(
            f"{path}: its kind must be one of {', '.join(KINDS)}. Received: {kind!r}"
        )
    return kind


def _measure_file(
    path: pathlib.Path, name: str, kind: str, separator, references: list[_Reference]
) -> ParityRow:
    config = separator.config
    decibels: list[np.ndarray] = []
    changes: dict[str, list[np.ndarray]] = {}
    for reference in references:
        song = reference.song
        stems = separator.runner().run(song.mixture)
        decibels.append(
            signal_to_noise_db(reference.estimate, stems, config.sample_rate_hz)
        )
        for source, sdr_db in _scores(song, stems, config).items():
            changes.setdefault(source, []).append(sdr_db - reference.sdr_db[source])
    snr_db = np.concatenate(decibels)
    scored = {source: np.concatenate(change) for source, change in changes.items()}
    if not len(snr_db):
        raise InputError("the songs must have something to be heard, but are silent")
    costs = {threads: cost_in_a_process(path, threads) for threads in (1, 2)}
    return ParityRow(
        artefact=name,
        kind=kind,
        mib=path.stat().st_size / 2**20,
        snr_db=float(np.median(snr_db)),
        worst_snr_db=float(snr_db.min()),
        sdr_change_db={
            source: float(np.nanmedian(change))
            for source, change in scored.items()
            if not np.isnan(change).all()  # all: of silent estimates
        },
        factor_1=costs[1]["factor"],
        factor_2=costs[2]["factor"],
        peak_mib=costs[1]["peak_mib"],
        load_seconds=costs[1]["load_seconds"],
    )


def _scores(
    song: ParitySong, stems: dict[str, np.ndarray], config: NetworkConfig
) -> dict[str, np.ndarray]:
    """Returns source → museval's SDR of each second; {} where it cannot score them."""
    from waveunet_tf.evaluate import bss

    heard = [
        name
        for name, stem in song.stems.items()
        if name in bss.TARGETS and not bss.is_silent(stem)
    ]
    if len(heard) < 2 or len(song.mixture) < config.sample_rate_hz:
        return {}
    scores = bss.score_estimates(
        song.name,
        {name: song.stems[name] for name in heard},
        {name: stems[name] for name in heard},
        config.sample_rate_hz,
    ).scores
    return {
        target["name"]: np.array(
            [frame["metrics"]["SDR"] for frame in target["frames"]], np.float64
        )
        for target in scores["targets"]
    }


def cost_in_a_process(path: pathlib.Path, threads: int) -> dict[str, float]:
    """Measures the `cost` of a file in a process of its own.

    Args:
        path: The TFLite file.
        threads: Threads of the CPU.

    Raises:
        InputError: The process died.
    """
    code = (
        "import json, sys; from waveunet_tf.export import parity; "
        "print(json.dumps(parity.cost(sys.argv[1], int(sys.argv[2]))))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(path), str(threads)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if child.returncode:
        raise InputError(f"{path}: the process that measures it died")
    return json.loads(child.stdout)


def cost(path: str | os.PathLike, threads: int) -> dict[str, float]:
    """Measures what a file costs in this process.

    Args:
        path: The TFLite file.
        threads: Threads of the CPU; no more than there are cores are used.

    Returns:
        `load_seconds`; `factor`, the seconds of work for a second of audio; and
        `peak_mib`, the peak memory of this process in MiB (NaN where unknown).
    """
    started = time.perf_counter()
    separator = load_tflite_separator(path, threads=min(threads, cpus.cores()))
    load_seconds = time.perf_counter() - started
    config = separator.config
    runner = separator.runner()
    frames = runner.hop_frames * max(
        -(-_MIN_SECONDS * config.sample_rate_hz // runner.hop_frames), 2
    )
    noise = np.random.default_rng(0).normal(0, 0.1, (frames, config.channels))
    noise = noise.astype(np.float32)
    runner.push(np.zeros((runner.needed_frames, config.channels), np.float32))
    seconds = []
    for start in range(0, frames, runner.hop_frames):
        started = time.perf_counter()
        runner.push(noise[start : start + runner.hop_frames])
        seconds.append(time.perf_counter() - started)
    status = pathlib.Path("/proc/self/status")
    peak = re.search(
        r"VmHWM:\s*(\d+) kB", status.read_text() if status.exists() else ""
    )
    return {
        "load_seconds": load_seconds,
        # The fastest step: other work on this machine makes some steps longer.
        "factor": min(seconds) / runner.hop_frames * config.sample_rate_hz,
        "peak_mib": int(peak[1]) / 1024 if peak else float("nan"),
    }
