"""A checkpoint → a small model to ship: weights in float16, hashes, a description."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import h5py
import numpy as np

from waveunet_tf.checkpoints import checkpoint, registry
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

MAX_BYTES = 21_000_000


def pack(
    directory: str | os.PathLike,
    target: str | os.PathLike,
    *,
    description: str,
    median_sdr_db: dict[str, float] | None = None,
) -> registry.ModelCard:
    """Writes a model of a checkpoint; its files appear together, or none does.

    A model is a checkpoint, too: config.json, with how it was trained, as it was, and
    weights, but no optimizer's. Loaded, these are float32 again and equal those of
    float16 exactly. Files of other names in `target`, such as a README.md, stay.

    Args:
        directory: the checkpoint.
        target: the model's folder; a model in it is replaced.
        description: one line.
        median_sdr_db: what was scored → the median SDR in dB.

    Returns:
        What was written as the model's model.json.

    Raises:
        InputError: no checkpoint, or a broken one; weights that float16 cannot hold;
            more than MAX_BYTES; or the target is a checkpoint that is no model.
        OSError: the folder cannot be written.
    """
    source, target = checkpoint.Checkpoint.open(directory), pathlib.Path(target)
    source.load_network()  # checks the weights against the config
    directory, config = source.directory, source.config
    names = (checkpoint.WEIGHTS, checkpoint.CONFIG)
    manifest_path, config_path = target / registry.CARD, target / names[1]
    if config_path.exists() and not manifest_path.exists():
        raise InputError(f"{target}: must be a model or new, but is another checkpoint")
    # The manifest gets its name first: where others are missing then, it tells.
    paths = [manifest_path, *(target / name for name in names)]
    with files.atomic_files(paths) as (manifest_part, *parts):
        files.require_space(target, (directory / names[0]).stat().st_size)
        _write_half(directory / names[0], parts[0])
        parts[1].write_bytes((directory / names[1]).read_bytes())
        manifest = registry.ModelCard(
            description,
            list(config.sources),
            config.sample_rate_hz,
            config.channels,
            median_sdr_db or {},
            dict(zip(names, map(registry.describe_file, parts))),
        )
        if manifest.size_bytes > MAX_BYTES:
            raise InputError(
                f"{directory}: its model must have at most {MAX_BYTES / 1e6:.0f} MB. "
                f"Received: {manifest.size_bytes / 1e6:.1f} MB"
            )
        values = {
            "format_version": registry.FORMAT_VERSION,
            **dataclasses.asdict(manifest),
        }
        text = json.dumps(values, indent=1, ensure_ascii=False)
        manifest_part.write_text(text + "\n", encoding="utf-8")
    return manifest


def _write_half(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a file of weights, groups and attributes too, with arrays in float16.

    Raises:
        InputError: a weight is not finite in float16.
    """
    with h5py.File(source) as theirs, h5py.File(target, "w") as ours:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                copied = ours.require_group(name)
            else:
                copied = ours.create_dataset(name, data=_half(source, name, item[()]))
            copied.attrs.update(item.attrs)

        ours.attrs.update(theirs.attrs)
        theirs.visititems(copy)


def _half(path: pathlib.Path, name: str, weights: np.ndarray) -> np.ndarray:
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
