"""Packs a checkpoint as a small model to ship: weights in float16, and a card."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping

import h5py
import keras
import numpy as np

from waveunet_tf.checkpoints import checkpoint, registry
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

MAX_BYTES = 24_000_000
"""The most bytes of a model's weights: twelve millions of them."""


def pack(
    directory: str | os.PathLike,
    target: str | os.PathLike,
    *,
    description: str,
    median_sdr_db: dict[str, float] | None = None,
    convert: Callable[[keras.Model], Mapping[str, bytes]] | None = None,
) -> registry.ModelCard:
    """Writes a checkpoint as a model; its files appear together, or none does.

    A model is a checkpoint, too. Its config.json is a copy. Its weights are rounded to
    float16; loaded, they are float32 again, of the same values. Their licence is
    copied, if they have one, and Adam's moments are left out. Other files in `target`,
    such as a README.md, stay.

    Args:
        directory: The checkpoint.
        target: The folder of the model; a model in it is replaced.
        description: One line on what the model separates.
        median_sdr_db: What was scored → the median SDR in dB.
        convert: Converts the network, with the rounded weights: a name, of
            checkpoint.step_name, → the content of that TFLite file. With a step a model
            separates where there is no TensorFlow.

    Returns:
        The card that was written.

    Raises:
        InputError: The checkpoint is missing or broken, or changes meanwhile; float16
            cannot hold a weight, the model is larger than MAX_BYTES, or the target is a
            checkpoint without a card.
        OSError: The folder cannot be written.
    """
    source, target = checkpoint.Checkpoint.open(directory), pathlib.Path(target)
    directory, config = source.directory, source.config
    weights = directory / checkpoint.WEIGHTS
    before = source.sha256(checkpoint.WEIGHTS) if weights.is_file() else ""
    network = source.load_network()  # checks the weights against the config
    contents = {checkpoint.CONFIG: (directory / checkpoint.CONFIG).read_bytes()}
    if convert:
        contents.update(_steps(directory, network, convert))
    described = (checkpoint.WEIGHTS, *contents)  # the licence is not
    if (licence := source.licence()) is not None:
        contents[checkpoint.LICENCE] = licence
    # The card gets its name first: it shows if others are missing then.
    names = (registry.CARD, checkpoint.WEIGHTS, *contents)
    paths = [target / name for name in names]
    if (target / checkpoint.CONFIG).exists() and not paths[0].exists():
        raise InputError(f"{target}: must be a model or new, but is another checkpoint")
    with files.atomic_files(paths) as (card_part, weights_part, *parts):
        files.require_space(target, weights.stat().st_size)
        _write_half(weights, weights_part)
        # A training may have replaced them, and the steps are of those before.
        if files.file_sha256(weights) != before:
            raise InputError(
                f"{weights}: must stay the same while it is packed, but was replaced; "
                "pack it again"
            )
        for part, content in zip(parts, contents.values()):
            part.write_bytes(content)
        card = registry.ModelCard(
            description,
            list(config.sources),
            config.sample_rate_hz,
            config.channels,
            median_sdr_db or {},
            dict(zip(described, map(registry.describe_file, (weights_part, *parts)))),
        )
        half_bytes = card.files[checkpoint.WEIGHTS]["size_bytes"]
        if half_bytes > MAX_BYTES:
            raise InputError(
                f"{directory}: a model's weights must have at most "
                f"{MAX_BYTES / 1e6:.0f} MB. Received: {half_bytes / 1e6:.1f} MB"
            )
        registry.write_card(card_part, card)
    for earlier in set(filter(checkpoint.is_step, target.iterdir())) - set(paths):
        earlier.unlink()
    return card


def _steps(
    directory: pathlib.Path,
    network: keras.Model,
    convert: Callable[[keras.Model], Mapping[str, bytes]],
) -> dict[str, bytes]:
    """Rounds a network's weights as a model has them, and converts its steps."""
    for variable in network.weights:
        rounded = _half(directory, variable.path, keras.ops.convert_to_numpy(variable))
        variable.assign(rounded.astype(np.float32))
    return dict(convert(network))


def _write_half(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a file of weights, its groups and attributes, with arrays in float16.

    Raises:
        InputError: A weight is not finite in float16.
    """

    def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Group):
            copied = written.require_group(name)
        else:
            copied = written.create_dataset(name, data=_half(source, name, item[()]))
        copied.attrs.update(item.attrs)

    with h5py.File(source) as file, h5py.File(target, "w") as written:
        written.attrs.update(file.attrs)
        file.visititems(copy)


def _half(path: pathlib.Path, name: str, weights: np.ndarray) -> np.ndarray:
    """Rounds weights of any shape to float16; an error names file and array."""
    with np.errstate(over="ignore"):
        half = np.asarray(weights).astype(np.float16)
    finite = np.isfinite(half)
    if not finite.all():
        raise InputError(
            f"{path}: weights must be finite and at most {np.finfo(np.float16).max} in "
            f"magnitude, for float16. Received: {np.asarray(weights)[~finite][0]} in "
            f"{name}"
        )
    return half
