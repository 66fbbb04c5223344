r"""Measures how fast a training step is, relative to a plain port of the original.

    python -m benchmarks.train_step --variant M4
    python -m benchmarks.train_step --small
    KERAS_BACKEND=jax python benchmarks/train_step.py --synthetic

Three ways train untrained weights on noise: our network, our network compiled by XLA,
and a plain Keras port of the original's TF1 graph. The plain port decimates and crops
by strided slices, interleaves the upsampled frames by a gather, and convolves these.
Each way runs in a process of its own, in turn, for several rounds; the fastest counts.

Prints for each way the excerpts a second, their share of the machine's float32
matrix-product rate (a step counts as three times the forward pass's multiply-adds), and
the milliseconds of a step's forward pass, backward pass and update. Then it trains
through the whole pipeline on stems of noise, and prints the share of time that steps
wait for their input. The last line is the ratio of our fastest way to the plain port.

--synthetic leaves the pipeline out, and needs only Keras, its backend, absl-py and
tqdm. On a GPU, --precision mixed_bfloat16 or mixed_float16 measures another precision.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
from absl import flags

if not __package__:  # run by its path
    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from benchmarks.common import matrix_product_rate, write_noise
from benchmarks.training_parts import JaxParts, TensorFlowParts, use_plain_port
from waveunet_tf.commands import app
from waveunet_tf.configs.networks import VARIANTS, WaveUNetConfig
from waveunet_tf.configs.training import VARIANT_TRAINING
from waveunet_tf.networks import shapes

_ROOT = pathlib.Path(__file__).parents[1]
_PLAIN_PORT = "plain port"
_WAYS = ("ours", "ours compiled", _PLAIN_PORT)
_PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
_VARIANT = flags.DEFINE_enum(
    "variant",
    "M4",
    [name for name, config in VARIANTS.items() if not config.has_spectrogram],
    "The network.",
)
_SMALL = flags.DEFINE_boolean(
    "small", False, "Use 9 levels and 14 first filters instead of the full size."
)
_BATCH_SIZE = flags.DEFINE_integer(
    "batch_size", None, "Excerpts a step; by default the variant's.", lower_bound=1
)
_STEPS = flags.DEFINE_integer("steps", 3, "Steps measured a round.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 2, "Rounds of all ways; the fastest counts.", lower_bound=1
)
_PRECISION = flags.DEFINE_list(
    "precision",
    None,
    f"Precisions of the layers, of {', '.join(_PRECISIONS)}, comma separated. "
    "By default float32, on a GPU all.",
)
_SYNTHETIC = flags.DEFINE_boolean(
    "synthetic", False, "Measure the network alone, on any of Keras' backends."
)
_WAY = flags.DEFINE_enum(
    "way", None, [*_WAYS, "input"], "Measure this way only, in this process."
)


def network_config() -> WaveUNetConfig:
    """Returns the network that the flags describe."""
    config = VARIANTS[_VARIANT.value]
    if _SMALL.value:
        config = dataclasses.replace(config, num_levels=9, base_filters=14)
    return config


def batch_size() -> int:
    """Returns the excerpts of a step."""
    return _BATCH_SIZE.value or VARIANT_TRAINING[_VARIANT.value].batch_size


def noise_batch(config: WaveUNetConfig) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws a mixture and its sources, `(batch, frames, channels)` each."""
    draw = np.random.default_rng(0).normal
    window = shapes.window_frames(config)
    mixture = draw(0, 0.1, (batch_size(), window.input_frames, config.channels))
    shape = (batch_size(), window.output_frames, config.channels)
    targets = {name: draw(0, 0.1, shape) for name in config.sources}
    return mixture.astype(np.float32), {
        name: target.astype(np.float32) for name, target in targets.items()
    }


