"""Makes batch normalisation a function of the whole batch, however it is split."""

from __future__ import annotations

import keras

from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.errors import InputError


def normalise_over_all(
    network: keras.Model, compute: ComputeConfig, *, replicas: int
) -> None:
    """Lets batch normalisation see the whole batch of a step.

    Args:
        network: The network, of which some layers may normalise batches.
        compute: Whether a batch is computed in parts, and whether XLA compiles.
        replicas: The devices that share a batch, over which the layers then sum.

    Raises:
        InputError: A layer would see a part of the batch: one is computed after the
            other, or XLA compiles, within which devices do not speak to each other.
    """
    layers = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    if layers and compute.accumulate_steps > 1:
        raise InputError(
            "`accumulate_steps` must be 1 for this network, which normalises each "
            f"batch as a whole. Received: {compute.accumulate_steps}"
        )
    if layers and compute.jit_compile and replicas > 1:
        raise InputError(
            "`jit_compile` must be off for this network on several devices, because it "
            f"normalises each batch over all of them. Received: {replicas} devices"
        )
    for layer in layers:
        layer.synchronized = replicas > 1
