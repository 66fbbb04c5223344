"""Weights of Spleeter's names and shapes, without its wheel."""

import numpy as np


def random_weights(path):
    """Writes random weights; returns the file."""
    generator = np.random.default_rng(0)
    arrays, depth = {}, [16, 32, 64, 128, 256, 512]

    def add(name, *shape):
        arrays[name] = generator.normal(0, 0.05, shape).astype("float16")

    def normalize(index, channels):
        at = f"batch_normalization_{index}" if index else "batch_normalization"
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            add(f"{at}/{name}", channels)
        arrays[f"{at}/moving_variance"] = np.ones(channels, "float16")

    for network in range(2):
        for place, (before, after) in enumerate(zip([2, *depth], depth)):
            number = 7 * network + place
            at = f"conv2d_{number}" if number else "conv2d"
            add(f"{at}/kernel", 5, 5, before, after)
            add(f"{at}/bias", after)
            normalize(12 * network + place, after)
        add(f"conv2d_{7 * network + 6}/kernel", 4, 4, 1, 2)
        add(f"conv2d_{7 * network + 6}/bias", 2)
        ups = [256, 128, 64, 32, 16, 1]
        for place, (before, after) in enumerate(zip([512, 512, 256, 128, 64, 32], ups)):
            number = 6 * network + place
            at = f"conv2d_transpose_{number}" if number else "conv2d_transpose"
            add(f"{at}/kernel", 5, 5, after, before)
            add(f"{at}/bias", after)
            normalize(12 * network + 6 + place, after)
    np.savez(path, **arrays)
    return path
