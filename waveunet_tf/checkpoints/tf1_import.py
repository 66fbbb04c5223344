"""Imports a TF1 checkpoint of the original implementation."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from absl import logging

from waveunet_tf.checkpoints import tf1
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.checkpoints.checkpoint import save_checkpoint
from waveunet_tf.configs.networks import (
    ARCHITECTURES,
    VARIANTS,
    NetworkConfig,
    SpectrogramUNetConfig,
    WaveUNetConfig,
)
from waveunet_tf.configs.training import VARIANT_TRAINING
from waveunet_tf.errors import InputError, naming
from waveunet_tf.networks.build import build_network

# The original's input_filter_size, in all of its configurations.
_INPUT_KERNEL_SIZE = 15
# The fields that decide between variants; sizes may differ from the variant's.
_KINDS = ("architecture", "channels", "upsampling")
# Architecture → the fields that shapes do not show, besides sample rate and sources.
_ASSUMED = {
    WaveUNetConfig.architecture: (
        "context",
        "output_type",
        "output_activation",
        "input_kernel_size",
    ),
    SpectrogramUNetConfig.architecture: ("fft_frames", "hop_frames"),
}


def import_tf1(
    prefix: str | os.PathLike,
    directory: str | os.PathLike,
    *,
    variant: str | None = None,
    overrides: dict[str, Any] | None = None,
    with_optimizer: bool = False,
) -> tuple[str, NetworkConfig]:
    """Writes a TF1 checkpoint of the original as one of ours.

    Args:
        prefix: The TF1 checkpoint; see tf1.read_variables.
        directory: The checkpoint to write.
        variant: The name of the paper's model; by default the one that the shapes
            suggest.
        overrides: Fields of the config that differ from the variant's.
        with_optimizer: Whether to import Adam's moments and step, too.

    Returns:
        The name of the variant, and the config.

    Raises:
        InputError: The checkpoint cannot be read, is of another network, or contradicts
            the variant or the overrides.
        OSError: The folder cannot be written.
    """
    variables = tf1.read_variables(prefix)
    with naming(prefix):
        shapes = tf1.infer_config(variables)
        if variant is None:
            variant = _guess_variant(prefix, shapes)
        config = resolve_config(shapes, variant, overrides or {})
        network = build_network(config)
        tf1.set_weights(config, network, variables)
        training = optimizer = None
        if with_optimizer:
            training = VARIANT_TRAINING[variant]
            optimizer = build_adam(training)
            tf1.set_adam(config, network, optimizer, variables)
    save_checkpoint(directory, network, config, training, optimizer=optimizer)
    return variant, config


def likely_variants(shapes: dict[str, Any]) -> list[str]:
    """Lists the paper's models that fit a checkpoint's shapes best.

    The first is the one to assume: M3 rather than M2, M5 rather than M5-HighSR, and U7
    rather than U7a, which is the same network.

    Args:
        shapes: What tf1.infer_config returned.
    """

    def likeness(name: str) -> tuple[int, int]:
        config = _inferable(VARIANTS[name])
        kinds = sum(config.get(key) == shapes.get(key) for key in (*_KINDS, "outputs"))
        sizes = sum(config.get(key) == value for key, value in shapes.items())
        return kinds, sizes

    best = max(map(likeness, VARIANTS))
    return [name for name in ["M3", *VARIANTS] if likeness(name) == best]


def _guess_variant(prefix: str | os.PathLike, shapes: dict[str, Any]) -> str:
    """Returns the likeliest variant; warns if another network is as likely."""
    variant, *others = likely_variants(shapes)
    others = [name for name in others if VARIANTS[name] != VARIANTS[variant]]
    if others:
        logging.warning(
            "%s: taken for %s, but its shapes are those of %s too: name the variant",
            prefix,
            variant,
            " and ".join(others),
        )
    return variant


def _inferable(config: NetworkConfig) -> dict[str, Any]:
    """Returns the fields of a config as tf1.infer_config names them, and all others."""
    return {**config.to_json(), "outputs": len(config.estimated_sources)}


def resolve_config(
    shapes: dict[str, Any], variant: str, overrides: dict[str, Any]
) -> NetworkConfig:
    """Joins what a checkpoint's shapes show with what they cannot show.

    Args:
        shapes: What tf1.infer_config returned.
        variant: The name of the variant, which gives all other fields.
        overrides: Fields that neither the shapes show nor the variant has.

    Raises:
        InputError: The shapes contradict the variant or an override, or an override is
            not a field of the network.
    """
    base = VARIANTS[variant]
    known = base.to_dict()
    shown = {key: value for key, value in shapes.items() if key in known}
    _check_variant(shapes, variant, overrides)
    for key, value in overrides.items():
        if key not in known:
            raise InputError(f"`{key}` is not a field of {variant}'s network")
        if shown.get(key, value) != value:
            raise InputError(
                f"its shapes show {key}={shown[key]}, but {key}={value} was given"
            )
    values = {**known, **overrides, **shown}
    is_assumed = "input_kernel_size" in known and "input_kernel_size" not in overrides
    if is_assumed:
        values["input_kernel_size"] = 0
    config = ARCHITECTURES[shapes["architecture"]](**values)
    if is_assumed:
        config = _with_originals_input(config)
    outputs = len(config.estimated_sources)
    if outputs != shapes["outputs"]:
        kind = "difference" if config.has_difference_output else "direct"
        raise InputError(
            f"it has {shapes['outputs']} output layers, but {kind} output of the "
            f"sources {', '.join(config.sources)} needs {outputs}"
        )
    return config


def _check_variant(
    shapes: dict[str, Any], variant: str, overrides: dict[str, Any]
) -> None:
    """Refuses a variant of another kind than the shapes show."""
    fields = _inferable(VARIANTS[variant])
    for key in _KINDS:
        if key not in overrides and fields.get(key) != shapes.get(key):
            raise InputError(
                f"its shapes show {key}={shapes.get(key)}, but variant {variant} has "
                f"{key}={fields.get(key)}"
            )


def _with_originals_input(config: WaveUNetConfig) -> WaveUNetConfig:
    """Returns the config with the input length of the original's settings.

    If no network can have the original's 15 taps there, the checkpoint was made with
    other settings, and the config is returned as it is.
    """
    try:
        return dataclasses.replace(config, input_kernel_size=_INPUT_KERNEL_SIZE)
    except InputError:
        return config


def assumed_fields(config: NetworkConfig) -> dict[str, Any]:
    """Returns the fields of an imported config that its shapes do not show.

    Args:
        config: What import_tf1 returned.
    """
    names = ("sample_rate_hz", "sources", *_ASSUMED[config.architecture])
    return {name: getattr(config, name) for name in names}
