"""What exported files lose against the Keras network on music, and what they cost."""

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

from export.parity_songs import ParitySong
from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.separation import runners, tflite_file
from waveunet_tf.separation.separator import load_tflite_separator
from waveunet_tf.system import cpus

# Seconds whose sources are all below this have no SNR: there is nothing to be heard.
_SILENCE_RMS = 1e-3
# Frames of one call of the Keras network.
_HOP_FRAMES = 65536
_MIN_SECONDS = 5


@dataclasses.dataclass(frozen=True)
class ParityRow:
    """An artefact's figures.

    Attributes:
        artefact: the file's name.
        kind: of quantize.KINDS.
        mib: its size.
        snr_db: against the Keras network, all sources as one signal: the median over
            the songs' seconds.
        worst_snr_db: of the worst second.
        sdr_change_db: source → median over seconds of its museval SDR less that of the
            Keras network's estimate; without what museval cannot score.
        factor_1, factor_2: seconds of work for a second of audio at the network's rate,
            on one thread and on two, of the fastest of some steps.
        peak_mib: peak memory of a Python process that runs it.
        load_seconds: to load it there.
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
    """What the Keras network itself gives, in windows that equal one pass.

    Args:
        checkpoint_dir: the checkpoint.
        songs: the songs.

    Returns:
        For each song, source → `(frames, channels)`.

    Raises:
        InputError: see checkpoint.load_network.
    """
    import tensorflow as tf

    config = checkpoint.read_config(checkpoint_dir)
    network = tf.function(checkpoint.load_network(checkpoint_dir))
    windows = shapes.song_windows(config, _HOP_FRAMES)

    def engine(mixture):
        return network(mixture)

    return [runners.start(config, engine, windows).run(song.mixture) for song in songs]


def signal_to_noise_db(
    expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray], rate_hz: int
) -> np.ndarray:
    """The SNR of each second in which anything is to be heard, in dB.

    Args:
        expected: source → `(frames, channels)`; all sources are taken as one signal.
        actual: as `expected`, with errors.
        rate_hz: their sample rate in Hz.
    """
    signal = np.concatenate(list(expected.values()), axis=1)
    noise = np.concatenate([actual[name] for name in expected], axis=1) - signal
    rows = []
    for start in range(0, max(len(signal) - rate_hz // 2, 1), rate_hz):
        part = slice(start, start + rate_hz)
        power = float(np.mean(np.square(signal[part], dtype=np.float64)))
        error = float(np.mean(np.square(noise[part], dtype=np.float64)))
        if power > _SILENCE_RMS**2:
            rows.append(10 * np.log10(power / max(error, 1e-30)))
    return np.array(rows)


def measure_files(
    artefacts: list[pathlib.Path],
    checkpoint_dir: str | os.PathLike,
    songs: list[ParitySong],
    names: Mapping[pathlib.Path, str] | None = None,
) -> list[ParityRow]:
    """Measures artefacts of a checkpoint, each beside the Keras network.

    Args:
        artefacts: TFLite files.
        checkpoint_dir: the checkpoint that they were made of.
        songs: on which; see read_parity_songs.
        names: file → the name by which the table calls it, if not its own.

    Raises:
        InputError: a file is not one of this project's, or of another network; or
            there is nothing to be heard in the songs.
    """
    config = checkpoint.read_config(checkpoint_dir)
    expected = keras_estimates(checkpoint_dir, songs)
    scores = [_scores(song, own, config) for song, own in zip(songs, expected)]
    rows = []
    for path in artefacts:
        separator = load_tflite_separator(path)
        if separator.config != config:
            raise InputError(f"{path}: must be of the checkpoint {checkpoint_dir}")
        actual = [separator.runner().run(song.mixture) for song in songs]
        decibels = np.concatenate(
            [
                signal_to_noise_db(one, other, config.sample_rate_hz)
                for one, other in zip(expected, actual)
            ]
        )
        if not len(decibels):
            raise InputError(
                "the songs must have something to be heard, but are silent"
            )
        changes: dict[str, list] = {}
        for song, stems, before in zip(songs, actual, scores):
            for name, after in _scores(song, stems, config).items():
                changes.setdefault(name, []).append(after - before[name])
        costs = {threads: cost_in_a_process(path, threads) for threads in (1, 2)}
        metadata = tflite_file.read_metadata(path, path.read_bytes())
        rows.append(
            ParityRow(
                artefact=(names or {}).get(path, path.name),
                kind=metadata["quantization"],
                mib=path.stat().st_size / 2**20,
                snr_db=float(np.median(decibels)),
                worst_snr_db=float(decibels.min()),
                sdr_change_db={
                    name: float(np.nanmedian(np.concatenate(change)))
                    for name, change in changes.items()
                },
                factor_1=costs[1]["factor"],
                factor_2=costs[2]["factor"],
                peak_mib=costs[1]["peak_mib"],
                load_seconds=costs[1]["load_seconds"],
            )
        )
    return rows


def _scores(
    song: ParitySong, stems: dict[str, np.ndarray], config
) -> dict[str, np.ndarray]:
    """Source → museval's SDR of each second; empty where museval cannot score them."""
    from evaluate import bss

    heard = [
        name
        for name, stem in song.stems.items()
        if name in bss.TARGETS and np.any(stem.sum(axis=1))
    ]
    if len(heard) < 2 or len(song.mixture) < config.sample_rate_hz:
        return {}
    scores = bss.score_track(
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
    """Runs a file in a process of its own; see `cost`."""
    code = (
        "import json, sys; from export import parity; "
        "print(json.dumps(parity.cost(sys.argv[1], int(sys.argv[2]))))"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, str(path), str(threads)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=pathlib.Path(__file__).parents[1],
    )
    if child.returncode:
        raise InputError(f"{path}: the process that measures it died")
    return json.loads(child.stdout)


def cost(path: str | os.PathLike, threads: int) -> dict[str, float]:
    """What a file takes in this process: seconds and memory.

    Args:
        path: a TFLite file.
        threads: of the CPU, and no more than there are cores.
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
        # The fastest step: others' work on this machine lengthens some.
        "factor": min(seconds) / runner.hop_frames * config.sample_rate_hz,
        "peak_mib": int(peak[1]) / 1024 if peak else float("nan"),
    }
