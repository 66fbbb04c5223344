"""Defines flags for the fields of configs, and makes configs of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Container
from typing import Any

from absl import flags

from waveunet_tf.checkpoints.checkpoint import REFINEMENTS
from waveunet_tf.commands.app import UsageError
from waveunet_tf.configs.networks import (
    ARCHITECTURES,
    VARIANTS,
    NetworkConfig,
    SpectrogramUNetConfig,
)
from waveunet_tf.configs.training import VARIANT_TRAINING, TrainingConfig
from waveunet_tf.errors import InputError


def define_config_flags(variants: dict[str, Any], *config_classes: type) -> None:
    """Defines a flag for every field of the configs, with its name and help.

    Args:
        variants: Name of a variant → its config, whose values the help states.
        config_classes: Subclasses of fields.Config. A field that two of them have is
            one flag.
    """
    fields = {}
    for config_class in config_classes:
        for field in dataclasses.fields(config_class):
            fields.setdefault(field.name, field)
    for field in fields.values():
        _define_flag(field, _defaults(field, variants))


def _defaults(field: dataclasses.Field, variants: dict[str, Any]) -> str:
    """Writes a field's values in the variants, such as `16; M7, U7, U7a: 4`."""
    names: dict[str, list[str]] = {}
    for variant, config in variants.items():
        values = config.to_dict()
        if field.name not in values:  # another architecture's
            continue
        value = values[field.name]
        shown = ",".join(value) if isinstance(value, list) else str(value)
        names.setdefault(shown, []).append(variant)
    common = max(names, key=lambda value: len(names[value]))
    rest = [f"{', '.join(names[value])}: {value}" for value in names if value != common]
    return "; ".join([common, *rest])


def _define_flag(field: dataclasses.Field, default: str) -> None:
    text = f"{field.metadata['help']} Default: {default}."
    kind = field.metadata["kind"]
    if kind is bool:
        flags.DEFINE_boolean(field.name, None, text)
    elif kind is tuple:
        flags.DEFINE_list(field.name, None, text)
    elif kind is str:
        flags.DEFINE_enum(field.name, None, field.metadata["choices"], text)
    elif kind is float:
        flags.DEFINE_float(field.name, None, text)
    else:
        flags.DEFINE_integer(field.name, None, text)


def flag_overrides(*config_classes: type) -> dict[str, Any]:
    """Returns the fields of the configs whose flags were given, with their values."""
    names = {
        field.name
        for config_class in config_classes
        for field in dataclasses.fields(config_class)
    }
    given = {name: flags.FLAGS[name].value for name in sorted(names & set(flags.FLAGS))}
    return {name: value for name, value in given.items() if value is not None}


def override(base, overrides: dict[str, Any]):
    """Replaces fields of a config.

    Args:
        base: The config, of any class.
        overrides: Field → value.

    Raises:
        UsageError: The config has no such field, or the values are out of range or
            contradict each other.
    """
    known = {field.name for field in dataclasses.fields(base)}
    if unknown := sorted(set(overrides) - known):
        raise UsageError(
            f"`{unknown[0]}` is no field of this network, which has {sorted(known)}"
        )
    try:
        return dataclasses.replace(base, **overrides)
    except InputError as error:
        raise UsageError(str(error)) from error


def define_network_flags(default_variant: str | None = "M4") -> None:
    """Defines --variant and the flags that override one of its fields.

    Args:
        default_variant: The variant without the flag; None: the one that fits best.
    """
    flags.DEFINE_enum(
        "variant",
        default_variant,
        list(VARIANTS),
        "The paper's model to start from"
        + ("." if default_variant else "; by default the one that fits best."),
    )
    define_config_flags(VARIANTS, *ARCHITECTURES.values())


def define_training_flags(names: Container[str] | None = None) -> None:
    """Defines the flags that override a field of a variant's TrainingConfig.

    Args:
        names: The fields; by default all.
    """
    for field in dataclasses.fields(TrainingConfig):
        if names is None or field.name in names:
            _define_flag(field, _defaults(field, VARIANT_TRAINING))


def training_config_from_flags(variant: str) -> TrainingConfig:
    """Makes a variant's training config, with the overrides of the flags.

    Raises:
        UsageError: A flag is out of range, or two contradict each other.
    """
    return override(VARIANT_TRAINING[variant], flag_overrides(TrainingConfig))


def define_refinement_flags() -> None:
    """Defines the flags of the fields that may differ from a checkpoint's config."""
    for name in REFINEMENTS:
        field = next(
            field
            for field in dataclasses.fields(SpectrogramUNetConfig)
            if field.name == name
        )
        _define_flag(field, "the checkpoint's")


def refinement_from_flags() -> dict[str, Any]:
    """Returns the overrides for `waveunet_tf.load` whose flags were given."""
    given = {name: flags.FLAGS[name].value for name in REFINEMENTS}
    return {name: value for name, value in given.items() if value is not None}


def network_config_from_flags() -> NetworkConfig:
    """Makes the network's config of --variant and its overrides.

    Raises:
        UsageError: A flag is out of range, or two contradict each other.
    """
    overrides = flag_overrides(*ARCHITECTURES.values())
    return override(VARIANTS[flags.FLAGS.variant], overrides)