def measure(way: str) -> dict:
    """Runs steps on noise in this process.

    Returns:
        The seconds of a forward pass, of a forward and backward pass (gradients), and
        of a step; the matrix product's operations a second (flops), and whether there
        is a GPU.
    """
    import keras

    keras.utils.set_random_seed(0)
    (precision,) = _PRECISION.value
    keras.config.set_dtype_policy(precision)
    if way == _PLAIN_PORT:
        use_plain_port()
    parts = JaxParts if keras.backend.backend() == "jax" else TensorFlowParts
    config = network_config()
    training = VARIANT_TRAINING[_VARIANT.value]
    built = parts(config, training, compiled=way == "ours compiled")
    batch = noise_batch(config)
    seconds = {
        name: seconds_of(getattr(built, name), batch)
        for name in ("forward", "gradients", "step")
    }
    gpu = any(
        "gpu" in name or "cuda" in name for name in keras.distribution.list_devices()
    )
    return {**seconds, "flops": matrix_product_rate(), "gpu": gpu}


def seconds_of(part: Callable, batch: tuple) -> float:
    """Returns the mean seconds of a call, the first two of which do not count."""
    part(*batch)  # traces or compiles
    part(*batch)
    began = time.perf_counter()
    for _ in range(_STEPS.value):
        part(*batch)
    return (time.perf_counter() - began) / _STEPS.value


def measure_input() -> dict[str, float]:
    """Trains two small epochs on noise through the whole pipeline.

    Returns:
        The share of time that the second epoch's steps wait for their input.
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorflow import make_ndarray

    from waveunet_tf.training.loop import train

    training = dataclasses.replace(
        VARIANT_TRAINING[_VARIANT.value],
        batch_size=batch_size(),
        steps_per_epoch=2 * _STEPS.value,
        # The first epoch traces the graph and fills buffers.
        max_epochs=2,
        fine_tuning=False,
    )
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        write_noise(root / "data", network_config())
        train(
            network_config(),
            training,
            data_dirs=[root / "data"],
            workdir=root / "work",
            illustrate=False,
        )
        events = EventAccumulator(str(root / "work" / "tensorboard"))
        events.Reload()
        last = events.Tensors("training/input_wait_share")[-1]
        return {"input_wait_share": float(make_ndarray(last.tensor_proto))}


def measure_in_child(way: str, precision: str) -> dict:
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


def measure_rounds(ways: Sequence[str], precisions: Sequence[str]) -> dict:
    """Measures all ways in turn, for several rounds.

    Returns:
        (precision, way) → what measure_in_child returned for the fastest step.
    """
    results = collections.defaultdict(list)
    for _ in range(_ROUNDS.value):
        for precision in precisions:
            for way in ways:
                results[precision, way].append(measure_in_child(way, precision))
    return {
        key: min(rounds, key=lambda result: result["step"])
        for key, rounds in results.items()
    }


def format_parts(seconds: dict, rate: float) -> str:
    """Formats what `measure` returned as part of a line.

    Args:
        seconds: The result.
        rate: The matrix product's operations a second.
    """
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


def main(_):
    """Measures all ways, or in a child process the one of --way."""
    if unknown := set(_PRECISION.value or ()) - set(_PRECISIONS):
        known = ", ".join(_PRECISIONS)
        raise app.UsageError(f"--precision must be of {known}. Received: {unknown}")
    if _WAY.value:
        result = measure_input() if _WAY.value == "input" else measure(_WAY.value)
        print(json.dumps(result))
        return
    ways = _WAYS
    if os.environ.get("KERAS_BACKEND") == "jax":  # which always compiles
        ways = ("ours compiled", _PLAIN_PORT)
    precisions = _PRECISION.value
    if not precisions:
        on_gpu = measure_in_child(ways[0], "float32")["gpu"]
        precisions = _PRECISIONS if on_gpu else ("float32",)
    best = measure_rounds(ways, precisions)
    rate = max(result["flops"] for result in best.values())
    print(f"batches of {batch_size()}; float32 matrix product {rate / 1e9:.0f} GFLOP/s")
    for (precision, way), result in best.items():
        print(f"{precision:<15}{way:<14}{format_parts(result, rate)}")
    if not _SYNTHETIC.value:
        share = measure_in_child("input", "float32")["input_wait_share"]
        print(f"share of the time that steps wait for their input: {share:.2%}")
    ours, *_ = sorted(best[precisions[0], way]["step"] for way in ways[:-1])
    plain = best[precisions[0], _PLAIN_PORT]["step"]
    print(f"ratio to the plain port: {plain / ours:.2f}")


if __name__ == "__main__":
    app.run(main)
