r"""Measures how fast random excerpts are read, beside a memory map and musdb.

    python -m benchmarks.excerpt_speed --data_dir ~/prepared

Without a folder, it makes one of noise. Every way reads random excerpts of M4's size
from the same wav files, in turn, in a process of its own. Ours, with both readers,
includes gains, mixture and batches. The limit is slices of NumPy's memory maps, only
converted to float32. musdb reads chunks (`chunk_start`, `chunk_duration`) with ffmpeg.
Prints excerpts a second, peak memory, and last the ratios.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags

from benchmarks.common import write_noise
from waveunet_tf.commands import app
from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.networks import shapes

_WAYS = ("tensorflow_io", "soundfile", "memmap", "musdb")
_DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "The folder that `prepare` wrote at 22050 Hz; by default noise."
)
_SECONDS = flags.DEFINE_float(
    "seconds",
    8.0,
    "The time that each way is measured in a round, in seconds.",
    lower_bound=0.1,
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "Rounds; the best round of each way counts.", lower_bound=1
)
_WAY = flags.DEFINE_enum("way", None, _WAYS, "Measure only this way, in this process.")

_CONFIG = VARIANTS["M4"]


def open_way(way: str):
    """Returns the excerpts of a step, and an endless iterator of steps."""
    if way == "memmap":
        return 1, memmap_excerpts()
    if way == "musdb":
        return 1, musdb_excerpts()
    from waveunet_tf.configs.training import TrainingConfig
    from waveunet_tf.data import excerpts, prepared

    tracks = prepared.load_prepared(_DATA_DIR.value, _CONFIG, "train")
    training = TrainingConfig()
    batches = excerpts.random_excerpts(tracks, _CONFIG, training, reader=way)
    return training.batch_size, iter(batches)


def memmap_excerpts():
    """Yields slices of 16-bit files as float32 `(samples,)`, one for each source."""
    maps = []
    for folder in sorted((pathlib.Path(_DATA_DIR.value) / "train").iterdir()):
        paths = [folder / f"{source}.wav" for source in _CONFIG.sources]
        maps.append([np.memmap(path, np.int16, "r", 44) for path in paths])
    generator = np.random.default_rng(0)
    samples = 2 * shapes.window_frames(_CONFIG).input_frames
    while True:
        track = maps[generator.integers(len(maps))]
        longest = max(len(track[0]) - samples, 0)
        start = 2 * generator.integers(longest // 2 + 1)
        yield [source[start : start + samples].astype(np.float32) for source in track]


def musdb_excerpts():
    """Yields chunks `(frames, channels)` of the mixture and of the vocals."""
    from waveunet_tf.data.sigsep import import_sigsep

    database = import_sigsep("musdb").DB(
        root=_DATA_DIR.value, is_wav=True, subsets=["train"]
    )
    generator = np.random.default_rng(0)
    seconds = shapes.window_frames(_CONFIG).input_frames / _CONFIG.sample_rate_hz
    while True:
        track = database.tracks[generator.integers(len(database))]
        track.chunk_duration = seconds
        track.chunk_start = generator.uniform(0, max(track.duration - seconds, 0))
        yield track.audio, track.sources["vocals"].audio


def measure_reading(way: str) -> dict[str, float]:
    """Measures excerpts a second, and this process' peak memory in MiB."""
    size, steps = open_way(way)
    next(steps)
    count, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < _SECONDS.value:
        next(steps)
        count += size
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) / 1024
    return {"rate": count / seconds, "peak_mib": peak}


def main(_):
    """Measures every way in turn, and prints the ratios."""
    if _WAY.value:
        print(json.dumps(measure_reading(_WAY.value)))
        return
    with tempfile.TemporaryDirectory() as name:
        data_dir = _DATA_DIR.value
        if data_dir is None:
            data_dir = name
            write_noise(pathlib.Path(name), _CONFIG)
        rates, peaks = {}, {}
        for _ in range(_ROUNDS.value):
            for way in _WAYS:
                child = subprocess.run(
                    [
                        *(
                            sys.executable,
                            "-m",
                            "benchmarks.excerpt_speed",
                            f"--way={way}",
                        ),
                        *(f"--data_dir={data_dir}", f"--seconds={_SECONDS.value}"),
                    ],
                    stdout=subprocess.PIPE,
                    text=True,
                )
                if child.returncode:  # for example because ffmpeg is missing
                    continue
                measured = json.loads(child.stdout)
                rates[way] = max(measured["rate"], rates.get(way, 0.0))
                peaks[way] = max(measured["peak_mib"], peaks.get(way, 0.0))
    print(f"{'':<16}{'excerpts a second':>18}{'peak memory (MiB)':>19}")
    for way in _WAYS:
        if way in rates:
            print(f"{way:<16}{rates[way]:>18.1f}{peaks[way]:>19.0f}")
        else:
            print(f"{way:<16}{'failed':>18}")
    ours = max(rates[way] for way in _WAYS[:2] if way in rates)
    text = f"ours reads {ours / rates['memmap']:.2f} times as fast as the memory map"
    if "musdb" in rates:
        text += f", {ours / rates['musdb']:.0f} times as fast as musdb"
    print(text)


if __name__ == "__main__":
    app.run(main)
