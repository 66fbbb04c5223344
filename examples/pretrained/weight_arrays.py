"""A network's weights as arrays of small files: to begin with, and to carry away."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from waveunet_tf.checkpoints.arrays import read_npz
from waveunet_tf.errors import InputError
from waveunet_tf.system import files


def read_weights(
    paths: Sequence[str | os.PathLike], shapes: Sequence[tuple[int, ...]]
) -> list[np.ndarray]:
    """Reads weights w0, w1 … of .npz files, or a checkpoint's.

    A weight may also be in 8 bits: w7q, int8, times w7s, one factor for each of its
    last axis.

    Args:
        paths: The files that hold the weights together, or one checkpoint.
        shapes: The shapes of the network's trainable weights, in their order.

    Returns:
        float32 arrays of these shapes.

    Raises:
        InputError: A file is broken, or the weights are of another network.
        OSError: A file cannot be read.
    """
    if len(paths) == 1 and pathlib.Path(paths[0]).is_dir():
        from waveunet_tf.checkpoints.checkpoint import Checkpoint

        network = Checkpoint.open(paths[0]).load_network()
        weights = [np.asarray(weight) for weight in network.trainable_weights]
    else:
        weights = _weights_of_arrays(_arrays(paths), paths, len(shapes))
    found = [weight.shape for weight in weights]
    if found != [tuple(shape) for shape in shapes]:
        raise InputError(
            f"{paths[0]}: must have the weights of this network, {len(shapes)} of "
            f"{sum(map(np.prod, shapes))} numbers. Received: {len(found)} of "
            f"{sum(map(np.prod, found))}, or of other shapes"
        )
    return weights


def _arrays(paths: Sequence[str | os.PathLike]) -> dict[str, np.ndarray]:
    arrays = {}
    for path in paths:
        arrays.update(read_npz(path))
    return arrays


def _weights_of_arrays(
    arrays: dict[str, np.ndarray], paths: Sequence, count: int
) -> list[np.ndarray]:
    weights = []
    for name in (f"w{number}" for number in range(count)):
        if name in arrays:
            weights.append(arrays[name].astype(np.float32))
        elif f"{name}q" in arrays and f"{name}s" in arrays:
            scales = arrays[f"{name}s"].astype(np.float32)
            weights.append(arrays[f"{name}q"].astype(np.float32) * scales)
        else:
            raise InputError(
                f"{paths[0]}: must hold the {count} weights of this network, alone or "
                f"with other files, but has no {name}"
            )
    return weights


def write_weights(
    folder: str | os.PathLike,
    weights: Sequence[np.ndarray],
    *,
    max_bytes: int = 15 << 20,
) -> list[pathlib.Path]:
    """Writes weights in float16, as `weights-0.npz` and as many more as are needed.

    Args:
        folder: The folder to write into.
        weights: The network's trainable weights, in their order.
        max_bytes: The size of a file's arrays at most, but for one larger array.

    Returns:
        The files.

    Raises:
        OSError: A file cannot be written.
    """
    parts: list[dict[str, np.ndarray]] = []
    left = 0
    for number, weight in enumerate(weights):
        weight = np.asarray(weight).astype(np.float16)
        if not parts or weight.nbytes > left:
            parts.append({})
            left = max_bytes
        parts[-1][f"w{number}"] = weight
        left -= weight.nbytes
    paths = []
    for number, part_arrays in enumerate(parts):
        paths.append(pathlib.Path(folder) / f"weights-{number}.npz")
        with files.atomic_file(paths[-1]) as part, part.open("wb") as out:
            np.savez(out, **part_arrays)
    return paths


def write_eight_bits(path: str | os.PathLike, weights: Sequence[np.ndarray]) -> None:
    """Writes weights in 8 bits, for a later training to begin with.

    Each filter of a kernel has a factor of its own; biases are in float16.

    Args:
        path: The .npz file.
        weights: The network's trainable weights, in their order.

    Raises:
        OSError: The file cannot be written.
    """
    arrays = {}
    for number, weight in enumerate(map(np.asarray, weights)):
        if weight.ndim == 1:
            arrays[f"w{number}"] = weight.astype(np.float16)
            continue
        factors = np.abs(weight).max(axis=tuple(range(weight.ndim - 1))) / 127
        factors = np.where(factors > 0, factors, 1).astype(np.float32)
        arrays[f"w{number}q"] = np.round(weight / factors).astype(np.int8)
        arrays[f"w{number}s"] = factors
    with files.atomic_file(path) as part, part.open("wb") as out:
        np.savez_compressed(out, **arrays)
