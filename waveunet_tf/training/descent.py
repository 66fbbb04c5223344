"""The steps of gradient descent: batches of excerpts, learning rates, and results.

On a GPU several steps start before the numbers of the first are read, since reading
waits for all that the GPU has been given, and it would have nothing to do meanwhile.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig
from waveunet_tf.data import excerpts
from waveunet_tf.data.prepared import PreparedTrack
from waveunet_tf.training import checks
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.guard import StepNumbers
from waveunet_tf.training.objective import Objective
from waveunet_tf.training.schedule import learning_rate
from waveunet_tf.training.step import TrainingStep, read_results
from waveunet_tf.training.weight_average import WeightAverage


class Descended(NamedTuple):
    """What steps that were run together tell.

    Attributes:
        numbers: Those of each step, in order.
        stops: Whether a worker asks to stop.
        waited_seconds: The time that the devices waited for excerpts, as far as the
            host can tell.
    """

    numbers: list[StepNumbers]
    stops: bool
    waited_seconds: float


class Descent:
    """The training tracks, and the step that learns from them."""

    def __init__(
        self,
        tracks: list[PreparedTrack],
        config: NetworkConfig,
        training: TrainingConfig,
        compute: ComputeConfig,
        devices: Devices,
        *,
        network: keras.Model,
        optimizer: keras.Optimizer,
        objective: Objective,
        average: WeightAverage,
    ):
        """Builds the step.

        Args:
            tracks: The training tracks.
            config: The network's config.
            training: How it is trained.
            compute: How the devices compute.
            devices: The devices.
            network: The network.
            optimizer: What optimizer.build_optimizer returned, built.
            objective: The loss.
            average: The averages of the network's weights, which each step updates.
        """
        self._tracks, self._config, self._devices = tracks, config, devices
        self._network, self._optimizer, self._average = network, optimizer, average
        # A card mixes in no time; over its bus excerpts go as fewer bytes.
        self._mixer = None
        if devices.kind == "GPU" and excerpts.are_fewer_stored(tracks, config):
            self._mixer = excerpts.StoredMixer(tracks, config, training)
        self._step = TrainingStep(
            devices,
            network,
            optimizer,
            objective,
            compute,
            clip_norm=training.clip_norm,
            mixer=self._mixer,
        )

    def begin(self, stage: TrainingConfig, excerpt: int) -> None:
        """Begins a stage, or goes on within one.

        Args:
            stage: How the stage is trained.
            excerpt: The number of the next excerpt. Excerpt n is a function of the seed
                and n, so that a stop changes none of them.
        """
        self._stage = stage

        def make(worker, workers, batch_size):
            return excerpts.random_excerpts(
                self._tracks,
                self._config,
                dataclasses.replace(stage, batch_size=batch_size),
                first=excerpt,
                worker=worker,
                workers=workers,
                stored=self._mixer is not None,
            )

        self._batches = self._devices.distribute(make, stage.batch_size)

    def run(
        self,
        first: int,
        count: int,
        *,
        rate_factor: float,
        should_stop: Callable[[], bool],
    ) -> Descended:
        """Runs the next steps, which all start before their numbers are read.

        None is computed any more when it returns, and all workers run the same ones.

        Args:
            first: The number of the next step, from 0, in the whole training.
            count: The number of steps to run at most.
            rate_factor: What the learning rate is multiplied by.
            should_stop: Called before each step.

        Raises:
            InputError: A file of excerpts cannot be read, or a worker is gone.
        """
        count = min(count, self._devices.steps_at_once)
        # Sent ahead: what is sent to a busy GPU waits for all that it has been given.
        rates = tf.unstack(
            tf.constant(
                [
                    learning_rate(self._stage, step) * rate_factor
                    for step in range(first, first + count)
                ]
            )
        )
        results, asked, called = [], [], []
        for step, rate in enumerate(rates, first):
            asks = float(should_stop())
            self._optimizer.learning_rate = rate
            asked.append(time.monotonic())
            batch = checks.next_batch(self._batches, "excerpts")
            called.append(time.monotonic())
            results.append(checks.call_on_devices(self._step, batch, asks))
            self._average.end_step(step + 1, self._network)
            if asks and self._devices.workers == 1:  # which need not ask the others
                break
        numbers, stops = read_results(results)
        waited = waited_seconds(asked, called, time.monotonic())
        return Descended(numbers, stops, waited)


def waited_seconds(asked: list[float], called: list[float], end: float) -> float:
    """Returns how long the devices waited for batches, as far as the host can tell.

    Args:
        asked: When each step asked for its batch; no step was computed at the first.
        called: When it had the batch.
        end: When all steps were computed.
    """
    waits = [got - wanted for wanted, got in zip(asked, called)]
    # The host waits for later batches while a GPU still computes. The GPU waits for
    # them where it is not busy all the time, at the last step's pace.
    idle = end - called[0] - len(called) * (end - called[-1])
    return waits[0] + min(sum(waits[1:]), max(idle, 0.0))
