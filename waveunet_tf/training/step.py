"""What a training computes: a step of gradient descent, and the validation's scores.

Every function here is a graph on all devices at once. A batch is split among them; what
is a mean over the batch is the mean over all of it, however many devices there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.training.devices import Devices


class Step(NamedTuple):
    """What a step of gradient descent gives, scalars all.

    Attributes:
        loss: the mean over the batch, before the step.
        gradient_norm: the gradients' Euclidean norm over all weights, before clipping.
        saturated: the share of the estimates' samples beyond ±0.99.
        stops: above 0 where a worker asks to stop.
    """

    loss: tf.Tensor
    gradient_norm: tf.Tensor
    saturated: tf.Tensor
    stops: tf.Tensor


class Scores(NamedTuple):
    """What a validation batch gives, summed over the devices.

    Attributes:
        loss: the loss, times `weight`.
        weight: what the loss is a mean over: frames, or steps of an STFT.
        energies: `(sources, 2, tracks)`, float32: the energy of each true source in the
            batch, and of its estimate's error.
        stops: above 0 where a worker asks to stop.
    """

    loss: tf.Tensor
    weight: tf.Tensor
    energies: tf.Tensor
    stops: tf.Tensor


def training_step(
    devices: Devices,
    network: keras.Model,
    optimizer: keras.Optimizer,
    objective: Callable,
    compute: ComputeConfig,
    clip_norm: float = 0.0,
) -> Callable[..., Step]:
    """Builds a step of gradient descent: batch, stops → Step.

    The batch is what `excerpts.random_excerpts` gives, distributed. Gradients of a
    norm beyond `clip_norm` are scaled down to it, unless it is 0.
    """
    weights = network.trainable_variables
    parts = compute.accumulate_steps

    def gradients_of(mixture, targets, scale):
        frame_weights = tf.ones_like(next(iter(targets.values()))[..., :1])
        with tf.GradientTape() as tape:
            loss, _, estimates = objective(mixture, targets, frame_weights, True)
            # A device's mean counts as its part of the batch.
            loss /= parts * devices.replicas
            scaled = loss * scale
        saturated = _share_beyond(0.99, estimates) / (parts * devices.replicas)
        return tf.stack([loss, saturated]), tape.gradient(scaled, weights)

    if compute.jit_compile:
        gradients_of = tf.function(gradients_of, jit_compile=True)

    def accumulated(mixture, targets, scale):
        if parts == 1:
            return gradients_of(mixture, targets, scale)
        frames = mixture.shape[0] // parts
        totals = tf.zeros([2])
        sums = [tf.zeros(weight.shape) for weight in weights]
        for part in tf.range(parts):
            piece = slice(part * frames, (part + 1) * frames)
            means, gradients = gradients_of(
                tf.ensure_shape(mixture[piece], (frames, *mixture.shape[1:])),
                {
                    name: tf.ensure_shape(stem[piece], (frames, *stem.shape[1:]))
                    for name, stem in targets.items()
                },
                scale,
            )
            totals += means
            sums = [one + other for one, other in zip(sums, gradients)]
        return totals, sums

    def on_device(mixture, targets, stops):
        scale = optimizer.scale_loss(tf.constant(1.0))
        means, gradients = accumulated(mixture, targets, scale)
        means, stops, *gradients = _sum_over_devices([means, stops, *gradients])
        norm = tf.linalg.global_norm(gradients) / scale
        if clip_norm:
            smaller = tf.minimum(1.0, clip_norm / norm)
            gradients = [smaller * gradient for gradient in gradients]
        optimizer.apply(gradients, weights)
        return Step(means[0], norm, means[1], stops)

    @tf.function
    def step(batch, stops):
        came = devices.strategy.run(on_device, args=(*batch, stops))
        return _of_one_device(devices, came)

    return step


def _share_beyond(level: float, estimates: dict | None):
    """The share of samples of a greater magnitude; 0 where there is no waveform."""
    shares = [
        tf.reduce_mean(tf.cast(tf.abs(estimate) > level, tf.float32))
        for estimate in (estimates or {}).values()
    ]
    return tf.add_n(shares) / len(shares) if shares else tf.constant(0.0)


def validation_scores(
    devices: Devices,
    network: keras.Model,
    objective: Callable,
    compute: ComputeConfig,
    num_tracks: int,
) -> Callable[..., Scores]:
    """Builds the scores of a batch: batch, stops → Scores.

    The batch is what `excerpts.whole_track_windows` gives, distributed.
    """

    def scores_of(mixture, targets, weights, track):
        loss, weight, estimates = objective(mixture, targets, weights, False)
        if estimates is None:
            estimates = network(mixture, training=False)
        energies = [
            [
                # Not by segments: XLA and GPUs sum these in any order.
                tf.reduce_sum(tf.square(signal * weights), axis=[1, 2])
                for signal in (target, target - estimates[source])
            ]
            for source, target in targets.items()
        ]
        of_tracks = tf.one_hot(track, num_tracks)  # (batch, tracks)
        return loss * weight, weight, tf.stack(energies) @ of_tracks

    if compute.jit_compile:
        scores_of = tf.function(scores_of, jit_compile=True)

    def on_device(mixture, targets, weights, track, stops):
        came = [*scores_of(mixture, targets, weights, track), stops]
        return Scores(*_sum_over_devices(came))

    @tf.function
    def scores(batch, stops):
        came = devices.strategy.run(on_device, args=(*batch, stops))
        return _of_one_device(devices, came)

    return scores


def _sum_over_devices(values: list) -> list:
    # A tensor that all devices share, such as an argument, cannot be summed as it is.
    values = [tf.identity(value) for value in values]
    return tf.distribute.get_replica_context().all_reduce(
        tf.distribute.ReduceOp.SUM, values
    )


def _of_one_device(devices: Devices, came):
    """The values of one device, where all have the same."""
    return type(came)(
        *(devices.strategy.experimental_local_results(value)[0] for value in came)
    )
