"""The original Wave-U-Net written anew in TF1 operations: an independent reference.

It follows the paper and the original's graph with TF1's own resize, gather and
`nn.conv1d`, takes sizes where our network takes a config, computes its own lengths and
crops as the original does, names its variables as the original does, and saves them
with TF1's Saver.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from waveunet_tf.configs.networks import WaveUNetConfig

v1 = tf.compat.v1

# Optimizing a graph that runs once takes longer than the graph.
_AS_IT_IS = v1.ConfigProto()
_AS_IT_IS.graph_options.rewrite_options.disable_meta_optimizer = True


@dataclasses.dataclass(frozen=True)
class Original:
    """The original's model_config, and its network."""

    num_layers: int = 3
    num_initial_filters: int = 4
    filter_size: int = 15
    merge_filter_size: int = 5
    input_filter_size: int = 15
    output_filter_size: int = 1
    upsampling: str = "linear"
    output_type: str = "difference"
    output_activation: str = "tanh"
    context: bool = True
    num_channels: int = 2
    source_names: tuple = ("accompaniment", "vocals")

    def padding(self, wished_frames):
        """Returns input and output frames, step by step as `get_padding` does."""
        if not self.context:
            return wished_frames, wished_frames
        rem = float(wished_frames) - self.output_filter_size + 1
        for _ in range(self.num_layers):
            rem = rem + self.merge_filter_size - 1
            rem = (rem + 1.0) / 2.0
        bottleneck = math.ceil(rem)
        assert bottleneck >= 2
        output = bottleneck
        inputs = bottleneck + self.filter_size - 1
        for level in range(self.num_layers):
            output = 2 * output - 1 - self.merge_filter_size + 1
            inputs = 2 * inputs - 1
            if level < self.num_layers - 1:
                inputs += self.filter_size - 1
            else:
                inputs += self.input_filter_size - 1
        return inputs, output - self.output_filter_size + 1

    def config(self, wished_frames=64):
        """Returns our config of the same network."""
        return WaveUNetConfig(
            num_levels=self.num_layers,
            base_filters=self.num_initial_filters,
            down_kernel_size=self.filter_size,
            input_kernel_size=self.input_filter_size if self.context else 0,
            up_kernel_size=self.merge_filter_size,
            output_kernel_size=self.output_filter_size,
            upsampling=self.upsampling,
            output_type=self.output_type,
            output_activation=self.output_activation,
            context=self.context,
            channels=self.num_channels,
            sources=self.source_names,
            output_frames=wished_frames,
        )

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

    def compute(self, mixture):
        """Computes the sources of a mixture with random weights.

        Args:
            mixture: `(batch, frames, channels)`.

        Returns:
            The variables by name, and the sources' estimates at inference.
        """
        with tf.Graph().as_default(), v1.Session(config=_AS_IT_IS) as session:
            v1.set_random_seed(1)
            outputs = self.estimates(tf.constant(mixture, tf.float32), training=False)
            session.run(v1.global_variables_initializer())
            names = [variable.op.name for variable in v1.global_variables()]
            values, estimates = session.run([v1.global_variables(), outputs])
            return dict(zip(names, values)), dict(zip(self.source_names, estimates))

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
        with tf.Graph().as_default(), v1.Session(config=_AS_IT_IS) as session:
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
            trained = session.run(
                {variable.op.name: variable for variable in v1.trainable_variables()}
            )
            return path, dict(zip(self.source_names, estimates)), trained


# Networks for which the original counts more taps than the first convolution has.
# The letters say of each level whether a skip's surplus is odd (o) or even (e).
LONGER_INPUTS = {
    "4 levels, eoeo": Original(4, 2, 5, 1, 15, num_channels=1),
    "5 levels, eeooe": Original(5, 1, 3, 3, 15, 3, "learned", "direct"),
    "6 levels, eeeoee": Original(6, 1, 7, 5, 15, output_activation="linear"),
    "7 levels, eoeoeee": Original(7, 1, 5, 1, 15, num_channels=1),
    "8 levels, eoooeeee": Original(8, 1, 3, 3, 17, output_type="direct"),
    "9 levels, eeoooeeee": Original(9, 1, 3, 1, 31, upsampling="learned"),
}


def _crop(inputs, like):
    """Crops as `Utils.crop`: an odd number of frames loses one more at the end."""
    surplus = int(inputs.shape[1] - like.shape[1])
    assert surplus >= 0
    start = surplus // 2
    end = surplus - start
    return inputs[:, start:-end] if surplus else inputs


def noise(*shape, seed=0):
    """Gaussian noise of a song's level."""
    return np.random.default_rng(seed).normal(0, 0.3, shape).astype(np.float32)
