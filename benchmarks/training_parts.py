"""The parts of a training step that train_step measures: ours, and a plain port's."""

from __future__ import annotations

from functools import partial

from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.configs.training import ComputeConfig, TrainingConfig


def use_plain_port() -> None:
    """Replaces what our layers compute by what the original's graph computes."""
    from waveunet_tf.networks import fused, layers

    layers.Decimate.call = lambda _, inputs: inputs[:, ::2]
    layers.LinearInterpolation.call = _gather_interleave
    layers.LearnedInterpolation.call = _gather_interleave
    layers.window = lambda inputs, start, frames: inputs[:, start : start + frames]
    fused.training_pass = lambda _, network: partial(network, training=True)


def _gather_interleave(self, inputs):
    """Upsamples as the original does: puts all new frames last, then gathers.

    Args:
        self: The layer that interpolates.
        inputs: `(batch, frames, features)`.
    """
    from keras import ops

    frames = inputs.shape[1] or ops.shape(inputs)[1]
    after = inputs[:, -1:]
    between = self.between(inputs[:, :-1], inputs[:, 1:])
    if not self.context:
        between = ops.concatenate([between, self.after_last(after)], axis=1)
    places = ops.arange(frames + ops.shape(between)[1])
    places = ops.where(places % 2 == 0, places // 2, frames + places // 2)
    both = ops.concatenate([inputs, between], axis=1)
    return ops.take(both, places, axis=1)


class TensorFlowParts:
    """The parts of a training step on TensorFlow, as a training computes them.

    Each takes a mixture and targets, `(batch, frames, channels)` each, and waits until
    its result is there.
    """

    def __init__(
        self, config: WaveUNetConfig, training: TrainingConfig, *, compiled: bool
    ):
        """Builds the graphs.

        Args:
            config: The network.
            training: The learning rate.
            compiled: Whether XLA compiles them.
        """
        import tensorflow as tf

        from waveunet_tf.networks.build import build_network
        from waveunet_tf.training.devices import Devices
        from waveunet_tf.training.objective import build_objective
        from waveunet_tf.training.optimizer import build_optimizer
        from waveunet_tf.training.step import TrainingStep

        compute = ComputeConfig(jit_compile=compiled)
        network = build_network(config)
        adam = build_optimizer(training, compute)
        adam.build(network.trainable_variables)
        self._weights = network.trainable_variables
        self._objective = build_objective(config, network, TrainingConfig())
        devices = Devices(tf.distribute.get_strategy())
        self._step = TrainingStep(devices, network, adam, self._objective, compute)
        self._forward = tf.function(self._loss_of, jit_compile=compiled)
        self._gradients = tf.function(self._gradients_of, jit_compile=compiled)

    def forward(self, mixture, targets: dict):
        """Computes the loss."""
        return _to_numpy(self._forward(*_to_tensors(mixture, targets)))

    def gradients(self, mixture, targets: dict):
        """Computes the loss and the gradients."""
        return _to_numpy(self._gradients(*_to_tensors(mixture, targets)))

    def step(self, mixture, targets: dict):
        """Updates the weights."""
        import tensorflow as tf

        batch = _to_tensors(mixture, targets)
        return _to_numpy(self._step(batch, tf.constant(0.0)))

    def _loss_of(self, mixture, targets):
        import tensorflow as tf

        weights = tf.ones_like(next(iter(targets.values()))[..., :1])
        return self._objective(mixture, targets, weights, training=True).loss

    def _gradients_of(self, mixture, targets):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self._loss_of(mixture, targets)
        gradients = tape.gradient(loss, self._weights)
        return loss, [tf.reduce_sum(gradient) for gradient in gradients]


def _to_tensors(*arrays):
    import tensorflow as tf

    return tf.nest.map_structure(tf.constant, arrays)


def _to_numpy(tensors):
    import tensorflow as tf

    return tf.nest.map_structure(lambda tensor: tensor.numpy(), tensors)


class JaxParts:
    """The parts of a training step on JAX, with the interface of TensorFlowParts."""

    def __init__(
        self, config: WaveUNetConfig, training: TrainingConfig, *, compiled: bool
    ):
        """Builds the functions, which JAX always compiles."""
        import jax

        from waveunet_tf.checkpoints.adam import build_adam
        from waveunet_tf.networks.build import build_network

        del compiled
        self._network = network = build_network(config)
        self._adam = build_adam(training)
        self._adam.build(network.trainable_variables)
        self._weights = [variable.value for variable in network.trainable_variables]
        self._others = [variable.value for variable in network.non_trainable_variables]
        self._moments = [variable.value for variable in self._adam.variables]
        self._forward = jax.jit(self._loss_of)
        self._gradients = jax.jit(jax.value_and_grad(self._loss_of))
        self._update = jax.jit(self._updated)

    def forward(self, mixture, targets: dict):
        """Computes the loss."""
        return self._wait(self._forward(self._weights, mixture, targets))

    def gradients(self, mixture, targets: dict):
        """Computes the loss and the gradients."""
        return self._wait(self._gradients(self._weights, mixture, targets))

    def step(self, mixture, targets: dict):
        """Updates the weights."""
        loss, self._weights, self._moments = self._wait(
            self._update(self._weights, self._moments, mixture, targets)
        )
        return loss

    def _loss_of(self, weights, mixture, targets):
        import jax

        from waveunet_tf.training import losses

        estimates, _ = self._network.stateless_call(
            weights, self._others, mixture, training=True
        )
        ones = jax.numpy.ones_like(next(iter(targets.values()))[..., :1])
        return losses.mean_squared_error(targets, estimates, ones)

    def _updated(self, weights, moments, mixture, targets):
        import jax

        loss, gradients = jax.value_and_grad(self._loss_of)(weights, mixture, targets)
        weights, moments = self._adam.stateless_apply(moments, gradients, weights)
        return loss, weights, moments

    def _wait(self, results):
        import jax

        return jax.block_until_ready(results)
