"""The loss of a network as training and validation compute it."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import keras
import tensorflow as tf

from waveunet_tf.configs.networks import NetworkConfig, SpectrogramUNetConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import fused, layer_names, shapes, spectrogram_u_net
from waveunet_tf.training import losses


class LossValue(NamedTuple):
    """The loss of a batch.

    Attributes:
        loss: Scalar, a mean over what has a weight.
        weight: Scalar, the sum of the weights.
        estimates: Source → `(batch, frames, channels)`; None where the loss does not
            need the waveforms.
    """

    loss: tf.Tensor
    weight: tf.Tensor
    estimates: dict[str, tf.Tensor] | None


class Objective(Protocol):
    """The function that a training minimises: the loss of a network for a batch."""

    def __call__(self, mixture, targets: dict, weights, *, training: bool) -> LossValue:
        """Computes the loss of a batch.

        Args:
            mixture: `(batch, frames, channels)`, with the network's context.
            targets: Source → `(batch, frames, channels)`.
            weights: `(batch, frames, 1)`, of each frame of the targets.
            training: True in a training step, False in validation.
        """

    def of_mixture(self, mixture, targets: dict, weights):
        """Computes the loss of the mixture taken as every estimate, a scalar.

        Args:
            mixture: `(batch, frames, channels)`, with the network's context.
            targets: Source → `(batch, frames, channels)`.
            weights: `(batch, frames, 1)`, of each frame of the targets.
        """


class WaveformObjective:
    """A loss between true and estimated waveforms."""

    def __init__(
        self, config: NetworkConfig, network: keras.Model, training: TrainingConfig
    ):
        """Chooses the loss by its name.

        Args:
            config: The network's config.
            network: The network.
            training: The name of the loss, one of losses.OF_WAVEFORMS.
        """
        self._network = network
        self._in_training = fused.training_pass(config, network)
        self._loss = losses.of_waveforms(training)
        window = shapes.window_frames(config)
        first = window.context_frames
        self._centre = slice(first, first + window.output_frames)

    def __call__(self, mixture, targets: dict, weights, *, training: bool) -> LossValue:
        """Computes the loss of a batch; shapes as Objective has them."""
        estimates = (self._in_training if training else self._network)(mixture)
        loss = self._loss(targets, estimates, weights)
        return LossValue(loss, tf.reduce_sum(weights), estimates)

    def of_mixture(self, mixture, targets: dict, weights):
        """Computes the mixture's loss; shapes as Objective has them."""
        centre = mixture[:, self._centre]
        return self._loss(targets, dict.fromkeys(targets, centre), weights)


class MagnitudeObjective:
    """The mean absolute error of magnitudes, by which U7a trains (paper, section 5.1).

    No waveform is computed for it. A step of the STFT counts if its first frame does.
    """

    def __init__(self, config: SpectrogramUNetConfig, network: keras.Model):
        """Finds the layers that compute the magnitudes.

        Args:
            config: The network's config.
            network: The network, on spectrograms.
        """
        self._frames = slice(None, 1 - config.fft_frames, config.hop_frames)
        self._estimated = spectrogram_u_net.magnitude_network(config, network)
        self._stft = network.get_layer(layer_names.STFT)
        self._magnitude = network.get_layer(layer_names.MAGNITUDE)

    def __call__(self, mixture, targets: dict, weights, *, training: bool) -> LossValue:
        """Computes the loss of a batch; shapes as Objective has them."""
        weights = weights[:, self._frames]  # (batch, steps, 1)
        estimates = self._estimated(mixture, training=training)
        true = self._magnitudes_of(targets)
        loss = losses.mean_absolute_error(true, estimates, weights)
        return LossValue(loss, tf.reduce_sum(weights), None)

    def of_mixture(self, mixture, targets: dict, weights):
        """Computes the mixture's loss; shapes as Objective has them."""
        estimates = self._magnitudes_of(dict.fromkeys(targets, mixture))
        true = self._magnitudes_of(targets)
        return losses.mean_absolute_error(true, estimates, weights[:, self._frames])

    def _magnitudes_of(self, signals: dict) -> dict:
        return {
            source: self._magnitude(self._stft(signal))  # (batch, steps, bins)
            for source, signal in signals.items()
        }


def build_objective(
    config: NetworkConfig, network: keras.Model, training: TrainingConfig
) -> Objective:
    """Builds the objective of a training.

    Args:
        config: The network's config.
        network: The network.
        training: The name of the loss.

    Raises:
        InputError: The network has no such loss.
    """
    if training.loss in losses.OF_WAVEFORMS:
        return WaveformObjective(config, network, training)
    if not config.has_spectrogram:
        raise InputError(
            f"`loss` must be {' or '.join(losses.OF_WAVEFORMS)} for a network of "
            f"waveforms. Received: {training.loss}"
        )
    return MagnitudeObjective(config, network)
