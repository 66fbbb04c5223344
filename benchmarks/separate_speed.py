r"""Measures how much faster the exact stream is than the original's windows.

    python -m benchmarks.separate_speed --variant M4

Separates the same noise with the same untrained weights, each way in a process of its
own, in turn, several rounds. The original's way is windows of the training's size one
after the other. The other way is the stream; both run in TensorFlow and in LiteRT.
Prints seconds of work for a second of 44.1 kHz audio, which is not resampled, and the
share of the machine's float32 matrix-product rate that the stream's multiply-adds need.
Prints last the ratio of the original's time to the fastest.
"""

import json
import subprocess
import sys
import time

import numpy as np
from absl import flags, logging

from benchmarks.common import matrix_product_rate
from waveunet_tf.commands import app
from waveunet_tf.configs.networks import VARIANTS
from waveunet_tf.networks import shapes

_WAYS = ("windows tensorflow", "windows litert", "stream tensorflow", "stream litert")
_VARIANT = flags.DEFINE_enum(
    "variant",
    "M4",
    [name for name, config in VARIANTS.items() if config.can_stream],
    "The network, at full size.",
)
_SECONDS = flags.DEFINE_integer(
    "seconds", 60, "Length of the song, in seconds of 44.1 kHz audio.", lower_bound=5
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "Rounds; the best round of each way counts.", lower_bound=1
)
_WAY = flags.DEFINE_enum("way", None, _WAYS, "Measure only this way, in this process.")

_RATE_HZ = 44100


def measure_way(way: str) -> dict[str, float]:
    """Separates in this process; returns real-time factor and matrix-product rate."""
    import keras

    from waveunet_tf.networks.build import build_network
    from waveunet_tf.separation import runners

    keras.utils.set_random_seed(0)
    config = VARIANTS[_VARIANT.value]
    network = build_network(config)
    frames = _SECONDS.value * _RATE_HZ
    song = np.random.default_rng(0).normal(0, 0.1, (frames, config.channels))
    song = song.astype(np.float32)
    kind, engine_name = way.split()
    if kind == "stream":
        engine = stream_engine(config, network, engine_name)

        def separate(song):
            runner = runners.ChunkRunner(config, engine)
            runner.push(song)
            runner.finish()

    else:
        window = shapes.window_frames(config)
        engine = window_engine(network, engine_name, (1, window[0], config.channels))

        def separate(song):
            context = window.context_frames
            padded = np.pad(song, ((context, window.input_frames), (0, 0)))
            for start in range(0, len(song), window.output_frames):
                mixture = padded[None, start : start + window.input_frames]
                for stem in engine(mixture=mixture).values():
                    np.asarray(stem)

    logging.set_verbosity(logging.WARNING)
    separate(song[:1])  # traces the graph
    started = time.perf_counter()
    separate(song)
    seconds = time.perf_counter() - started
    return {"factor": seconds * _RATE_HZ / frames, "flops": matrix_product_rate()}


def stream_engine(config, network, name: str):
    """Loads the engine that `separate --engine` would."""
    import tempfile

    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.separation import engines

    with tempfile.TemporaryDirectory() as directory:
        checkpoint.save_checkpoint(directory, network, config)
        return engines.load_engine(checkpoint.Checkpoint.open(directory), engine=name)


def window_engine(network, name: str, shape: tuple[int, int, int]):
    """Makes an engine of one training window."""
    import os

    import tensorflow as tf

    from waveunet_tf.separation import litert, litert_conversion

    def separate(mixture):
        return network(mixture)

    if name == "tensorflow":
        return tf.function(separate)
    content = litert_conversion.convert(
        {"separate": (separate, {"mixture": shape})}, network.variables
    )
    return litert.LiteRTEngine(content, chunk_frames=shape[1], threads=os.cpu_count())


def main(_):
    """Measures every way in turn, and prints the ratio."""
    if _WAY.value:
        print(json.dumps(measure_way(_WAY.value)))
        return
    from waveunet_tf.networks.description import describe_network

    config = VARIANTS[_VARIANT.value]
    least = describe_network(config).streaming_multiply_adds_per_second
    least = 2 * least / config.sample_rate_hz * _RATE_HZ
    factors = {way: [] for way in _WAYS}
    rates = []
    command = [sys.executable, "-m", "benchmarks.separate_speed"]
    command += [f"--variant={_VARIANT.value}", f"--seconds={_SECONDS.value}"]
    for _ in range(_ROUNDS.value):
        for way, measured_factors in factors.items():
            child = subprocess.run(
                [*command, f"--way={way}"],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            measured = json.loads(child.stdout)
            measured_factors.append(measured["factor"])
            rates.append(measured["flops"])
    print(f"matrix product: {max(rates) / 1e9:.0f} GFLOP/s in float32")
    print(f"{'':<20}{'seconds a second':>18}{'worst':>10}{'share of the rate':>20}")
    for way, own in factors.items():
        share = least / min(own) / max(rates)
        print(f"{way:<20}{min(own):>18.3f}{max(own):>10.3f}{share:>20.0%}")
    fastest = min(_WAYS[2:], key=lambda way: min(factors[way]))
    ratio = min(factors[_WAYS[0]]) / min(factors[fastest])
    print(f"the original's windows over the {fastest}: {ratio:.2f}")


if __name__ == "__main__":
    app.run(main)
