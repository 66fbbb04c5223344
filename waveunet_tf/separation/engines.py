"""What computes a network, step by step: TensorFlow's graph, or LiteRT on a CPU.

An engine is called with arrays by name, `mixture` and those of the state, and gives the
sources and the state after it, by name as well.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import logging

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import NetworkConfig, SpectrogramUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.networks.program import build_program
from waveunet_tf.separation import litert
from waveunet_tf.separation.step_cache import StepCache
from waveunet_tf.system.cpus import cores, processor

ENGINES = ("auto", "tensorflow", "litert")
# Frames of a chunk, or of a window's hop, that measured fastest on a CPU.
_CHUNK_FRAMES = {"tensorflow": 65536, "litert": 32768}


class TensorFlowEngine:
    """A network as a graph of TensorFlow, traced once.

    Attributes:
        name: "tensorflow".
        chunk_frames: for which the network's steps are made.
        input_shapes, silence: see Program.
    """

    name = "tensorflow"

    def __init__(
        self,
        config: NetworkConfig,
        load_network: Callable[[], Any],
        *,
        chunk_frames: int | None = None,
        device: str | None = None,
    ):
        """Loads a network; see `load_engine`."""
        import tensorflow as tf

        if device == "cpu":  # else TensorFlow takes the GPUs' memory all the same
            with contextlib.suppress(RuntimeError):  # it runs already
                tf.config.set_visible_devices([], "GPU")
        gpus = tf.config.list_logical_devices("GPU")
        self._device = device or ("gpu:0" if gpus else "cpu")
        known = ["cpu", *(f"gpu:{number}" for number in range(len(gpus)))]
        if self._device not in known:
            raise InputError(
                f"`device` must be one that TensorFlow finds here, {', '.join(known)}. "
                f"Received: {device}"
            )
        self.chunk_frames = chunk_frames or _CHUNK_FRAMES[self.name]
        self._tf_device = tf.device
        with tf.device(self._device):
            network = load_network()
            program = build_program(
                config,
                network,
                self.chunk_frames,
                # A GPU's copies within are faster than those to and from it.
                whole_delays=self._device != "cpu",
            )
        self.silence = program.silence
        self.input_shapes = program.input_shapes
        self._call = tf.function(program.function)

    def __call__(self, **inputs) -> dict:
        with self._tf_device(self._device):
            return self._call(**inputs)


def load_engine(
    directory: str | os.PathLike,
    *,
    engine: str = "auto",
    device: str | None = None,
    threads: int | None = None,
    chunk_frames: int | None = None,
    **overrides,
):
    """Loads a checkpoint's network into an engine.

    Args:
        directory: the checkpoint.
        engine: "tensorflow", "litert", or "auto": on a CPU what is faster there,
            measured once and noted beside the checkpoint; on a GPU TensorFlow.
        device: "cpu" or "gpu:0" (1, …); by default the first GPU that TensorFlow
            finds, or the CPU.
        threads: of the CPU; by default, and at most, as many as this process has cores.
        chunk_frames: the most frames, at the network's rate, that a step takes; by
            default what measured fastest. A live stream lags less with fewer.
        **overrides: see checkpoint.load_network.

    Raises:
        InputError: see checkpoint.load_network; an argument is out of range, or the
            network or the device is not for LiteRT.
    """
    if engine not in ENGINES:
        raise InputError(
            f"`engine` must be one of {', '.join(ENGINES)}. Received: {engine}"
        )
    for name, value in {"threads": threads, "chunk_frames": chunk_frames}.items():
        if value is not None and value < 1:
            raise InputError(f"`{name}` must be at least 1. Received: {value}")
    config = checkpoint.read_config(directory, **overrides)

    def load_network():
        return checkpoint.load_network(directory, **overrides)

    def on_tensorflow() -> TensorFlowEngine:
        _limit_tensorflow(threads)
        return TensorFlowEngine(
            config, load_network, chunk_frames=chunk_frames, device=device
        )

    reason = _not_for_litert(config, device, engine)
    if engine == "litert" and reason:
        raise InputError(f"`engine` must be tensorflow {reason}. Received: litert")
    if engine == "tensorflow" or reason:
        return on_tensorflow()
    frames = shapes.step_frames(config, chunk_frames or _CHUNK_FRAMES["litert"])

    def convert() -> bytes:
        _limit_tensorflow(threads)
        logging.info("converting the network for LiteRT, once")
        network = load_network()
        program = build_program(config, network, frames)
        return litert.convert_program(program, network.variables)

    cores_used = min(threads or cores(), cores())
    cache = StepCache(directory, frames)

    def on_litert() -> litert.LiteRTEngine:
        content = cache.model(convert)
        return litert.LiteRTEngine(content, chunk_frames=frames, threads=cores_used)

    try:
        if engine == "litert":
            return on_litert()
        return _faster(config, cache, cores_used, on_litert, on_tensorflow)
    except litert.ConversionError as error:
        if engine == "litert":
            raise InputError(f"{directory}: {error}") from error
        logging.warning("%s", error)
        return on_tensorflow()


def _faster(
    config: NetworkConfig,
    cache: StepCache,
    cores: int,
    on_litert: Callable[[], litert.LiteRTEngine],
    on_tensorflow: Callable[[], TensorFlowEngine],
):
    """The engine that is noted as the faster one, or measures so now."""
    machine = f"faster on {processor()}, {cores} threads"
    noted = cache.note(machine)
    if noted in ("litert", "tensorflow"):
        return on_litert() if noted == "litert" else on_tensorflow()
    both = (on_litert(), on_tensorflow())
    faster = min(both, key=lambda engine: _seconds_per_frame(config, engine))
    cache.write_note(machine, faster.name)
    return faster


def _limit_tensorflow(threads: int | None) -> None:
    import tensorflow as tf

    if threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:
            logging.warning(
                "TensorFlow runs already, and not with `threads`, %d", threads
            )


def _seconds_per_frame(config: NetworkConfig, engine) -> float:
    """The time of the fastest of some steps."""
    inputs = {
        name: np.zeros(shape, np.float32) for name, shape in engine.input_shapes.items()
    }
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        engine(**inputs)
        seconds.append(time.perf_counter() - started)
    return min(seconds) / shapes.step_frames(config, engine.chunk_frames)


def _not_for_litert(
    config: NetworkConfig, device: str | None, engine: str
) -> str | None:
    """Why LiteRT is out of the question, if it is."""
    if isinstance(config, SpectrogramUNetConfig):
        return "for a spectrogram network, whose inverse Fourier transform it lacks"
    if device not in (None, "cpu"):
        return f"for the device {device}"
    if device is None and engine == "auto" and os.path.exists("/dev/nvidiactl"):
        return "where there is a GPU"
    return None
