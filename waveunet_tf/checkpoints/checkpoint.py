"""Checkpoints: a folder of `config.json` and the weights in Keras' own format."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
from typing import TYPE_CHECKING, Any

from waveunet_tf.checkpoints import adam, arrays, registry
from waveunet_tf.configs.networks import NetworkConfig, network_config_from_json
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError, naming
from waveunet_tf.system import files

if TYPE_CHECKING:  # a checkpoint's config is read without Keras
    import keras

FORMAT_VERSION = 1
REFINEMENTS = ("phase_iterations", "phase_start")
"""The fields of a config that may change and leave the weights as they are."""
CONFIG = "config.json"
WEIGHTS = "network.weights.h5"
LICENCE = "LICENSE"
"""The licence of the weights, where they have one of their own."""
FLOAT32, DYNAMIC = "float32", "dynamic"
"""The kinds of the steps that a model may carry."""


def step_name(chunk_frames: int, kind: str = FLOAT32) -> str:
    """Returns the name of a model's step, converted for a chunk.

    Args:
        chunk_frames: The chunk.
        kind: FLOAT32, or DYNAMIC: most weights in int8, and not the same stems.
    """
    return f"step-{chunk_frames}{'' if kind == FLOAT32 else f'-{kind}'}.tflite"


def is_step(path: pathlib.Path) -> bool:
    """Tells whether a file is a step of any chunk and kind, by its name."""
    return bool(re.fullmatch(rf"step-\d+(-{DYNAMIC})?\.tflite", path.name))


class Checkpoint:
    """A checkpoint or a model by name: found, verified and read once.

    Attributes:
        directory: The folder.
        config: The config of the network.
        training: How the network was trained; None if the checkpoint does not say.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        config: NetworkConfig,
        training: TrainingConfig | None,
        hashes: dict[str, str],
    ):
        """Takes what `open` found.

        Args:
            directory: The folder.
            config: The config of the network.
            training: How the network was trained, if that is known.
            hashes: File name → the SHA-256 of the file, of the files hashed so far.
        """
        self.directory = directory
        self.config = config
        self.training = training
        self._hashes = hashes

    @classmethod
    def open(cls, directory: str | os.PathLike, **overrides) -> Checkpoint:
        """Finds a checkpoint, verifies it if it is a model, and reads its config.

        Keras is not imported. The weights are read by `load_network`.

        Args:
            directory: The folder, or the name of a model (registry.find).
            **overrides: New values for fields of the config, of REFINEMENTS.

        Raises:
            InputError: There is no checkpoint, its format version or config is
                unknown, an override is no field of its config, or a file differs
                from the model's card.
            OSError: A file cannot be read.
        """
        directory = registry.find(directory)
        hashes = registry.verify_model(directory, (CONFIG, WEIGHTS))
        path = directory / CONFIG
        values = _read_values(path)
        with naming(path):
            config = network_config_from_json(values["network"])
            training = values.get("training")
            if training is not None:
                training = TrainingConfig.from_dict(training)
        known = set(REFINEMENTS) & set(config.to_dict())
        if unknown := [name for name in overrides if name not in known]:
            raise InputError(
                f"{directory}: its network has no `{unknown[0]}` to change"
            )
        config = dataclasses.replace(config, **overrides)
        return cls(directory, config, training, hashes)

    def sha256(self, name: str) -> str:
        """Returns the SHA-256 of a file of the checkpoint, computed at most once.

        Args:
            name: CONFIG or WEIGHTS.

        Raises:
            OSError: The file cannot be read.
        """
        if name not in self._hashes:
            self._hashes[name] = files.file_sha256(self.directory / name)
        return self._hashes[name]

    def load_network(
        self, frames: int | None = None, batch_size: int | None = None
    ) -> keras.Model:
        """Builds the network and loads its weights.

        Args:
            frames: The frames of an input, if fixed; see build.build_network.
            batch_size: The windows of a call, if fixed.

        Returns:
            The Keras network, at inference unless called with `training=True`: a
            mixture `(batch, frames, channels)` → source → `(batch, frames, channels)`.

        Raises:
            InputError: The weights are missing, broken, or of other shapes than the
                config's.
        """
        from waveunet_tf.networks.build import build_network

        path = self.directory / WEIGHTS
        if not path.is_file():
            raise InputError(
                f"{path}: must be the checkpoint's weights, but is missing"
            )
        # A network of a broken config could be larger than the memory.
        least_bytes = 2 * self.config.least_weights  # in float16
        if path.stat().st_size < least_bytes:
            raise InputError(
                f"{path}: must be whole, but is broken: the config's weights take at "
                f"least {least_bytes} bytes. Received: {path.stat().st_size} bytes"
            )
        network = build_network(self.config, frames=frames, batch_size=batch_size)
        arrays.load_exactly(path, network.weights, lambda: network.load_weights(path))
        return network

    def licence(self) -> bytes | None:
        """Reads the weights' licence, which goes with all copies; None if none is told.

        Raises:
            OSError: The licence cannot be read.
        """
        path = self.directory / LICENCE
        return path.read_bytes() if path.is_file() else None

    def carries_step(self, chunk_frames: int) -> bool:
        """Returns whether the model brings its step along, converted for a chunk."""
        return (self.directory / step_name(chunk_frames)).is_file()

    def carried_step(self, chunk_frames: int, kind: str = FLOAT32) -> bytes | None:
        """Reads the step that a model brings along, converted for LiteRT.

        Args:
            chunk_frames: The chunk that the step must be for, in frames.
            kind: FLOAT32 or DYNAMIC.

        Returns:
            The content of a TFLite file; None if there is none for this chunk.

        Raises:
            InputError: The step is not as it was packed.
            OSError: The step cannot be read.
        """
        name = step_name(chunk_frames, kind)
        if not (self.directory / name).is_file():
            return None
        if not registry.verify_model(self.directory, [name]):
            raise InputError(
                f"{self.directory / name}: must be of a model, but has no "
                f"{registry.CARD} beside it"
            )
        return (self.directory / name).read_bytes()

    def load_adam(self, network: keras.Model, optimizer: keras.optimizers.Adam) -> bool:
        """Sets Adam's moments and step, but not its learning rate.

        Args:
            network: The checkpoint's network.
            optimizer: Adam, built or not.

        Returns:
            Whether the checkpoint holds moments; Adam is unchanged if it holds none.

        Raises:
            InputError: The moments are broken or of another network.
        """
        return adam.load_moments(self.directory / adam.MOMENTS, network, optimizer)


