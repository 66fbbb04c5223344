"""Checkpoints: a folder of `config.json` and the weights in Keras' own format."""

from __future__ import annotations

import json
import os
import pathlib

import h5py
import keras

from waveunet_tf import files, model
from waveunet_tf.configs import NetworkConfig, TrainingConfig
from waveunet_tf.errors import InputError

FORMAT_VERSION = 1
_CONFIG = "config.json"
_WEIGHTS = "network.weights.h5"


def save_checkpoint(
    directory: str | os.PathLike,
    network: keras.Model,
    config: NetworkConfig,
    training: TrainingConfig | None = None,
) -> None:
    """Writes a checkpoint; each file appears whole, `config.json` last.

    Args:
        directory: the folder; a checkpoint in it is replaced.
        network: the network.
        config: its config.
        training: how it was trained, if it was.

    Raises:
        OSError: the folder cannot be written.
    """
    directory = pathlib.Path(directory)
    with files.atomic_file(directory / _WEIGHTS) as part:
        network.save_weights(part)
    values = {
        "format_version": FORMAT_VERSION,
        "network": config.to_dict(),
        "training": training.to_dict() if training else None,
    }
    with files.atomic_file(directory / _CONFIG) as part:
        part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_config(directory: str | os.PathLike) -> NetworkConfig:
    """Reads the network's config of a checkpoint.

    Raises:
        InputError: no checkpoint, or one of an unknown format version or config.
    """
    path = pathlib.Path(directory) / _CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        version = values["format_version"]
        network = values["network"]
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{directory}: must be a checkpoint, a folder with {_CONFIG}, but has none"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: must be JSON with format_version and network, but is not: {error}"
        ) from error
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: `format_version` must be {FORMAT_VERSION}. Received: {version!r}"
        )
    try:
        return NetworkConfig.from_dict(network)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def load_network(
    directory: str | os.PathLike,
    *,
    frames: int | None = None,
    batch_size: int | None = None,
) -> keras.Model:
    """Loads a checkpoint's network.

    Args:
        directory: the checkpoint.
        frames: input frames, if fixed; see model.build_network.
        batch_size: windows a call, if fixed.

    Returns:
        The Keras network, at inference unless called with `training=True`: a mixture
        `(batch, frames, channels)` → a dict of sources.

    Raises:
        InputError: no checkpoint, or weights that are broken or of other shapes than
            the config's.
    """
    config = read_config(directory)
    network = model.build_network(config, frames=frames, batch_size=batch_size)
    path = pathlib.Path(directory) / _WEIGHTS
    if not path.is_file():
        raise InputError(f"{path}: must be the checkpoint's weights, but is missing")
    try:
        saved = _saved_shapes(path)
        expected = sorted(tuple(weight.shape) for weight in network.weights)
        if saved != expected:
            raise InputError(
                f"{path}: must have the config's weights, {len(expected)} arrays, the "
                f"first of shape {expected[0]}. Received: {len(saved)} arrays, "
                + _first_difference(saved, expected)
            )
        network.load_weights(path)
    except (OSError, KeyError) as error:
        raise InputError(
            f"{path}: must be Keras weights, but is broken: {error}"
        ) from error
    return network


def _saved_shapes(path: pathlib.Path) -> list[tuple[int, ...]]:
    """Shapes of all arrays: `load_weights` itself passes over those it does not use."""
    shapes = []
    with h5py.File(path) as file:
        file.visititems(
            lambda _, item: (
                shapes.append(item.shape) if isinstance(item, h5py.Dataset) else None
            )
        )
    return sorted(shapes)


def _first_difference(saved: list, expected: list) -> str:
    extra = [shape for shape in saved if shape not in expected]
    return f"one of shape {extra[0]}" if extra else "of the same shapes"
