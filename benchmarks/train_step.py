r"""How fast a training step is, beside a plain port of the original's graph.

    python -m benchmarks.train_step --variant M4
    python -m benchmarks.train_step --small
    KERAS_BACKEND=jax python -m benchmarks.train_step --synthetic

Trains untrained weights, each way in a process of its own, in turn, several rounds: our
network, as it is and compiled by XLA, and a plain Keras port, which interleaves the
upsampled frames by a gather as the original's TF1 graph does. Prints of each way the
excerpts a second, its share of the machine's float32 matrix-product rate (a step
counted as three times the forward pass's multiply-adds), and the milliseconds of a
step's forward pass, backward pass and update. Then it trains through the whole pipeline
on stems of noise and prints the share of time that steps wait for their input. Last the
ratio of our fastest way to the plain port.

--synthetic leaves the pipeline out, and needs nothing but Keras and its backend.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import flags

from benchmarks.common import matrix_product_rate, write_noise
from waveunet_tf import cli, shapes
from waveunet_tf.configs import VARIANT_TRAINING, VARIANTS, WaveUNetConfig

_WAYS = ("ours", "ours compiled", "plain port")
_VARIANT = flags.DEFINE_enum(
    "variant",
    "M4",
    [name for name, config in VARIANTS.items() if isinstance(config, WaveUNetConfig)],
    "The network.",
)
_SMALL = flags.DEFINE_boolean(
    "small", False, "Take 9 levels and 14 first filters instead of the full size."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Excerpts a step; by default the variant's.", lower_bound=1
)
_STEPS = flags.DEFINE_integer("steps", 3, "Steps measured a round.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 2, "How often each way is measured; the best counts.", lower_bound=1
)
_PRECISION = flags.DEFINE_enum(
    "precision",
    "float32",
    ["float32", "mixed_float16", "mixed_bfloat16"],
    "Numbers that layers compute with.",
)
_SYNTHETIC = flags.DEFINE_boolean(
    "synthetic", False, "Measure the network alone, on any of Keras' backends."
)
_WAY = flags.DEFINE_enum(
    "way", None, [*_WAYS, "input"], "Measure this way only (what a round runs)."
)


def network_config() -> WaveUNetConfig:
    """The network that the flags describe."""
    config = VARIANTS[_VARIANT.value]
    if _SMALL.value:
        config = dataclasses.replace(config, num_levels=9, base_filters=14)
    return config


def batch_size() -> int:
    """Excerpts a step."""
    return _BATCH_SIZE.value or VARIANT_TRAINING[_VARIANT.value].batch_size


def measure(way: str) -> dict[str, float]:
    """Runs steps on noise in this process; gives seconds of each part of a step."""
    import keras

    from waveunet_tf import checkpoint, layers, model

    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(_PRECISION.value)
    config = network_config()
    if way == "plain port":
        layers.LinearInterpolation.call = layers.LearnedInterpolation.call = (
            _gather_interleave
        )
    network = model.build_network(config)
    adam = checkpoint.build_optimizer(VARIANT_TRAINING[_VARIANT.value])
    adam.build(network.trainable_variables)
    window = shapes.window_frames(config)
    draw = np.random.default_rng(0).normal
    mixture = draw(0, 0.1, (batch_size(), window.input_frames, config.channels))
    shape = (batch_size(), window.output_frames, config.channels)
    batch = (
        mixture.astype(np.float32),
        {name: draw(0, 0.1, shape).astype(np.float32) for name in config.sources},
    )
    build = _jax_parts if keras.backend.backend() == "jax" else _tensorflow_parts
    parts = build(network, adam, compiled=way == "ours compiled")
    seconds = {}
    for name, part in parts.items():
        part(*batch)  # traces or compiles
        part(*batch)
        began = time.perf_counter()
        for _ in range(_STEPS.value):
            part(*batch)
        seconds[name] = (time.perf_counter() - began) / _STEPS.value
    return {**seconds, "flops": matrix_product_rate()}


def _gather_interleave(self, inputs):
    """Upsampling as the original's graph: all between behind all, then a gather."""
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


def _tensorflow_parts(network, adam, *, compiled: bool) -> dict:
    """forward, gradients and step: functions of a batch, as training_step has them."""
    import tensorflow as tf

    from waveunet_tf import compute, training_step
    from waveunet_tf.configs import ComputeConfig

    config = network_config()
    options = ComputeConfig(jit_compile=compiled)
    objective = training_step.build_objective(config, network, "mse")
    devices = compute.Devices(tf.distribute.get_strategy())
    adam = training_step.Adam.from_config(adam.get_config())
    adam.build(network.trainable_variables)
    step = training_step.training_step(devices, network, adam, objective, options)

    def loss_of(mixture, targets):
        weights = tf.ones_like(next(iter(targets.values()))[..., :1])
        return objective(mixture, targets, weights, True)[0]

    @tf.function(jit_compile=compiled)
    def gradients(mixture, targets):
        with tf.GradientTape() as tape:
            loss = loss_of(mixture, targets)
        came = tape.gradient(loss, network.trainable_variables)
        return loss, [tf.reduce_sum(gradient) for gradient in came]

    forward = tf.function(loss_of, jit_compile=compiled)
    stops = tf.constant(0.0)

    def on_tensors(function):
        return lambda mixture, targets: tf.nest.map_structure(
            lambda tensor: tensor.numpy(),
            function(tf.constant(mixture), tf.nest.map_structure(tf.constant, targets)),
        )

    return {
        "forward": on_tensors(forward),
        "gradients": on_tensors(gradients),
        "step": on_tensors(lambda *batch: step(batch, stops)),
    }


