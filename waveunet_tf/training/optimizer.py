"""Adam over several devices, with a loss scale for float16."""

from __future__ import annotations

import keras

from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig


class Adam(keras.optimizers.Adam):
    """Adam for gradients that are already summed over the devices.

    Keras' own sums them within `apply`. There neither their norm can be seen, nor
    whether they are finite, on which the loss scale of float16 depends.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars


def build_optimizer(
    training: TrainingConfig, compute: ComputeConfig
) -> keras.optimizers.Optimizer:
    """Builds Adam, with a loss scale if the precision is float16.

    Args:
        training: The learning rate.
        compute: The precision.
    """
    adam = build_adam(training, Adam)
    if compute.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam


def adam_of(optimizer: keras.Optimizer) -> keras.optimizers.Adam:
    """Returns the Adam within what build_optimizer returned."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def loss_scale_of(optimizer: keras.Optimizer) -> list[keras.Variable]:
    """Returns float16's loss scale and the steps since it changed; else nothing."""
    if optimizer is adam_of(optimizer):
        return []
    return [optimizer.dynamic_scale, optimizer.step_counter]
