"""Small trainings on noise, computed in one way on one device, to be compared."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

from waveunet_tf.checkup.sizes import Way
from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.data.excerpts import StoredMixer
from waveunet_tf.networks import shapes
from waveunet_tf.networks.build import build_network
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.objective import WaveformObjective, build_objective
from waveunet_tf.training.optimizer import adam_of, build_optimizer
from waveunet_tf.training.step import TrainingStep

TRAINING = TrainingConfig(learning_rate=1e-3)


@dataclasses.dataclass(frozen=True)
class Course:
    """How a drill went.

    Attributes:
        losses: The loss of each step.
        gradients: Those of the first step, one a weight, by its name.
    """

    losses: list[float]
    gradients: dict[str, np.ndarray]


class PlainObjective(WaveformObjective):
    """The loss of the network as Keras computes it, layer by layer, to compare with."""

    def __init__(
        self, config: WaveUNetConfig, network: keras.Model, training: TrainingConfig
    ):
        super().__init__(config, network, training)
        self._in_training = functools.partial(network, training=True)


class Drill:
    """A network that takes steps of training on noise."""

    def __init__(
        self,
        config: WaveUNetConfig,
        way: Way,
        *,
        device: str | None = None,
        devices: Devices | None = None,
        plain: bool = False,
        mixer: StoredMixer | None = None,
    ):
        """Builds a network; the weights depend on the config only.

        Args:
            config: The network.
            way: The precision, and whether XLA compiles.
            device: A device such as "CPU:0"; by default TensorFlow's choice.
            devices: Several devices instead; by default one.
            plain: Whether the pass is Keras' own, and not the faster one of training.
            mixer: What mixes its batches, if they come as stored.
        """
        self._device = device
        devices = devices or Devices(tf.distribute.get_strategy())
        compute = ComputeConfig(precision=way.precision, jit_compile=way.compiled)
        with in_way(way), devices.strategy.scope(), self._placed():
            keras.utils.set_random_seed(7)
            network = build_network(config)
            self.optimizer = build_optimizer(TRAINING, compute)
            self.optimizer.build(network.trainable_variables)
        objective = (PlainObjective if plain else build_objective)(
            config, network, TRAINING
        )
        self.network, self._way = network, way
        self._step = TrainingStep(
            devices, network, self.optimizer, objective, compute, mixer=mixer
        )

    @contextlib.contextmanager
    def _placed(self) -> Iterator[None]:
        with tf.device(self._device) if self._device else contextlib.nullcontext():
            yield

    def step(self, batch: tuple):
        """Takes a step on a batch, and returns its StepResult."""
        with in_way(self._way), self._placed():
            return self._step(batch, tf.constant(0.0))

    def course(self, batches: Sequence[tuple]) -> Course:
        """Takes a step on each batch."""
        losses = [float(self.step(batches[0]).loss)]
        gradients = self._gradients_of_first_step()
        losses += [float(self.step(batch).loss) for batch in batches[1:]]
        return Course(losses, gradients)

    def _gradients_of_first_step(self) -> dict[str, np.ndarray]:
        """Returns what Adam's first moments tell after one step."""
        adam = adam_of(self.optimizer)
        paths = [weight.path for weight in self.network.trainable_variables]
        moments = {variable.name: variable for variable in adam.variables}
        return {
            path: np.array(moments[f"{path.replace('/', '_')}_momentum"])
            / (1 - adam.beta_1)
            for path in paths
        }

    def steps_per_second(self, batch: tuple, seconds: float) -> float:
        """Measures the rate of steps on one batch, after two that do not count.

        Args:
            batch: The batch.
            seconds: The time to measure for.
        """
        for _ in range(2):  # traces, compiles and tries algorithms
            float(self.step(batch).loss)
        count, began = 0, time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds or count < 2:
            result = self.step(batch)
            count += 1
            if count % 4 == 0:  # a GPU works behind Python
                float(result.loss)
        float(result.loss)
        spent = time.perf_counter() - began
        return count / spent


@contextlib.contextmanager
def in_way(way: Way) -> Iterator[None]:
    """Sets precision and TF32 within the body."""
    policy = keras.config.dtype_policy()
    tf32 = tf.config.experimental.tensor_float_32_execution_enabled()
    keras.config.set_dtype_policy(way.precision)
    tf.config.experimental.enable_tensor_float_32_execution(way.tf32)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        tf.config.experimental.enable_tensor_float_32_execution(tf32)


def noise_batches(config: WaveUNetConfig, batch_size: int, count: int) -> list[tuple]:
    """Draws batches of noise: sources, and their sum as the mixture."""
    generator = np.random.default_rng(5)
    window = shapes.window_frames(config)
    first = window.context_frames
    shape = (batch_size, window.input_frames, config.channels)
    batches = []
    for _ in range(count):
        sources = {
            name: generator.normal(0, 0.2, shape).astype(np.float32)
            for name in config.sources
        }
        centres = {
            name: tf.constant(source[:, first : first + window.output_frames])
            for name, source in sources.items()
        }
        batches.append((tf.constant(sum(sources.values())), centres))
    return batches
