"""The devices that a training computes on: one, several, or those of many workers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import signal
import threading
import zlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.errors import InputError
from waveunet_tf.system import cuda_libraries

# One is computed with, and one is ready.
_COPIED_BATCHES = 2
# A GPU waits once in as many steps. As many are computed at most before the training
# stops when it was asked to, or goes back when it was lost.
_STEPS_AT_ONCE = 10


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices of a training.

    Attributes:
        strategy: TensorFlow's distribution strategy over the devices.
        worker: This process's number; 0 is the chief, which alone writes files.
        workers: The number of processes.
        prefetched_to: The device that batches are copied to while the step before
            computes; empty: none, or that of the strategy, which does so by itself.
    """

    strategy: tf.distribute.Strategy
    worker: int = 0
    workers: int = 1
    prefetched_to: str = ""

    @property
    def is_chief(self) -> bool:
        """True for the process that writes the files."""
        return self.worker == 0

    @property
    def replicas(self) -> int:
        """The number of devices, of all workers together."""
        return self.strategy.num_replicas_in_sync

    def distribute(
        self, make: Callable[[int, int, int], tf.data.Dataset], batch_size: int
    ):
        """Returns an iterator over batches, of which each device has its share.

        Args:
            make: A function of a worker's number, the number of workers and a device's
                batch size. It returns an endless data set of batches of that size.
            batch_size: The size of a batch on all devices together.
        """

        def of_worker(context):
            batches = make(
                context.input_pipeline_id,
                context.num_input_pipelines,
                context.get_per_replica_batch_size(batch_size),
            )
            # Otherwise workers ask each other before each batch whether there is one.
            endless = tf.data.experimental.assert_cardinality(
                tf.data.INFINITE_CARDINALITY
            )
            batches = batches.apply(endless)
            if not self.prefetched_to:
                return batches
            copied = tf.data.experimental.prefetch_to_device(
                self.prefetched_to, _COPIED_BATCHES
            )
            return batches.apply(copied)

        return iter(self.strategy.distribute_datasets_from_function(of_worker))

    @property
    def kind(self) -> str:
        """The kind of the devices, CPU or GPU."""
        return "GPU" if tf.config.list_logical_devices("GPU") else "CPU"

    @property
    def steps_at_once(self) -> int:
        """The steps that start before the numbers of the first of them are read.

        A CPU has computed a step when its call returns, and gains nothing by more.
        """
        return _STEPS_AT_ONCE if self.kind == "GPU" else 1

    def wait_for_all(self) -> None:
        """Waits until every worker has called this."""
        if self.workers > 1:
            self.mean_of_workers([0.0])

    def mean_of_workers(self, values: list[float]) -> list[float]:
        """Returns each value's mean over all devices; every worker waits for all."""

        @functools.partial(tf.function, autograph=False)
        def mean(values):
            return self.strategy.run(
                lambda: tf.distribute.get_replica_context().all_reduce(
                    "MEAN", tf.identity(values)
                )
            )

        means = mean(tf.constant(values, tf.float64))
        return self.strategy.experimental_local_results(means)[0].numpy().tolist()


def set_up_devices(compute: ComputeConfig) -> Devices:
    """Finds the devices; must be called before TensorFlow computes anything.

    Args:
        compute: The strategy, the kind of device and the number of threads.

    Raises:
        InputError: A GPU is asked for, but there is none; TF_CONFIG is missing or
            wrong, or names a port that is in use; TensorFlow is in use already, with
            other threads.
    """
    cluster = _cluster() if compute.strategy == "multiworker" else None
    try:
        if compute.num_threads:
            tf.config.threading.set_intra_op_parallelism_threads(compute.num_threads)
            tf.config.threading.set_inter_op_parallelism_threads(compute.num_threads)
        if compute.device == "cpu":
            tf.config.set_visible_devices([], "GPU")
    except RuntimeError as error:
        raise InputError(
            "`num_threads` and `device` must be set before TensorFlow is used, but it "
            "is in use already"
        ) from error
    gpus = tf.config.get_visible_devices("GPU")
    if compute.device == "gpu" and not gpus:
        build = cuda_libraries.with_versions(tf.sysconfig.get_build_info())
        reason = cuda_libraries.explain_missing_gpu(build)
        raise InputError(f"`device` is gpu, but TensorFlow finds none: {reason}")
    if compute.strategy == "mirrored":
        return _mirrored()
    if cluster:
        return _multiworker(*cluster)
    card = "GPU:0" if gpus else ""
    return Devices(tf.distribute.get_strategy(), prefetched_to=card)


