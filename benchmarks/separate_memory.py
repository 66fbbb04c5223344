r"""Measures the peak memory of separating songs of several lengths.

    python -m benchmarks.separate_memory --checkpoint ~/m4/best --minutes 1,10,60

Each song is separated in a process of its own. Without a checkpoint, the network is an
untrained small M4: memory that grows with the song does not depend on the network. A
second is separated first, which converts the network. Prints a table and last the ratio
of the longest song's peak to the shortest's.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags

from benchmarks import common
from waveunet_tf.audio.encode import AudioWriter
from waveunet_tf.commands import app

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The checkpoint; by default an untrained small network."
)
_MINUTES = flags.DEFINE_list(
    "minutes", "1,10,60", "Lengths of the songs in minutes, comma separated."
)

_RATE_HZ = 44100
# The command `separate`, which at its end prints its own peak.
_CHILD = r"""
import atexit, sys
from benchmarks.common import peak_memory_mib
from waveunet_tf.commands import app, separate

@atexit.register
def print_peak():
    print(peak_memory_mib(), file=sys.stderr)

app.run(separate.main, arguments="audio files")
"""


def write_song(path: pathlib.Path, minutes: float) -> None:
    """Writes a song of noise, 44.1 kHz stereo, a minute at a time."""
    generator = np.random.default_rng(0)
    minute = generator.normal(0, 0.1, (60 * _RATE_HZ, 2)).astype(np.float32)
    with AudioWriter(path, _RATE_HZ, 2) as writer:
        frames = round(minutes * 60 * _RATE_HZ)
        for start in range(0, frames, len(minute)):
            writer.write(minute[: frames - start])


def measure_song(
    checkpoint: str | pathlib.Path, folder: pathlib.Path, minutes: float
) -> tuple[float, float]:
    """Separates a song in its own process; returns its peak in MiB, and seconds."""
    song = folder / f"{minutes:g} minutes.wav"
    write_song(song, minutes)
    started = time.monotonic()
    child = subprocess.run(
        [
            *(sys.executable, "-c", _CHILD, f"--checkpoint={checkpoint}"),
            *(f"--output_dir={folder}/{minutes:g}", str(song)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.monotonic() - started
    song.unlink()
    shutil.rmtree(folder / f"{minutes:g}")
    return float(child.stderr.split()[-1]), seconds


def main(_):
    """Measures each length, and prints the ratio."""
    peaks = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        checkpoint = _CHECKPOINT.value
        if checkpoint is None:
            checkpoint = folder / "network"
            common.save_small_network(checkpoint)
        print(f"{'minutes':>8}{'peak RSS (MiB)':>16}{'seconds':>10}")
        measure_song(checkpoint, folder, 1 / 60)
        for minutes in map(float, _MINUTES.value):
            peaks[minutes], seconds = measure_song(checkpoint, folder, minutes)
            print(f"{minutes:>8g}{peaks[minutes]:>16.0f}{seconds:>10.1f}", flush=True)
    ratio = peaks[max(peaks)] / peaks[min(peaks)]
    print(f"peak of the longest over the shortest: {ratio:.3f}")


if __name__ == "__main__":
    app.run(main)
