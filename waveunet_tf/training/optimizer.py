"""Adam over several devices, with a loss scale for float16."""

from __future__ import annotations

import keras

from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig


class Adam(keras.optimizers.Adam):
    """Adam for gradients that are summed over the devices already.

    Keras' own sums them within `apply`, where neither their norm nor whether they are
    finite, which the loss scale of float16 depends on, can be seen.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars


def build_optimizer(training: TrainingConfig, compute: ComputeConfig):
    """Adam, with a loss scale if the precision is float16."""
    adam = build_adam(training, Adam)
    if compute.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(adam)
    return adam


def adam_of(optimizer: keras.Optimizer) -> keras.optimizers.Adam:
    """The Adam within what build_optimizer gave."""
    return getattr(optimizer, "inner_optimizer", optimizer)
