r"""Measures a catalogue's engine on this machine, and reckons what large ones take.

    python -m benchmarks.catalogue --songs 6 --seconds 60
    python -m benchmarks.catalogue --songs 0 --real_time_factor 0.16

Separates songs of noise with the model in the box: without a scheduler on one thread,
and on one and two workers of one thread, in turn. Start-up does not count. Then
simulates catalogues of songs of a few minutes on many workers that die now and then,
with the measured time for each second of audio. Prints last the ratio of two workers'
songs an hour to one worker's, or, with no songs, the share of time that deaths cost.
"""

from __future__ import annotations

import functools
import heapq
import pathlib
import random
import tempfile
import time

import numpy as np
from absl import flags

from waveunet_tf.audio import io
from waveunet_tf.commands import app
from waveunet_tf.separation.separator_source import CheckpointSource
from waveunet_tf.separation.song_catalogue import Catalogue
from waveunet_tf.separation.songs import SongOptions, separate_songs
from waveunet_tf.separation.songs_on_dask import separate_on_dask
from waveunet_tf.system import dask_cluster

_SONGS = flags.DEFINE_integer("songs", 6, "Songs to separate; 0: only simulate.")
_SECONDS = flags.DEFINE_float("seconds", 60, "The length of each, in seconds.")
_FACTOR = flags.DEFINE_float(
    "real_time_factor", 0.16, "With no songs: seconds of a core for a second of audio."
)
_HOURS_TO_DEATH = flags.DEFINE_float(
    "hours_to_death", 24, "The mean time after which a worker dies, in hours."
)

_RATE_HZ = 44100
# Lengths of songs: a median of four minutes, and a few of half an hour.
_MEDIAN_SECONDS, _SPREAD = 240.0, 0.4
# How long a worker takes to come back, and the scheduler for each song.
_RESTART_SECONDS, _DISPATCH_SECONDS = 10.0, 0.007


def simulate(
    songs: int, workers: int, factor: float, hours_to_death: float
) -> tuple[float, float]:
    """Simulates a catalogue; a death costs the song in work, which begins anew.

    Args:
        songs: The number of songs.
        workers: The number of workers of one thread.
        factor: Seconds of a core for a second of audio.
        hours_to_death: The mean time after which a worker dies, in hours.

    Returns:
        Hours until all is done, and the share of the workers' time that deaths cost.
    """
    generator = random.Random(0)
    lengths = sorted(
        generator.lognormvariate(np.log(_MEDIAN_SECONDS), _SPREAD) for _ in range(songs)
    )
    free = [(0.0, worker) for worker in range(workers)]
    dispatched, lost, end = 0.0, 0.0, 0.0
    while lengths:
        now, worker = heapq.heappop(free)
        # The scheduler hands out one song after the other.
        dispatched = max(dispatched, now) + _DISPATCH_SECONDS
        needed = lengths.pop() * factor
        death = generator.expovariate(1 / (3600 * hours_to_death))
        if death < needed:
            lengths.append(needed / factor)
            lost += death + _RESTART_SECONDS
            heapq.heappush(free, (dispatched + death + _RESTART_SECONDS, worker))
        else:
            end = max(end, dispatched + needed)
            heapq.heappush(free, (dispatched + needed, worker))
    return end / 3600, lost / (end * workers)


def measure_scaling(folder: pathlib.Path) -> tuple[float, float]:
    """Measures songs; returns the real-time factor, and two workers' ratio to one."""
    generator = np.random.default_rng(0)
    shape = (round(_SECONDS.value * _RATE_HZ), 2)
    for number in range(_SONGS.value):
        noise = generator.normal(0, 0.1, shape).astype(np.float32)
        io.write_wav(folder / "songs" / f"{number}.wav", noise, _RATE_HZ)
    source = CheckpointSource.open("vocals", overrides={}, engine="auto", threads=1)
    options = functools.partial(SongOptions, stems=("vocals",))
    separator = source.load()
    seconds = {}
    started = time.perf_counter()
    separate_songs(folder / "songs", options(output_dir=folder / "0"), separator)
    seconds[0] = time.perf_counter() - started
    for workers in (1, 2):
        with dask_cluster.connect(dask_cluster.LOCAL, workers=workers) as client:
            client.wait_for_workers(workers)
            engine = functools.partial(separate_on_dask, client, source)
            names = (f"{workers}-warm", str(workers))
            for name, songs in zip(
                names, (folder / "songs" / "0.wav", folder / "songs")
            ):
                output = options(output_dir=folder / name)
                with Catalogue([songs], output, source) as catalogue:
                    started = time.perf_counter()
                    catalogue.run(engine)
                    seconds[workers] = time.perf_counter() - started
    for workers, taken in seconds.items():
        rate = 3600 * _SONGS.value / taken
        name = f"{workers} workers" if workers else "no scheduler"
        print(f"{name:<14}{taken:8.1f} s{rate:10.0f} songs an hour")
    overhead = seconds[1] / seconds[0] - 1
    print(f"one worker takes {overhead:+.1%} of the time without a scheduler")
    factor = seconds[0] / _SONGS.value / _SECONDS.value
    return factor, seconds[1] / seconds[2]


def main(_):
    """Measures, simulates, and prints the ratio."""
    factor, ratio = _FACTOR.value, None
    if _SONGS.value:
        with tempfile.TemporaryDirectory() as name:
            factor, ratio = measure_scaling(pathlib.Path(name))
    print(f"\n{factor:.3f} s of a core for a second of audio, a death each ", end="")
    print(f"{_HOURS_TO_DEATH.value:g} h a worker")
    print(f"{'songs':>9}{'workers':>9}{'hours':>9}{'core hours':>12}{'lost':>8}")
    lost = 0.0
    for songs, workers in ((10**5, 32), (10**5, 256), (10**6, 1024), (10**6, 8192)):
        hours, lost = simulate(songs, workers, factor, _HOURS_TO_DEATH.value)
        print(f"{songs:9}{workers:9}{hours:9.1f}{hours * workers:12.0f}{lost:8.2%}")
    if ratio:
        print(f"two workers / one worker, songs an hour: {ratio:.2f}")
    else:
        print(f"share of time that deaths cost: {lost:.4f}")


if __name__ == "__main__":
    app.run(main)