def _jax_parts(network, adam, *, compiled: bool) -> dict:
    """The same on JAX, which always compiles."""
    import jax

    from waveunet_tf import losses

    del compiled
    state = {
        "weights": [variable.value for variable in network.trainable_variables],
        "others": [variable.value for variable in network.non_trainable_variables],
        "moments": [variable.value for variable in adam.variables],
    }

    def loss_of(weights, others, mixture, targets):
        estimates, _ = network.stateless_call(weights, others, mixture, training=True)
        ones = jax.numpy.ones_like(next(iter(targets.values()))[..., :1])
        return losses.mean_squared_error(targets, estimates, ones)

    @jax.jit
    def update(state, mixture, targets):
        loss, came = jax.value_and_grad(loss_of)(
            state["weights"], state["others"], mixture, targets
        )
        weights, moments = adam.stateless_apply(
            state["moments"], came, state["weights"]
        )
        return loss, {**state, "weights": weights, "moments": moments}

    forward = jax.jit(loss_of)
    gradients = jax.jit(jax.value_and_grad(loss_of))

    def step(*batch):
        loss, new = update(state, *batch)
        state.update(new)
        return jax.block_until_ready((loss, new))

    def with_weights(function):
        return lambda *batch: jax.block_until_ready(
            function(state["weights"], state["others"], *batch)
        )

    return {
        "forward": with_weights(forward),
        "gradients": with_weights(gradients),
        "step": step,
    }


def measure_input() -> dict[str, float]:
    """Trains a small epoch on noise; gives the share of time it waited for input."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorflow import make_ndarray

    from waveunet_tf import train
    from waveunet_tf.configs import ComputeConfig

    steps = 2 * _STEPS.value
    training = dataclasses.replace(
        VARIANT_TRAINING[_VARIANT.value],
        batch_size=batch_size(),
        steps_per_epoch=steps,
        # The first epoch traces the graph and fills buffers.
        max_epochs=2,
        fine_tuning=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        write_noise(root / "data", network_config())
        train.train(
            network_config(),
            training,
            data_dirs=[root / "data"],
            workdir=root / "work",
            compute=ComputeConfig(precision=_PRECISION.value),
        )
        events = EventAccumulator(str(root / "work" / "tensorboard"))
        events.Reload()
        last = events.Tensors("training/input_wait_share")[-1]
        return {"input_wait_share": float(make_ndarray(last.tensor_proto))}


def main(_):
    if _WAY.value:
        came = measure_input() if _WAY.value == "input" else measure(_WAY.value)
        print(json.dumps(came))
        return
    from waveunet_tf.summary import summarize_network

    command = [sys.executable, "-m", "benchmarks.train_step", *sys.argv[1:]]

    def run(way: str) -> dict[str, float]:
        result = subprocess.run(
            [*command, f"--way={way}"], check=True, stdout=subprocess.PIPE, text=True
        )
        return json.loads(result.stdout.splitlines()[-1])

    ways = _WAYS
    if os.environ.get("KERAS_BACKEND") == "jax":
        ways = ("ours compiled", "plain port")
    best, rates = {}, []
    for _ in range(_ROUNDS.value):
        for way in ways:
            came = run(way)
            rates.append(came.pop("flops"))
            known = best.setdefault(way, came)
            best[way] = {name: min(came[name], known[name]) for name in came}
    window = sum(row.multiply_adds for row in summarize_network(network_config()).rows)
    step_flops = 3 * 2 * window * batch_size()
    rate = max(rates)
    print(f"batch {batch_size()}, {_PRECISION.value}, product {rate / 1e9:.0f} GFLOP/s")
    for way, seconds in best.items():
        step = seconds["step"]
        backward = seconds["gradients"] - seconds["forward"]
        print(
            f"{way:<14}{batch_size() / step:>8.2f} excerpts/s, {1 / step:.3f} steps/s, "
            f"{step_flops / step / rate:.0%} of the product's rate; forward "
            f"{1000 * seconds['forward']:.0f} ms, backward {1000 * backward:.0f} ms, "
            f"update {1000 * (step - seconds['gradients']):.0f} ms"
        )
    if not _SYNTHETIC.value:
        print(f"waits for input: {run('input')['input_wait_share']:.2%} of the time")
    ours = min(best[way]["step"] for way in ways if way != "plain port")
    print(f"ratio to the plain port: {best['plain port']['step'] / ours:.2f}")


if __name__ == "__main__":
    cli.run(main)
