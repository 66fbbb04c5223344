"""Checkpoints: a folder of `config.json` and the weights in Keras' own format."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import TYPE_CHECKING

from waveunet_tf.checkpoints import registry
from waveunet_tf.checkpoints.adam import OPTIMIZER, load_checked
from waveunet_tf.configs.networks import NetworkConfig, network_config_from_json
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError, naming
from waveunet_tf.system import files

if TYPE_CHECKING:  # a checkpoint's config is read without Keras
    import keras

FORMAT_VERSION = 1
# The fields of a config that may change and leave the weights as they are.
REFINEMENTS = ("phase_iterations", "phase_start")
CONFIG = "config.json"
WEIGHTS = "network.weights.h5"


def save_checkpoint(
    directory: str | os.PathLike,
    network: keras.Model,
    config: NetworkConfig,
    training: TrainingConfig | None = None,
    *,
    optimizer: keras.optimizers.Adam | None = None,
) -> None:
    """Writes a checkpoint; each file appears whole, `config.json` last.

    Args:
        directory: the folder; a checkpoint in it is replaced.
        network: the network.
        config: its config.
        training: how it was trained, if it was.
        optimizer: Adam with its moments and step, if training is to go on.

    Raises:
        OSError: the folder cannot be written.
    """
    import h5py

    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # The weights, Adam's two moments, and HDF5's own.
    files.require_space(directory, 3 * 4 * network.count_params() + 2**18)
    with files.atomic_file(directory / WEIGHTS) as part:
        network.save_weights(part)
    if optimizer:
        with (
            files.atomic_file(directory / OPTIMIZER) as part,
            h5py.File(part, "w") as f,
        ):
            optimizer.save_own_variables(f)
    else:
        (directory / OPTIMIZER).unlink(missing_ok=True)  # an earlier checkpoint's
    values = {
        "format_version": FORMAT_VERSION,
        "network": config.to_json(),
        "training": training.to_dict() if training else None,
    }
    with files.atomic_file(directory / CONFIG) as part:
        part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_config(directory: str | os.PathLike, **overrides) -> NetworkConfig:
    """Reads the network's config of a checkpoint.

    Args:
        directory: the checkpoint, or a model's name (registry.find).
        **overrides: fields of the config to change, of REFINEMENTS.

    Raises:
        InputError: no checkpoint, or one of an unknown format version or config; or
            the config has no such field.
    """
    directory = registry.find(directory)
    path = directory / CONFIG
    values = _read_values(directory)
    with naming(path):
        config = network_config_from_json(values["network"])
    known = set(REFINEMENTS) & set(config.to_dict())
    if unknown := [name for name in overrides if name not in known]:
        raise InputError(f"{directory}: its network has no `{unknown[0]}` to change")
    return dataclasses.replace(config, **overrides)


def _read_values(directory: pathlib.Path) -> dict:
    """What is in a checkpoint's config.json."""
    path = directory / CONFIG
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{directory}: must be a checkpoint, a folder with {CONFIG}, but has none"
        ) from None
    except ValueError as error:
        raise InputError(f"{path}: must be JSON, but is not: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("network"), dict):
        raise InputError(f"{path}: must be an object with a `network`, but is not")
    if values.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: `format_version` must be {FORMAT_VERSION}. "
            f"Received: {values.get('format_version')!r}"
        )
    return {"training": None, **values}


def read_training(directory: str | os.PathLike) -> TrainingConfig | None:
    """Reads how a checkpoint was trained; None where it was not.

    Raises:
        InputError: no checkpoint, or one of an unknown format version or config.
    """
    values = _read_values(registry.find(directory))["training"]
    return None if values is None else TrainingConfig.from_dict(values)


def load_network(
    directory: str | os.PathLike,
    *,
    frames: int | None = None,
    batch_size: int | None = None,
    **overrides,
) -> keras.Model:
    """Loads a checkpoint's network.

    Args:
        directory: the checkpoint, or a model's name (registry.find).
        frames: input frames, if fixed; see build.build_network.
        batch_size: windows a call, if fixed.
        **overrides: see read_config.

    Returns:
        The Keras network, at inference unless called with `training=True`: a mixture
        `(batch, frames, channels)` → a dict of sources.

    Raises:
        InputError: no checkpoint, or weights that are broken or of other shapes than
            the config's; or a model that was changed (registry.check).
    """
    from waveunet_tf.networks.build import build_network

    directory = registry.find(directory)
    registry.check(directory, (CONFIG, WEIGHTS))
    config = read_config(directory, **overrides)
    network = build_network(config, frames=frames, batch_size=batch_size)
    path = directory / WEIGHTS
    if not path.is_file():
        raise InputError(f"{path}: must be the checkpoint's weights, but is missing")
    load_checked(path, network.weights, lambda: network.load_weights(path))
    return network
