"""Loads a checkpoint's network into an engine: TensorFlow's, or LiteRT's on a CPU."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from waveunet_tf.checkpoints.checkpoint import (
    DYNAMIC,
    FLOAT32,
    Checkpoint,
    step_name,
)
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import shapes
from waveunet_tf.networks.program import build_program
from waveunet_tf.separation import conversion_child, litert_conversion, small_steps
from waveunet_tf.separation.engine import Engine
from waveunet_tf.separation.litert import LiteRTEngine
from waveunet_tf.separation.step_cache import StepCache
from waveunet_tf.system import arguments
from waveunet_tf.system.cpus import cores, processor

if TYPE_CHECKING:  # LiteRT alone runs a model that brings its step along
    import keras

ENGINES = ("auto", "tensorflow", "litert")
# The chunk or window's hop, in frames, that measured fastest on a CPU.
_CHUNK_FRAMES = {"tensorflow": 65536, "litert": 32768}
_MAX_CHUNK_FRAMES = 2**24  # minutes of audio, and gigabytes of features
_CONVERTING = "converting the network for LiteRT, once"


class TensorFlowEngine:
    """A network as a TensorFlow graph, traced once; implements `engine.Engine`."""

    name = "tensorflow"

    def __init__(
        self,
        config: NetworkConfig,
        load_network: Callable[[], Any],
        *,
        chunk_frames: int | None = None,
        device: str | None = None,
    ):
        """Loads a network onto a device.

        Args:
            config: The network's config.
            load_network: Loads the network, once the device is chosen.
            chunk_frames: The most frames of a chunk; by default what measured fastest.
            device: "cpu" or "gpu:0" (1, …); by default the first GPU, or the CPU.

        Raises:
            InputError: TensorFlow does not find the device.
        """
        import tensorflow as tf

        if device == "cpu":  # else TensorFlow takes the GPUs' memory all the same
            with contextlib.suppress(RuntimeError):  # TensorFlow has started already
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
            program = build_program(
                config,
                load_network(),
                self.chunk_frames,
                # A GPU copies within its memory faster than to and from it.
                whole_delays=self._device != "cpu",
            )
        self.silence = program.silence
        self.input_shapes = program.input_shapes
        self._call = tf.function(program.function, autograph=False)

    def __call__(self, **inputs: Any) -> dict[str, Any]:
        """Computes one step on the device.

        Args:
            **inputs: The arrays of `input_shapes`, each `(1, frames, features)`.

        Returns:
            Source, or array of the state, → float32 `(1, frames, features)`.
        """
        with self._tf_device(self._device):
            return self._call(**inputs)


def load_engine(
    checkpoint: Checkpoint,
    *,
    engine: str = "auto",
    device: str | None = None,
    threads: int | None = None,
    chunk_frames: int | None = None,
) -> Engine:
    """Loads a checkpoint's network into an engine.

    Args:
        checkpoint: The checkpoint.
        engine: "tensorflow", "litert" or "auto". On a CPU "auto" is the faster of the
            two, which is measured once and noted in the user's cache folder, or LiteRT
            for a model that brings its converted step along; on a GPU it is TensorFlow.
        device: "cpu" or "gpu:0" (1, …); by default the first GPU that TensorFlow
            finds, or the CPU.
        threads: Threads of the CPU; by default, and at most, one for each core that
            this process may use.
        chunk_frames: The most frames of a step, at the network's rate; by default what
            measured fastest. A live stream lags less with fewer.

    Raises:
        InputError: The weights are missing or broken, an argument is out of range, or
            LiteRT cannot run the network or use the device.
    """
    arguments.choice("engine", engine, ENGINES)
    if device is not None:
        arguments.text("device", device)
    if threads is not None:
        threads = min(arguments.whole_number("threads", threads), cores())
    if chunk_frames is not None:
        chunk_frames = arguments.whole_number(
            "chunk_frames", chunk_frames, maximum=_MAX_CHUNK_FRAMES
        )
    apart = conversion_child.is_of_use()
    loader = EngineLoader(checkpoint, device, threads, chunk_frames, apart=apart)
    reason = _reason_against_litert(checkpoint.config, device, engine)
    if engine == "litert" and reason:
        raise InputError(f"`engine` must be tensorflow {reason}. Received: litert")
    if engine == "tensorflow" or reason:
        return loader.tensorflow()
    try:
        return loader.litert() if engine == "litert" else loader.faster()
    except litert_conversion.ConversionError as error:
        if engine == "litert":
            raise InputError(f"{checkpoint.directory}: {error}") from error
        logging.warning("%s", error)
        return loader.tensorflow()


def convert_steps(
    config: NetworkConfig, network: keras.Model, *, dynamic: bool = False
) -> dict[str, bytes]:
    """Converts a network's step for LiteRT, for the chunk that measured fastest.

    Weights that float16 holds, as a packed model's, are stored so.

    Args:
        config: The network's config.
        network: The network.
        dynamic: Whether to add a step that is smaller, faster and less exact. Its
            layers have weights of int8, but those at the three highest rates, which
            lose most.

    Returns:
        Name, of checkpoint.step_name, → the content of a TFLite file; empty for a
        network that LiteRT cannot run.

    Raises:
        ConversionError: TensorFlow cannot convert the network.
    """
    if config.has_spectrogram:
        return {}
    chunk_frames = shapes.step_frames(config, _CHUNK_FRAMES["litert"])
    exact = _convert(config, network, chunk_frames)
    steps = {FLOAT32: exact}
    if dynamic:
        float_frames = chunk_frames // 4  # of the three highest rates
        steps[DYNAMIC] = small_steps.with_byte_weights(exact, float_frames)
    return {
        step_name(chunk_frames, kind): small_steps.with_half_weights(step)
        for kind, step in steps.items()
    }


def _convert(config: NetworkConfig, network: keras.Model, chunk_frames: int) -> bytes:
    program = build_program(config, network, chunk_frames)
    return litert_conversion.convert_program(program, network.variables)


class EngineLoader:
    """Loads one network into either engine.

    Attributes:
        cache: Where the converted step is kept.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str | None,
        threads: int | None,
        chunk_frames: int | None,
        *,
        apart: bool,
    ):
        """Loads nothing yet.

        Args:
            checkpoint: The checkpoint.
            device: The device that TensorFlow computes on; None: the first GPU, or the
                CPU.
            threads: The most threads of the CPU; None: one for each core.
            chunk_frames: The most frames of a step; None: what measured fastest.
            apart: Whether another process converts and measures.
        """
        self._checkpoint, self._device, self._threads = checkpoint, device, threads
        self._chunk_frames, self._apart = chunk_frames, apart
        wished = chunk_frames or _CHUNK_FRAMES["litert"]
        self._step_frames = shapes.step_frames(checkpoint.config, wished)
        self._made: bytes | None = None
        self.cache = StepCache(checkpoint, self._step_frames)

    def tensorflow(self) -> TensorFlowEngine:
        """Loads the network into TensorFlow's engine."""
        _limit_tensorflow(self._threads)
        return TensorFlowEngine(
            self._checkpoint.config,
            self._checkpoint.load_network,
            chunk_frames=self._chunk_frames,
            device=self._device,
        )

    def litert(self) -> LiteRTEngine:
        """Loads the network into LiteRT's engine.

        Raises:
            ConversionError: TensorFlow cannot convert the network.
            InputError: The step that a model brings along is not as it was packed.
        """
        return LiteRTEngine(
            self.step(),
            chunk_frames=self._step_frames,
            threads=self._threads or cores(),
        )

    def faster(self) -> Engine:
        """Loads the network into the engine that is faster, as noted or as measured.

        A model that brings its step along needs no TensorFlow, so it runs on LiteRT.

        Raises:
            ConversionError: TensorFlow cannot convert the network.
            InputError: The step that a model brings along is not as it was packed.
        """
        if self._checkpoint.carries_step(self._step_frames):
            return self.litert()
        machine = f"faster on {processor()}, {self._threads or cores()} threads"
        noted = self.cache.note(machine)
        if noted is None and self._apart:
            noted = self._make_apart(measure=True)
        if noted == "litert":
            return self.litert()
        if noted == "tensorflow":
            return self.tensorflow()
        engines = (self.litert(), self.tensorflow())
        config = self._checkpoint.config
        faster = min(engines, key=lambda each: _seconds_per_frame(config, each))
        self.cache.write_note(machine, faster.name)
        return faster

    def step(self) -> bytes:
        """Returns the step that a model brings along, or one converted at most once.

        Raises:
            ConversionError: TensorFlow cannot convert the network.
            InputError: The step that a model brings along is not as it was packed.
        """
        content = self._checkpoint.carried_step(self._step_frames)
        return content or self.cache.model(self._converted)

    def _converted(self) -> bytes:
        if self._made is None and self._apart:
            self._make_apart(measure=False)
        if self._made is None:
            _limit_tensorflow(self._threads)
            logging.info(_CONVERTING)
            network = self._checkpoint.load_network()
            self._made = _convert(self._checkpoint.config, network, self._step_frames)
        return self._made

    def _make_apart(self, *, measure: bool) -> str | None:
        """Lets another process make the step, if it can; returns the faster engine."""
        logging.info(_CONVERTING)
        made = conversion_child.make_step(
            self._checkpoint.directory,
            self._chunk_frames,
            self._threads,
            measure=measure,
        )
        self._apart = False  # Where it failed, this process tries.
        if made is None:
            return None
        self._made = made.content
        return made.faster


def _limit_tensorflow(threads: int | None) -> None:
    import tensorflow as tf

    if threads:
        try:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        except RuntimeError:
            logging.warning(
                "TensorFlow runs already, and not with `threads`, %d", threads
            )


def _seconds_per_frame(config: NetworkConfig, engine: Engine) -> float:
    """Measures the fastest of four steps, in seconds for each frame."""
    inputs = {
        name: np.zeros(shape, np.float32) for name, shape in engine.input_shapes.items()
    }
    seconds = []
    for _ in range(4):
        started = time.perf_counter()
        engine(**inputs)
        seconds.append(time.perf_counter() - started)
    return min(seconds) / shapes.step_frames(config, engine.chunk_frames)


def _reason_against_litert(
    config: NetworkConfig, device: str | None, engine: str
) -> str | None:
    """Says why LiteRT cannot be taken; None where it can."""
    if config.has_spectrogram:
        return "for a spectrogram network, whose inverse Fourier transform it lacks"
    if device not in (None, "cpu"):
        return f"for the device {device}"
    if device is None and engine == "auto" and os.path.exists("/dev/nvidiactl"):
        return "where there is a GPU"
    return None
