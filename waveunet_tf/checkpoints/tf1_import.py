"""A TF1 checkpoint of the original → one of ours."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from absl import logging

from waveunet_tf.checkpoints import checkpoint, tf1
from waveunet_tf.checkpoints.adam import build_adam
from waveunet_tf.configs.networks import (
    ARCHITECTURES,
    VARIANTS,
    NetworkConfig,
    SpectrogramUNetConfig,
    WaveUNetConfig,
)
from waveunet_tf.configs.training import VARIANT_TRAINING
from waveunet_tf.errors import InputError
from waveunet_tf.networks.build import build_network

# The original's input_filter_size, in all of its configurations.
_INPUT_KERNEL_SIZE = 15
# What decides between variants; a checkpoint may differ from its variant in its sizes.
_KINDS = ("architecture", "channels", "upsampling")
# Fields that shapes do not tell, further to the sample rate and the sources.
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
        prefix: see tf1.read_variables.
        directory: the checkpoint to write.
        variant: the paper's model that it is of; by default the one that its shapes
            suggest.
        overrides: fields of the config that are not the variant's.
        with_optimizer: whether Adam's moments and the step come along.

    Returns:
        The variant's name, and the config.

    Raises:
        InputError: the checkpoint cannot be read, is of another network, or contradicts
            the variant or the overrides.
    """
    variables = tf1.read_variables(prefix)
    try:
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
    except InputError as error:
        raise InputError(f"{prefix}: {error}") from error
    checkpoint.save_checkpoint(
        directory, network, config, training, optimizer=optimizer
    )
    return variant, config


def likely_variants(shapes: dict[str, Any]) -> list[str]:
    """The paper's models that a checkpoint's shapes suggest, alike as they see it.

    The first is the one to assume: M3 rather than M2, M5 rather than M5-HighSR, and U7
    rather than U7a, which is the same network.

    Args:
        shapes: what tf1.infer_config gave.
    """

    def likeness(name: str) -> tuple[int, int]:
        config = _described(VARIANTS[name])
        kinds = sum(config.get(key) == shapes.get(key) for key in (*_KINDS, "outputs"))
        sizes = sum(config.get(key) == value for key, value in shapes.items())
        return kinds, sizes

    best = max(map(likeness, VARIANTS))
    return [name for name in ["M3", *VARIANTS] if likeness(name) == best]


def _guess_variant(prefix: str | os.PathLike, shapes: dict[str, Any]) -> str:
    """The likeliest variant; warns if another network is as likely."""
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


def _described(config: NetworkConfig) -> dict[str, Any]:
    """A config in the words of tf1.infer_config."""
    return {**config.to_json(), "outputs": len(config.estimated_sources)}


def resolve_config(
    shapes: dict[str, Any], variant: str, overrides: dict[str, Any]
) -> NetworkConfig:
    """Joins what a checkpoint's shapes tell with what they cannot.

    Args:
        shapes: what tf1.infer_config gave.
        variant: the name of the variant that gives the rest.
        overrides: fields that are neither the shapes' nor the variant's.

    Raises:
        InputError: the shapes contradict the variant or an override; both are named.
    """
    base = VARIANTS[variant]
    described = _described(base)
    for key in _KINDS:
        if key not in overrides and described.get(key) != shapes.get(key):
            raise InputError(
                f"its shapes tell {key}={shapes.get(key)}, but variant {variant} has "
                f"{key}={described.get(key)}"
            )
    told = {key: value for key, value in shapes.items() if key in base.to_dict()}
    for key, value in overrides.items():
        if key in told and told[key] != value:
            raise InputError(
                f"its shapes tell {key}={told[key]}, but {key}={value} was given"
            )
    known = {field.name for field in dataclasses.fields(base)}
    if unknown := sorted(set(overrides) - known):
        raise InputError(f"`{unknown[0]}` is no field of {variant}'s network")
    values = {**base.to_dict(), **overrides, **told}
    assume_input = "input_kernel_size" in values.keys() - overrides.keys()
    if assume_input:
        values["input_kernel_size"] = 0
    config = ARCHITECTURES[shapes["architecture"]](**values)
    if assume_input:
        config = _with_originals_input(config)
    outputs = _described(config)["outputs"]
    if outputs != shapes["outputs"]:
        kind = "difference" if config.has_difference_output else "direct"
        raise InputError(
            f"it has {shapes['outputs']} output layers, but {kind} output of the "
            f"sources {', '.join(config.sources)} needs {outputs}"
        )
    return config


def _with_originals_input(config: WaveUNetConfig) -> WaveUNetConfig:
    """Returns the config with the input's length that the original's settings give.

    Where no network can have the original's 15 taps there, other settings were made,
    and the config stays as it is.
    """
    try:
        return dataclasses.replace(config, input_kernel_size=_INPUT_KERNEL_SIZE)
    except InputError:
        return config


def assumed_fields(config: NetworkConfig) -> dict[str, Any]:
    """The fields of an imported config that its shapes could not tell."""
    names = ("sample_rate_hz", "sources", *_ASSUMED[config.architecture])
    return {name: getattr(config, name) for name in names}
