"""The loss of a network as training and validation compute it."""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import fused, layer_names, spectrogram_u_net
from waveunet_tf.training import losses


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
    if not config.has_spectrogram:
        raise InputError(
            f"`loss` must be {' or '.join(losses.OF_WAVEFORMS)} for a network of "
            f"waveforms. Received: {training_config.loss}"
        )
    magnitudes = spectrogram_u_net.magnitude_network(config, network)
    stft = network.get_layer(layer_names.STFT)
    magnitude = network.get_layer(layer_names.MAGNITUDE)

    def of_magnitudes(mixture, targets, weights, training):
        true = {source: magnitude(stft(target)) for source, target in targets.items()}
        # A step of the STFT counts if its first frame does.
        starts = weights[:, : -config.fft_frames + 1 : config.hop_frames]
        estimates = magnitudes(mixture, training=training)
        loss = losses.mean_absolute_error(true, estimates, starts)
        return loss, tf.reduce_sum(starts), None

    return of_magnitudes