def load_network(
    directory: str | os.PathLike,
    *,
    frames: int | None = None,
    batch_size: int | None = None,
    **overrides,
) -> keras.Model:
    """Loads the network of a checkpoint or of a model by name.

    Args:
        directory: The folder, or the name of a model.
        frames: The frames of an input, if fixed.
        batch_size: The windows of a call, if fixed.
        **overrides: New values for fields of the config; see Checkpoint.open.

    Returns:
        The Keras network; see Checkpoint.load_network.

    Raises:
        InputError: Checkpoint.open or Checkpoint.load_network refuses the checkpoint.
    """
    return Checkpoint.open(directory, **overrides).load_network(frames, batch_size)


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
        directory: The folder; a checkpoint in it is replaced.
        network: The network.
        config: The config of the network.
        training: How the network was trained, if it was.
        optimizer: Adam with its moments and step, if the training may continue.

    Raises:
        OSError: The folder cannot be written.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # The weights, Adam's two moments, and HDF5's own.
    files.require_space(directory, 3 * 4 * network.count_params() + 2**18)
    with files.atomic_file(directory / WEIGHTS) as part:
        network.save_weights(part)
    moments = directory / adam.MOMENTS
    if optimizer:
        adam.save_moments(moments, optimizer)
    else:
        moments.unlink(missing_ok=True)  # an earlier checkpoint's
    values = {
        "format_version": FORMAT_VERSION,
        "network": config.to_json(),
        "training": training.to_dict() if training else None,
    }
    with files.atomic_file(directory / CONFIG) as part:
        part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def _read_values(path: pathlib.Path) -> dict[str, Any]:
    """Reads a checkpoint's config.json."""
    try:
        values = files.read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{path.parent}: must be a checkpoint, a folder with {CONFIG}, but has none"
        ) from None
    if not isinstance(values, dict) or not isinstance(values.get("network"), dict):
        raise InputError(f"{path}: must be an object with a `network`, but is not")
    if values.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path}: `format_version` must be {FORMAT_VERSION}. "
            f"Received: {values.get('format_version')!r}"
        )
    return values
