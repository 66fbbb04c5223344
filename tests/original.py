"""The original Wave-U-Net written anew in TF1 operations: an independent reference.

It follows the paper and the original's graph with TF1's own resize, gather and
`nn.conv1d`, takes sizes where our network takes a config, names its variables as the
original does, and saves them with TF1's Saver.
"""

import dataclasses

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1


@dataclasses.dataclass(frozen=True)
class Original:
    """What the original's model_config says."""

    num_layers: int = 3
    num_initial_filters: int = 4
    filter_size: int = 15
    merge_filter_size: int = 5
    output_filter_size: int = 1
    upsampling: str = "linear"
    output_type: str = "difference"
    output_activation: str = "tanh"
    context: bool = True
    num_channels: int = 2
    source_names: tuple = ("accompaniment", "vocals")

    def estimates(self, mixture, training):
        """The graph: mixture `(batch, frames, channels)` → list of sources."""
        convolutions = []

        def conv(inputs, filters, width, activation):
            number = len(convolutions)
            convolutions.append(filters)
            with v1.variable_scope(f"conv1d_{number}" if number else "conv1d"):
                kernel = v1.get_variable("kernel", (width, inputs.shape[-1], filters))
                bias = v1.get_variable(
                    "bias",
                    (filters,),
                    initializer=v1.random_uniform_initializer(-0.1, 0.1),
                )
            padding = "VALID" if self.context else "SAME"
            return activation(tf.nn.conv1d(inputs, kernel, 1, padding) + bias)

        def leaky(inputs):
            return tf.maximum(0.2 * inputs, inputs)

        first = self.num_initial_filters
        skips, current = [], mixture
        with v1.variable_scope("separator", reuse=v1.AUTO_REUSE):
            for level in range(self.num_layers):
                current = conv(current, first * (level + 1), self.filter_size, leaky)
                skips.append(current)
                current = current[:, ::2]
            current = conv(
                current, first * (self.num_layers + 1), self.filter_size, leaky
            )
            for level in range(self.num_layers):
                current = self._upsample(current, level)
                current = tf.concat([_crop(skips[-level - 1], current), current], 2)
                current = conv(
                    current,
                    first * (self.num_layers - level),
                    self.merge_filter_size,
                    leaky,
                )
            current = tf.concat([_crop(mixture, current), current], 2)
            return self._outputs(conv, mixture, current, training)

    def _upsample(self, current, level):
        current = current[:, None]
        frames, features = current.shape[2], current.shape[3]
        if self.upsampling == "linear":
            wanted = 2 * frames - 1 if self.context else 2 * frames
            current = v1.image.resize_bilinear(
                current, (1, wanted), align_corners=self.context
            )
            return current[:, 0]
        weights = tf.sigmoid(v1.get_variable(f"interp_{level}", (features,)))
        kernel = tf.stack([tf.linalg.diag(weights), tf.linalg.diag(1 - weights)])[None]
        between = tf.nn.conv2d(current, kernel, 1, "VALID" if self.context else "SAME")
        both = tf.concat([current, between], axis=2)[:, 0]
        wanted = 2 * frames - 1 if self.context else 2 * frames
        order = [n // 2 + (n % 2) * frames for n in range(wanted)]
        return tf.gather(both, order, axis=1)

    def _outputs(self, conv, mixture, current, training):
        def clip(inputs):
            return inputs if training else tf.clip_by_value(inputs, -1.0, 1.0)

        activation = tf.tanh if self.output_activation == "tanh" else clip
        count = len(self.source_names) - (self.output_type == "difference")
        width = self.output_filter_size
        outputs = [
            conv(current, self.num_channels, width, activation) for _ in range(count)
        ]
        if self.output_type == "difference":
            outputs.append(clip(_crop(mixture, outputs[0]) - sum(outputs)))
        return outputs

    def run(self, prefix, mixture, targets, steps):
        """Trains some steps with Adam, saves, estimates, and trains one step more.

        Args:
            prefix: the checkpoint to save, without its step.
            mixture: `(batch, frames, channels)`.
            targets: one array of the output's shape for each source.
            steps: Adam's steps before the checkpoint.

        Returns:
            The checkpoint's prefix; the sources' estimates at inference; and the
            trained variables by name after the further step.
        """
        with tf.Graph().as_default(), v1.Session() as session:
            v1.set_random_seed(1)
            mixture = tf.constant(mixture, tf.float32)
            outputs = self.estimates(mixture, training=False)
            loss = sum(
                tf.reduce_mean(tf.square(target - estimate))
                for target, estimate in zip(targets, self.estimates(mixture, True))
            ) / len(targets)
            step = v1.get_variable(
                "global_step", (), tf.int64, v1.zeros_initializer(), trainable=False
            )
            with v1.variable_scope("separator_solver"):
                update = v1.train.AdamOptimizer(1e-2).minimize(loss)
            count = v1.assign_add(step, 1)
            session.run(v1.global_variables_initializer())
            for _ in range(steps):
                session.run(update)
                session.run(count)
            path = v1.train.Saver().save(
                session, str(prefix), global_step=steps, write_meta_graph=False
            )
            estimates = session.run(outputs)
            session.run(update)
            trained = {
                variable.op.name: session.run(variable)
                for variable in v1.trainable_variables()
            }
            return path, dict(zip(self.source_names, estimates)), trained


def _crop(inputs, like):
    surplus = inputs.shape[1] - like.shape[1]
    assert surplus % 2 == 0
    return inputs[:, surplus // 2 : surplus // 2 + like.shape[1]]


def noise(*shape, seed=0):
    """Gaussian noise of a song's level."""
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)
