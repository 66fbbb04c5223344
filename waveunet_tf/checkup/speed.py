"""Fast: steps a second in every way, the pipeline alone, and how long steps wait."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Iterator

import tensorflow as tf

from waveunet_tf.checkup.differences import greatest_difference
from waveunet_tf.checkup.drills import Drill, noise_batches
from waveunet_tf.checkup.findings import LEFT_OUT, OK, WRONG, Findings
from waveunet_tf.checkup.sizes import Sizes, Way, Work, ways_of
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.data import excerpts, prepared
from waveunet_tf.errors import InputError
from waveunet_tf.networks.description import describe_network
from waveunet_tf.system import memory
from waveunet_tf.training.descent import waited_seconds
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.step import read_results

# The largest share of the time that steps may wait for excerpts. On a CPU reading and
# steps share the cores.
_MAX_WAIT = {"GPU": 0.05, "CPU": 0.25}
# Of full scale: a card may round a product and a sum at once.
_MIXING_BOUND = 1e-6
_MIB = 2**20
_TYPES = {
    "float32": tf.float32,
    "mixed_float16": tf.float16,
    "mixed_bfloat16": tf.bfloat16,
}


def product_rate(size: int, way: Way, device: str, seconds: float) -> float:
    """Measures products of square matrices, in operations a second.

    Args:
        size: Their rows.
        way: Whose precision it is.
        device: The device.
        seconds: The time to measure for.
    """
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(way.tf32)
    try:
        with tf.device(device):
            matrix = tf.cast(tf.random.normal((size, size)), _TYPES[way.precision])
            # One number comes back: a copy of the matrix would count as well.
            multiply = tf.function(lambda a: tf.reduce_sum((a @ a)[0]), autograph=False)
            multiply(matrix).numpy()
            count, began = 0, time.perf_counter()
            while (spent := time.perf_counter() - began) < seconds or count < 2:
                multiply(matrix).numpy()
                count += 1
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
    return 2 * size**3 * count / spent


def check_rates(
    findings: Findings,
    sizes: Sizes,
    precisions: tuple[str, ...],
    device: str,
    profile_dir: pathlib.Path | None = None,
) -> None:
    """Times steps of each network in each way.

    Args:
        findings: Takes a finding for each network and way.
        sizes: The networks.
        precisions: The precisions.
        device: The device, such as "GPU:0".
        profile_dir: Where a trace of ten steps of the first way goes, if anywhere.
    """
    on_gpu = device.startswith("GPU")
    ways = ways_of(precisions, on_gpu=on_gpu)
    if on_gpu:  # nobody trains without TF32 where there is TF32
        ways = [way for way in ways if way.precision != "float32" or way.tf32]
    ways.reverse()  # the fastest first, in case the time is up before the last
    products = {
        (way.precision, way.tf32): product_rate(
            sizes.product, way, device, sizes.seconds / 4
        )
        for way in ways
        if not way.compiled
    }
    batches = []
    for work in sizes.works:
        ((mixture, targets),) = noise_batches(work.config, work.batch_size, 1)
        with tf.device(device):
            batches.append(tf.nest.map_structure(tf.identity, (mixture, targets)))
    for way in ways:
        product = products[way.precision, way.tf32]
        for work, batch in zip(sizes.works, batches):
            _time_way(findings, work, way, device, batch, sizes.seconds, product)
    if profile_dir:
        _profile(Drill(work.config, ways[0], device=device), batch, profile_dir)
        findings.add("profile", OK, f"tensorboard --logdir {profile_dir}")


def operations_of(work: Work) -> int:
    """Counts a step's operations: three forward passes, two a multiply-add."""
    rows = describe_network(work.config).rows
    return 6 * work.batch_size * sum(row.multiply_adds for row in rows)


def _time_way(
    findings: Findings,
    work: Work,
    way: Way,
    device: str,
    batch: tuple,
    seconds: float,
    product: float,
) -> None:
    name = f"{work.name}, {way.name}"
    _reset_peak(device)
    try:
        drill = Drill(work.config, way, device=device)
        rate = drill.steps_per_second(batch, seconds)
    except Exception as error:
        if not memory.is_exhausted(error):
            raise
        findings.add(name, LEFT_OUT, f"batch {work.batch_size} is too large for it")
        return
    peak = _peak(device)
    frames = next(iter(batch[1].values())).shape[1]
    audio = rate * work.batch_size * frames / work.config.sample_rate_hz
    share = rate * operations_of(work) / product
    held = f", {peak / _MIB:.0f} MiB at most" if peak else ""
    findings.add(
        name,
        OK,
        f"{rate:.3g} steps/s, {audio:.0f} s of audio/s, {share:.0%} of the product's "
        f"{product / 1e12:.3g} TFLOP/s{held}",
        network=work.name,
        way=way.name,
        flags=way.flags,
        steps_per_second=rate,
        audio_seconds_per_second=audio,
        product_share=share,
        product_operations_per_second=product,
        peak_bytes=peak,
    )


def _reset_peak(device: str) -> None:
    if device.startswith("GPU"):
        tf.config.experimental.reset_memory_stats(device)


