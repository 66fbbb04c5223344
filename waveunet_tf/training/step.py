"""The graphs of a training: a step of gradient descent, and the scores of validation.

Each class here is one graph on all devices at once. A batch is split among the devices;
a mean over the batch is the mean over all of it, however many devices there are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.data.excerpts import StoredMixer
from waveunet_tf.training import losses
from waveunet_tf.training.devices import Devices
from waveunet_tf.training.guard import StepNumbers
from waveunet_tf.training.objective import Objective

# Nothing here needs AutoGraph, which takes longer than all else of a first step.
_graph = functools.partial(tf.function, autograph=False)


class StepResult(NamedTuple):
    """The results of a step of gradient descent, all scalars.

    Attributes:
        loss: The mean over the batch, before the step.
        mixture_loss: The same loss of the mixture taken as every estimate.
        gradient_norm: The gradients' Euclidean norm over all weights, before clipping.
        saturated: The share of the estimates' samples beyond ±0.99.
        stops: Above 0 where a worker asks to stop.
    """

    loss: tf.Tensor
    mixture_loss: tf.Tensor
    gradient_norm: tf.Tensor
    saturated: tf.Tensor
    stops: tf.Tensor


def read_results(results: Sequence[StepResult]) -> tuple[list[StepNumbers], bool]:
    """Reads the results of steps from the device, after the last of them.

    Args:
        results: The results, at least one.

    Returns:
        The numbers of each step, and whether a worker asks to stop in any of them.
    """
    # One copy: each one waits for all that the device has been given.
    *numbers, stops = tf.stack([tf.stack(result) for result in results], 1).numpy()
    steps = [StepNumbers(*map(float, values)) for values in zip(*numbers)]
    return steps, bool(stops.any())


class Scores(NamedTuple):
    """The scores of a validation batch, summed over the devices.

    Attributes:
        loss: The loss, times `weight`.
        weight: The frames, or the steps of an STFT, that the loss is a mean over.
        energies: `(sources, 2, tracks)`, float32: the energy of each true source in the
            batch, and of its estimate's error.
        stops: Above 0 where a worker asks to stop.
    """

    loss: tf.Tensor
    weight: tf.Tensor
    energies: tf.Tensor
    stops: tf.Tensor


class TrainingStep:
    """A step of gradient descent on a batch that all devices share."""

    def __init__(
        self,
        devices: Devices,
        network: keras.Model,
        optimizer: keras.Optimizer,
        objective: Objective,
        compute: ComputeConfig,
        *,
        clip_norm: float = 0.0,
        mixer: StoredMixer | None = None,
    ):
        """Builds the step; its first call traces the graph.

        Args:
            devices: The devices.
            network: The network.
            optimizer: What optimizer.build_optimizer returned, built.
            objective: The loss.
            compute: Whether XLA compiles, and the parts of a device's batch.
            clip_norm: The norm that greater gradients are scaled down to; 0: none.
            mixer: What mixes a device's batch, if its excerpts come as stored.
        """
        self._mixer = mixer
        self._devices, self._optimizer = devices, optimizer
        self._objective, self._clip_norm = objective, clip_norm
        self._weights = network.trainable_variables
        self._parts = compute.accumulate_steps
        self._gradients_of = self.gradients_of
        if compute.jit_compile:
            self._gradients_of = _graph(self.gradients_of, jit_compile=True)
        self._update = self.update
        # One kernel in place of a dozen a weight, whose launches take a card's time.
        # Devices do not speak to each other within XLA, and a CPU launches nothing.
        if compute.jit_compile and devices.replicas == 1 and devices.kind == "GPU":
            self._update = _graph(self.update, jit_compile=True)
        self._on_all_devices = _graph(self._run_on_all_devices)

    def __call__(self, batch: tuple, stops: tf.Tensor) -> StepResult:
        """Updates the weights by the gradients of a batch.

        Args:
            batch: A distributed batch of `excerpts.random_excerpts`, as stored if the
                step has a mixer.
            stops: Scalar, 1 where this worker asks to stop, else 0.
        """
        return self._on_all_devices(batch, stops)

    def gradients_of(self, mixture, targets: dict, scale):
        """Computes the share of a part of a device's batch in loss and gradients.

        Args:
            mixture: `(batch, frames, channels)`, with the network's context.
            targets: Source → `(batch, frames, channels)`.
            scale: Scalar, the loss scale of float16, or 1.

        Returns:
            The loss, the mixture's loss and the saturated share, `(3,)`, and a list of
            gradients, one a weight. Summed over parts and devices, they are those of
            the whole batch.
        """
        frame_weights = tf.ones_like(next(iter(targets.values()))[..., :1])
        count = self._parts * self._devices.replicas
        with tf.GradientTape() as tape:
            value = self._objective(mixture, targets, frame_weights, training=True)
            loss = value.loss / count
            scaled = loss * scale
        means = tf.stack(
            [
                loss,
                self._objective.of_mixture(mixture, targets, frame_weights) / count,
                losses.saturated_share(value.estimates) / count,
            ]
        )
        return means, tape.gradient(scaled, self._weights)

    def accumulated(self, mixture, targets: dict, scale):
        """Sums gradients_of over the parts of a device's batch.

        Args:
            mixture: `(batch, frames, channels)`, with the network's context.
            targets: Source → `(batch, frames, channels)`.
            scale: Scalar.
        """
        if self._parts == 1:
            return self._gradients_of(mixture, targets, scale)
        size = mixture.shape[0] // self._parts

        def add_part(part, totals, sums):
            piece = slice(part * size, (part + 1) * size)
            means, gradients = self._gradients_of(
                tf.ensure_shape(mixture[piece], (size, *mixture.shape[1:])),
                {
                    name: tf.ensure_shape(stem[piece], (size, *stem.shape[1:]))
                    for name, stem in targets.items()
                },
                scale,
            )
            sums = [one + other for one, other in zip(sums, gradients)]
            return part + 1, totals + means, sums

        nothing = [tf.zeros(weight.shape) for weight in self._weights]
        _, totals, sums = tf.while_loop(
            lambda part, *_: part < self._parts,
            add_part,
            (tf.constant(0), tf.zeros([3]), nothing),
        )
        return totals, sums

    def update(self, gradients: list, scale):
        """Updates the weights.

        Args:
            gradients: One a weight, times `scale`, summed over all devices.
            scale: Scalar.

        Returns:
            The gradients' norm before clipping.
        """
        norm = tf.linalg.global_norm(gradients) / scale
        if self._clip_norm:
            smaller = tf.minimum(1.0, self._clip_norm / norm)
            gradients = [smaller * gradient for gradient in gradients]
        self._optimizer.apply(gradients, self._weights)
        return norm

    def on_device(self, batch: tuple, stops) -> StepResult:
        """Runs the step on one device; the gradients are summed over all devices.

        Args:
            batch: The device's share of the batch.
            stops: Scalar, above 0 to stop.
        """
        mixture, targets = self._mixer(*batch) if self._mixer else batch
        scale = self._optimizer.scale_loss(tf.constant(1.0))
        means, gradients = self.accumulated(mixture, targets, scale)
        means, stops, *gradients = _sum_over_devices([means, stops, *gradients])
        norm = self._update(gradients, scale)
        loss, mixture_loss, saturated = tf.unstack(means)
        return StepResult(loss, mixture_loss, norm, saturated, stops)

    def _run_on_all_devices(self, batch, stops):
        results = self._devices.strategy.run(self.on_device, args=(batch, stops))
        return _of_one_device(self._devices, results)


class ValidationStep:
    """The scores of a batch of validation windows that all devices share."""

    def __init__(
        self,
        devices: Devices,
        network: keras.Model,
        objective: Objective,
        compute: ComputeConfig,
        *,
        num_tracks: int,
    ):
        """Builds the step; its first call traces the graph.

        Args:
            devices: The devices.
            network: The network, scored with the weights that it has at the time.
            objective: The loss.
            compute: Whether XLA compiles.
            num_tracks: Validation tracks in all.
        """
        self._devices, self._network = devices, network
        self._objective, self._num_tracks = objective, num_tracks
        self._scores_of = self.scores_of
        if compute.jit_compile:
            self._scores_of = _graph(self.scores_of, jit_compile=True)
        self._on_all_devices = _graph(self._run_on_all_devices)

    def __call__(self, batch: tuple, stops: tf.Tensor) -> Scores:
        """Scores a batch.

        Args:
            batch: A distributed batch of `windows.whole_track_windows`.
            stops: Scalar, 1 where this worker asks to stop, else 0.
        """
        return self._on_all_devices(batch, stops)

    def scores_of(self, mixture, targets: dict, weights, track) -> list:
        """Computes the loss, its weight and the energies of a device's windows.

        Args:
            mixture: `(batch, frames, channels)`, with the network's context.
            targets: Source → `(batch, frames, channels)`.
            weights: `(batch, frames, 1)`, of each frame.
            track: `(batch,)`, the number of each window's track.

        Returns:
            The fields of Scores but `stops`, of this device alone.
        """
        value = self._objective(mixture, targets, weights, training=False)
        estimates = value.estimates
        if estimates is None:
            estimates = self._network(mixture, training=False)
        energies = [
            [
                # Not a segment sum, which XLA and GPUs add up in any order.
                tf.reduce_sum(tf.square(signal * weights), axis=[1, 2])
                for signal in (target, target - estimates[source])
            ]
            for source, target in targets.items()
        ]
        of_tracks = tf.one_hot(track, self._num_tracks)  # (batch, tracks)
        loss = value.loss * value.weight
        return [loss, value.weight, tf.stack(energies) @ of_tracks]

    def on_device(self, mixture, targets: dict, weights, track, stops) -> Scores:
        """Runs scores_of on one device, and sums the scores over all devices.

        Args:
            mixture: The device's share of the batch, `(batch, frames, channels)`.
            targets: Source → `(batch, frames, channels)`.
            weights: `(batch, frames, 1)`.
            track: `(batch,)`.
            stops: Scalar, above 0 to stop.
        """
        scores = self._scores_of(mixture, targets, weights, track)
        return Scores(*_sum_over_devices([*scores, stops]))

    def _run_on_all_devices(self, batch, stops):
        scores = self._devices.strategy.run(self.on_device, args=(*batch, stops))
        return _of_one_device(self._devices, scores)


def _sum_over_devices(values: list) -> list:
    # all_reduce refuses a tensor that all devices share, such as an argument.
    values = [tf.identity(value) for value in values]
    return tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, values
    )


def _of_one_device(devices: Devices, results):
    """Returns the values of one device, where all devices have the same."""
    return type(results)(
        *(devices.strategy.experimental_local_results(value)[0] for value in results)
    )