def _mirrored() -> Devices:
    devices = tf.config.list_logical_devices("GPU")
    devices = devices or tf.config.list_logical_devices("CPU")
    if devices[0].device_type == "CPU" and len(devices) == 1:
        raise InputError("`strategy` mirrored needs GPUs, but TensorFlow finds none")
    return Devices(tf.distribute.MirroredStrategy([device.name for device in devices]))


def _multiworker(worker: int, addresses: list[str]) -> Devices:
    logging.info(
        "worker %d of %d: waiting for %s", worker, len(addresses), ", ".join(addresses)
    )
    try:
        with _python_waits():
            strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.UnknownError as error:
        raise InputError(
            f"{addresses[worker]}: must be a free port of this machine, which is "
            f"worker {worker}. TensorFlow: {error.message}"
        ) from error
    return Devices(strategy, worker, len(addresses))


@contextlib.contextmanager
def _python_waits() -> Iterator[None]:
    """Lets Ctrl-C end the process within, and gives SIGTERM back to Python after.

    TensorFlow waits there for the other workers, maybe for ever, and Python's handlers
    do not run meanwhile. It also catches SIGTERM, for its own notices of preemption
    that nobody reads here, so that a training would never hear of it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {
        number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
    }
    if handlers[signal.SIGINT] != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _cluster() -> tuple[int, list[str]]:
    """Reads this process's number and all workers' addresses from TF_CONFIG.

    Raises:
        InputError: TF_CONFIG is missing or wrong.
    """
    text = os.environ.get("TF_CONFIG")
    example = (
        '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, '
        '"task": {"type": "worker", "index": 0}}'
    )
    if not text:
        raise InputError(
            f"`strategy` multiworker needs the variable TF_CONFIG, such as {example}"
        )
    try:
        values = json.loads(text)
        cluster, task = values["cluster"], values["task"]
        kind, index = task["type"], task["index"]
        addresses = [*cluster.get("chief", []), *cluster["worker"]]
        before = {"chief": 0, "worker": len(cluster.get("chief", []))}
        worker = before[kind] + index
        if index < 0 or worker >= len(addresses) or kind not in cluster:
            raise IndexError(f"there is no {kind} {index}")
        if not all(isinstance(address, str) for address in addresses):
            raise TypeError("an address is not a text")
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"TF_CONFIG must be JSON as {example}. Received: {text} "
            f"({type(error).__name__}: {error})"
        ) from error
    return worker, addresses


def share_weights(devices: Devices, network: keras.Model) -> None:
    """Gives all workers the mean of their weights, which rounding may tell apart.

    Args:
        devices: The devices.
        network: The network, with weights that each worker computed by itself.
    """
    if devices.workers == 1:
        return
    weights = network.get_weights()
    flat = np.concatenate([weight.ravel() for weight in weights])
    means = np.array(devices.mean_of_workers(flat.tolist()), np.float32)
    ends = np.cumsum([weight.size for weight in weights])[:-1]
    parts = zip(np.split(means, ends), weights)
    network.set_weights([part.reshape(weight.shape) for part, weight in parts])


def require_agreement(devices: Devices, name: str, *values) -> None:
    """Requires that all workers have the same values.

    Args:
        devices: The devices.
        name: A name for the values, for the message.
        *values: Objects whose `repr` is the same on all workers.

    Raises:
        InputError: The values of two workers differ.
    """
    if devices.workers == 1:
        return
    # 20 bits, so that float64 holds the mean of the squares exactly.
    number = zlib.crc32(repr((name, values)).encode()) & 0xFFFFF
    mean, mean_square = devices.mean_of_workers([number, number**2])
    if mean_square - mean**2 > 0.1 / devices.workers:
        raise InputError(f"All workers must have {name}, but they differ")
