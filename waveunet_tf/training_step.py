"""What a training computes: a step of gradient descent, and the validation's scores.

Every function here is a graph on all devices at once. A batch is split among them; what
is a mean over the batch is the mean over all of it, however many devices there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from waveunet_tf import checkpoint, fused, losses, spectrogram
from waveunet_tf.compute import Devices
from waveunet_tf.configs import NetworkConfig, SpectrogramUNetConfig
from waveunet_tf.errors import InputError
from waveunet_tf.training_config import ComputeConfig, TrainingConfig


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


class Adam(keras.optimizers.Adam):
    """Adam for gradients that are summed over the devices already.

    Keras' own sums them within `apply`, where neither their norm nor whether they are
    finite, which the loss scale of float16 depends on, can be seen.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars


def build_optimizer(training: TrainingConfig, compute: ComputeConfig):
    """Adam, with a loss scale if the precision is float16."""
    adam = checkpoint.build_optimizer(training, Adam)
    if compute.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam


def adam_of(optimizer: keras.Optimizer) -> keras.optimizers.Adam:
    """The Adam within what build_optimizer gave."""
    return getattr(optimizer, "inner_optimizer", optimizer)


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


def build_objective(
    config: NetworkConfig, network: keras.Model, training_config: TrainingConfig
) -> Callable:
    """Builds the loss as a function of mixture, targets, weights, whether in training.

    It gives the loss, the weight that it is a mean over, and the estimates of the
    waveform, or None where it does not need them.

    Raises:
        InputError: the network has no such loss.
    """
    if training_config.loss in losses.OF_WAVEFORMS:
        loss_of = losses.of_waveforms(training_config)
        in_training = fused.training_pass(config, network)

        def of_waveforms(mixture, targets, weights, training):
            estimates = in_training(mixture) if training else network(mixture)
            loss = loss_of(targets, estimates, weights)
            return loss, tf.reduce_sum(weights), estimates

        return of_waveforms
    if not isinstance(config, SpectrogramUNetConfig):
        raise InputError(
            f"`loss` must be {' or '.join(losses.OF_WAVEFORMS)} for a network of "
            f"waveforms. Received: {training_config.loss}"
        )
    magnitudes = spectrogram.magnitude_network(config, network)
    stft, magnitude = network.get_layer("stft"), network.get_layer("magnitude")

    def of_magnitudes(mixture, targets, weights, training):
        true = {source: magnitude(stft(target)) for source, target in targets.items()}
        # A step of the STFT counts if its first frame does.
        starts = weights[:, : -config.fft_frames + 1 : config.hop_frames]
        estimates = magnitudes(mixture, training=training)
        loss = losses.mean_absolute_error(true, estimates, starts)
        return loss, tf.reduce_sum(starts), None

    return of_magnitudes
