r"""How fast a training step is, beside a plain port of the original's graph.

    python -m benchmarks.train_step --variant M4
    python -m benchmarks.train_step --small
    KERAS_BACKEND=jax python benchmarks/train_step.py --synthetic

Trains untrained weights, each way in a process of its own, in turn, several rounds: our
network, as it is and compiled by XLA, and a plain Keras port of the original's TF1
graph, which decimates and crops by strided slices, interleaves the upsampled frames by
a gather, and convolves these. Prints of each way's fastest round the excerpts a second,
their share of the machine's float32 matrix-product rate (a step counted as three times
the forward pass's multiply-adds), and the milliseconds of a step's forward pass,
backward pass and update. Then it trains through the whole pipeline on stems of noise
and prints the share of time that steps wait for their input. Last the ratio of our
fastest way to the plain port.

--synthetic leaves the pipeline out, and needs nothing but Keras, its backend, absl-py
and tqdm; on a GPU add --precision mixed_bfloat16 or mixed_float16 for another run.
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
from functools import partial

import numpy as np
from absl import flags

if not __package__:  # run by its path
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks.common import matrix_product_rate, write_noise
from waveunet_tf.commands import app
from waveunet_tf.configs.networks import VARIANTS, WaveUNetConfig
from waveunet_tf.configs.training import VARIANT_TRAINING, TrainingConfig
from waveunet_tf.networks import shapes

_ROOT = pathlib.Path(__file__).parents[1]
_WAYS = ("ours", "ours compiled", "plain port")
_PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
_VARIANT = flags.DEFINE_enum(
    "variant",
    "M4",
    [name for name, config in VARIANTS.items() if not config.has_spectrogram],
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
_PRECISION = flags.DEFINE_list(
    "precision",
    None,
    f"Numbers that layers compute with, of {', '.join(_PRECISIONS)}, comma separated. "
    "By default float32, on a GPU all.",
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


def measure(way: str) -> dict:
    """Runs steps on noise in this process.

    Returns:
        The seconds of a forward pass, of that with the backward pass, and of a step;
        the matrix product's rate, and whether there is a GPU.
    """
    import keras

    from waveunet_tf.checkpoints.adam import build_adam
    from waveunet_tf.networks import fused, layers
    from waveunet_tf.networks.build import build_network

    keras.utils.set_random_seed(0)
    (precision,) = _PRECISION.value
    keras.config.set_dtype_policy(precision)
    config = network_config()
    if way == "plain port":
        layers.Decimate.call = lambda _, inputs: inputs[:, ::2]
        layers.LinearInterpolation.call = _gather_interleave
        layers.LearnedInterpolation.call = _gather_interleave
        layers.window = lambda inputs, start, frames: inputs[:, start : start + frames]
        fused.training_pass = lambda _, network: partial(network, training=True)
    network = build_network(config)
    adam = build_adam(VARIANT_TRAINING[_VARIANT.value])
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
    gpu = any(
        "gpu" in name or "cuda" in name for name in keras.distribution.list_devices()
    )
    return {**seconds, "flops": matrix_product_rate(), "gpu": gpu}


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

    from waveunet_tf.configs.training import ComputeConfig
    from waveunet_tf.training.devices import Devices
    from waveunet_tf.training.objective import build_objective
    from waveunet_tf.training.optimizer import Adam
    from waveunet_tf.training.step import training_step

    config = network_config()
    options = ComputeConfig(jit_compile=compiled)
    objective = build_objective(config, network, TrainingConfig())
    devices = Devices(tf.distribute.get_strategy())
    adam = Adam.from_config(adam.get_config())
    adam.build(network.trainable_variables)
    step = training_step(devices, network, adam, objective, options)

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

    from waveunet_tf.training import losses

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

    from waveunet_tf.training import loop

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
        loop.train(
            network_config(),
            training,
            data_dirs=[root / "data"],
            workdir=root / "work",
        )
        events = EventAccumulator(str(root / "work" / "tensorboard"))
        events.Reload()
        last = events.Tensors("training/input_wait_share")[-1]
        return {"input_wait_share": float(make_ndarray(last.tensor_proto))}


def run_way(way: str, precision: str) -> dict:
    """Measures one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.train_step", *sys.argv[1:]]
    result = subprocess.run(
        [*command, f"--way={way}", f"--precision={precision}"],
        cwd=_ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def main(_):
    if unknown := set(_PRECISION.value or ()) - set(_PRECISIONS):
        known = ", ".join(_PRECISIONS)
        raise app.UsageError(f"--precision must be of {known}. Received: {unknown}")
    if _WAY.value:
        came = measure_input() if _WAY.value == "input" else measure(_WAY.value)
        print(json.dumps(came))
        return
    ways = _WAYS
    if os.environ.get("KERAS_BACKEND") == "jax":  # which always compiles
        ways = ("ours compiled", "plain port")
    precisions = _PRECISION.value
    if not precisions:
        on_gpu = run_way(ways[0], "float32")["gpu"]
        precisions = _PRECISIONS if on_gpu else ("float32",)
    best = {}
    for _ in range(_ROUNDS.value):
        for precision in precisions:
            for way in ways:
                came = run_way(way, precision)
                known = best.setdefault((precision, way), came)
                best[precision, way] = min(came, known, key=lambda one: one["step"])
    rate = max(came["flops"] for came in best.values())
    print(f"batches of {batch_size()}; float32 matrix product {rate / 1e9:.0f} GFLOP/s")
    for (precision, way), seconds in best.items():
        print(f"{precision:<15}{way:<14}{format_parts(seconds, rate)}")
    if not _SYNTHETIC.value:
        share = run_way("input", "float32")["input_wait_share"]
        print(f"share of the time that steps wait for their input: {share:.2%}")
    ours = min(best["float32", way]["step"] for way in ways[:-1])
    print(f"ratio to the plain port: {best['float32', ways[-1]]['step'] / ours:.2f}")


def format_parts(seconds: dict, rate: float) -> str:
    """What `measure` gave, as part of a line; `rate` in operations a second."""
    from waveunet_tf.networks.description import describe_network

    rows = describe_network(network_config()).rows
    step_operations = 3 * 2 * sum(row.multiply_adds for row in rows) * batch_size()
    step, backward = seconds["step"], seconds["gradients"] - seconds["forward"]
    return (
        f"{batch_size() / step:8.2f} excerpts/s, {1 / step:.3f} steps/s, "
        f"{step_operations / step / rate:.0%} of the product's rate; forward "
        f"{1000 * seconds['forward']:.0f} ms, backward {1000 * backward:.0f} ms, "
        f"update {1000 * (step - seconds['gradients']):.0f} ms"
    )


if __name__ == "__main__":
    app.run(main)
