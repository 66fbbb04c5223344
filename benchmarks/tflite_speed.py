r"""Measures how much faster the exact stream is than windows in TFLite files.

    python -m benchmarks.tflite_speed --variant M4

Exports one network with untrained weights, on which speed does not depend, as a stream
and as the paper's window, in several kinds of numbers. LiteRT runs each file on noise
in a process of its own, in turn, several rounds. Prints the least seconds of work for a
second of 44.1 kHz audio, which is not resampled, and last two ratios.
"""

import dataclasses
import pathlib
import tempfile

import numpy as np
from absl import flags, logging

from waveunet_tf.commands import app
from waveunet_tf.configs.networks import VARIANTS

_VARIANT = flags.DEFINE_enum(
    "variant",
    "M4",
    [name for name, config in VARIANTS.items() if config.can_stream],
    "The network, at full size.",
)
_KINDS = flags.DEFINE_list(
    "kinds",
    ["float32", "float16", "dynamic", "int8", "mixed"],
    "Kinds of numbers, float32 and dynamic among them. int16x8 takes minutes.",
)
_CHUNK_FRAMES = flags.DEFINE_integer("chunk_frames", 32768, "Frames of a chunk.")
_THREADS = flags.DEFINE_integer("threads", 1, "Threads of the CPU.", lower_bound=1)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 3, "Rounds; the best round of each file counts.", lower_bound=1
)

_RATE_HZ = 44100


def export_all(folder: pathlib.Path) -> dict[tuple[str, str], pathlib.Path]:
    """Writes the files; returns (mode, kind) → file."""
    import keras

    from waveunet_tf.checkpoints import checkpoint
    from waveunet_tf.export import quantize, tflite
    from waveunet_tf.networks.build import build_network

    keras.utils.set_random_seed(0)
    config = dataclasses.replace(VARIANTS[_VARIANT.value], sample_rate_hz=_RATE_HZ)
    checkpoint.save_checkpoint(folder, build_network(config), config)
    noise = np.random.default_rng(0).normal(0, 0.1, (_RATE_HZ, config.channels))
    paths = {}
    for mode in tflite.MODES:
        plan = tflite.plan(folder, mode, _CHUNK_FRAMES.value)
        excerpts = [noise.astype(np.float32)]
        for kind, content in quantize.convert_plan(plan, _KINDS.value, excerpts):
            paths[mode, kind] = folder / f"{mode}-{kind}.tflite"
            paths[mode, kind].write_bytes(content)
    return paths


def main(_):
    """Measures every file in turn, and prints the ratios."""
    from waveunet_tf.export import parity
    from waveunet_tf.export.kinds import KINDS

    if not {"float32", "dynamic"} <= set(_KINDS.value) <= set(KINDS):
        raise app.UsageError(
            f"--kinds must be of {', '.join(KINDS)}, with float32 and "
            f"dynamic. Received: {', '.join(_KINDS.value)}"
        )
    logging.set_verbosity(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        paths = export_all(pathlib.Path(folder))
        factors = {key: [] for key in paths}
        for _ in range(_ROUNDS.value):
            for key, path in paths.items():
                measured = parity.cost_in_a_process(path, _THREADS.value)
                factors[key].append(measured["factor"])
    best = {key: min(measured) for key, measured in factors.items()}
    print(f"{'':<10}{'window':>10}{'worst':>8}{'stream':>10}{'worst':>8}{'ratio':>8}")
    for kind in _KINDS.value:
        window, stream = ("window", kind), ("streaming", kind)
        print(
            f"{kind:<10}{best[window]:>10.3f}{max(factors[window]):>8.3f}"
            f"{best[stream]:>10.3f}{max(factors[stream]):>8.3f}"
            f"{best[window] / best[stream]:>8.2f}"
        )
    float32 = best["streaming", "float32"]
    ratio = best["window", "float32"] / float32
    print(f"windows over the stream, both in float32: {ratio:.2f}")
    ratio = float32 / best["streaming", "dynamic"]
    print(f"the stream in float32 over dynamic int8 weights: {ratio:.2f}")


if __name__ == "__main__":
    app.run(main)