def _peak(device: str) -> int:
    if not device.startswith("GPU"):
        return 0
    return tf.config.experimental.get_memory_info(device)["peak"]


def _profile(drill: Drill, batch: tuple, folder: pathlib.Path) -> None:
    drill.step(batch)
    with tf.profiler.experimental.Profile(os.fspath(folder)):
        for _ in range(10):
            float(drill.step(batch).loss)


def check_pipeline(
    findings: Findings, sizes: Sizes, data_dir: pathlib.Path, fastest: Way, device: str
) -> None:
    """Measures each reader alone, and how long steps wait for excerpts.

    Args:
        findings: Takes the findings.
        sizes: Whose first network it is.
        data_dir: Prepared stems at its rate.
        fastest: How the steps are computed.
        device: The device, such as "GPU:0".
    """
    work = sizes.works[0]
    tracks = prepared.load_prepared(data_dir, work.config, "train")
    training = TrainingConfig(batch_size=work.batch_size)
    stored = _are_stored(tracks, work, device)
    for reader in ("tensorflow_io", "soundfile"):
        name = f"excerpts of {reader}"
        try:
            batches = excerpts.random_excerpts(
                tracks, work.config, training, reader=reader, stored=stored
            )
        except InputError as error:
            findings.add(name, LEFT_OUT, str(error))
            continue
        rate = _batches_per_second(iter(batches), sizes.seconds)
        findings.add(
            name,
            OK,
            f"{rate * work.batch_size:.0f} excerpts/s, {rate:.3g} batches/s, on all "
            "cores",
            reader=reader,
            batches_per_second=rate,
        )
    _check_mixing(findings, work, tracks, training, device)
    _check_wait(findings, work, tracks, training, fastest, device, sizes.seconds)


def _check_mixing(
    findings: Findings,
    work: Work,
    tracks: list,
    training: TrainingConfig,
    device: str,
) -> None:
    """Compares excerpts that a device mixes with those that the reader mixes."""

    def first_batch(stored: bool) -> tuple:
        return next(
            iter(
                excerpts.random_excerpts(
                    tracks, work.config, training, parallel_calls=1, stored=stored
                )
            )
        )

    mixer = tf.function(
        excerpts.StoredMixer(tracks, work.config, training), autograph=False
    )
    stored = first_batch(True)
    with tf.device(device):
        mixed = mixer(*stored)
    difference = greatest_difference(
        tf.nest.flatten(mixed), tf.nest.flatten(first_batch(False))
    )
    findings.judge(
        "excerpts mixed on the device",
        difference <= _MIXING_BOUND,
        f"within {difference:.1e} of full scale of the reader's (bound "
        f"{_MIXING_BOUND:.0e})",
        "train with stems of 24 bits (`prepare --bit_depth 24`), which the CPU mixes",
        difference=difference,
    )


def _are_stored(tracks: list, work: Work, device: str) -> bool:
    """Says whether a training on the device would mix its excerpts there."""
    return device.startswith("GPU") and excerpts.are_fewer_stored(tracks, work.config)


def _batches_per_second(batches: Iterator, seconds: float) -> float:
    for _ in range(4):  # what was read ahead
        next(batches)
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds or count < 2:
        next(batches)
        count += 1
    return count / spent


def _check_wait(
    findings: Findings,
    work: Work,
    tracks: list,
    training: TrainingConfig,
    way: Way,
    device: str,
    seconds: float,
) -> None:
    """Takes steps on excerpts as a training does, and times its waiting."""
    stored = _are_stored(tracks, work, device)
    mixer = excerpts.StoredMixer(tracks, work.config, training) if stored else None

    def make(worker, workers, batch_size):
        return excerpts.random_excerpts(
            tracks,
            work.config,
            training,
            worker=worker,
            workers=workers,
            stored=stored,
        )

    card = device if device.startswith("GPU") else ""
    devices = Devices(tf.distribute.get_strategy(), prefetched_to=card)
    drill = Drill(work.config, way, device=device, mixer=mixer)
    batches = devices.distribute(make, work.batch_size)
    for _ in range(6):  # what was read ahead while the step was compiled
        float(drill.step(next(batches)).loss)
    waited, count, began = 0.0, 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < 2 * seconds or count < 4:
        asked, called, results = [], [], []
        for _ in range(devices.steps_at_once):
            asked.append(time.perf_counter())
            batch = next(batches)
            called.append(time.perf_counter())
            results.append(drill.step(batch))
        read_results(results)
        waited += waited_seconds(asked, called, time.perf_counter())
        count += len(results)
    share, bound = waited / spent, _MAX_WAIT[device.partition(":")[0]]
    findings.add(
        "waiting for excerpts",
        OK if share <= bound else WRONG,
        f"{share:.1%} of the time of {count} steps ({work.name}, {way.name}; bound "
        f"{bound:.0%})",
        ""
        if share <= bound
        else "data on a local disk, as 16-bit WAV (`prepare`), and more CPU cores",
        wait_share=share,
    )
