r"""Measures how scoring scales with processes, and what memory it needs.

    python -m benchmarks.evaluate_workers --tracks 6 --seconds 30 --workers 1,2
    python -m benchmarks.evaluate_workers --tracks 2 --seconds 240 --workers 1,2

Scores the mixture of tracks of noise (44.1 kHz stereo, vocals and accompaniment) with
waveunet score; its start counts, too. Prints a table and last the ratio of the time
with the fewest workers to that with the most.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags

from waveunet_tf.audio import io
from waveunet_tf.commands import app

_TRACKS = flags.DEFINE_integer("tracks", 6, "The number of tracks.", lower_bound=1)
_SECONDS = flags.DEFINE_float(
    "seconds", 30, "The length of each, in seconds.", lower_bound=1
)
_WORKERS = flags.DEFINE_list("workers", "1,2", "Numbers of workers, comma separated.")

_RATE_HZ = 44100


def write_noise_tracks(root: pathlib.Path, tracks: int, seconds: float) -> None:
    """Writes a data set of noise."""
    generator = np.random.default_rng(0)
    for number in range(tracks):
        for name in ("vocals", "accompaniment"):
            shape = (round(seconds * _RATE_HZ), 2)
            stem = generator.normal(0, 0.1, shape).astype(np.float32)
            path = root / "test" / f"track {number}" / f"{name}.wav"
            io.write_wav(path, stem, _RATE_HZ)


def peaks_mib(pid: int) -> dict[int, float]:
    """Returns process → its peak memory in MiB, for a process and its children."""
    parents, peaks = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # it has ended
            status = dict(re.findall(r"(PPid|VmHWM):\s*(\d+)", path.read_text()))
            process = int(path.parent.name)
            parents[process] = int(status["PPid"])
            if "VmHWM" in status:  # it has not ended
                peaks[process] = int(status["VmHWM"]) / 1024
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family}:
        if more <= family:
            break
        family |= more
    return {process: peaks[process] for process in family & set(peaks)}


def measure_workers(data: pathlib.Path, output: pathlib.Path, workers: int):
    """Scores the tracks; returns the seconds and the peak of each process in MiB."""
    started = time.monotonic()
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "waveunet_tf", "score", f"--data_dir={data}"),
            *("--estimates=mixture", f"--output_dir={output}", f"--workers={workers}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    peaks: dict[int, float] = {}
    while child.poll() is None:
        peaks.update(peaks_mib(child.pid))
        time.sleep(0.2)
    seconds = time.monotonic() - started
    if child.returncode:
        raise OSError(
            f"`waveunet score` ended with {child.returncode}: {child.stderr.read()}"
        )
    return seconds, sorted(peaks.values(), reverse=True)


def main(_):
    """Measures each number of workers, and prints the ratio."""
    seconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_noise_tracks(folder / "data", _TRACKS.value, _SECONDS.value)
        print(f"{'workers':>8}{'seconds':>10}  peak MiB of each process")
        for workers in map(int, _WORKERS.value):
            output = folder / str(workers)
            seconds[workers], peaks = measure_workers(folder / "data", output, workers)
            shown = ", ".join(f"{peak:.0f}" for peak in peaks)
            print(f"{workers:>8}{seconds[workers]:>10.1f}  {shown}", flush=True)
    ratio = seconds[min(seconds)] / seconds[max(seconds)]
    print(f"time of {min(seconds)} over that of {max(seconds)} workers: {ratio:.2f}")


if __name__ == "__main__":
    app.run(main)
