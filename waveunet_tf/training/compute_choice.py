"""Chooses the precision of a training, and whether XLA compiles it, by its cards."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from absl import logging

from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import ComputeConfig
from waveunet_tf.system import cuda_libraries
from waveunet_tf.training.devices import Devices, require_agreement


def choose(
    compute: ComputeConfig, config: NetworkConfig, devices: Devices
) -> ComputeConfig:
    """Chooses what flags leave open, so that it suits the devices, and logs it.

    Args:
        compute: How to compute, as flags say.
        config: The network.
        devices: What computes. All workers must have cards of one kind.

    Returns:
        The same without the precision `auto`, and with `jit_compile` True or False.

    Raises:
        InputError: Two workers chose differently.
    """
    chosen, reason = compute, ""
    if compute.precision == "auto":
        chosen = dataclasses.replace(compute, precision="float32")
        if devices.kind == "GPU":
            chosen, reason = choose_on_gpu(
                compute,
                config,
                _least_capability(),
                cuda_libraries.ptxas_path() is not None,
            )
    chosen = dataclasses.replace(chosen, jit_compile=bool(chosen.jit_compile))
    if reason:
        compiled = "compiled by XLA" if chosen.jit_compile else "not compiled by XLA"
        logging.info(
            "computing in %s, %s (--precision auto: %s)",
            chosen.precision,
            compiled,
            reason,
        )
    require_agreement(
        devices,
        "cards of one kind, or the flags --precision and --jit_compile",
        chosen.precision,
        chosen.jit_compile,
    )
    return chosen


def choose_on_gpu(
    compute: ComputeConfig,
    config: NetworkConfig,
    capability: tuple[int, int] | None,
    has_ptxas: bool,
) -> tuple[ComputeConfig, str]:
    """Chooses for cards of a compute capability.

    Args:
        compute: How to compute, with the precision `auto`.
        config: The network. Those of spectrograms stay in float32 and as they are: the
            logarithm of a magnitude needs its digits.
        capability: The least of the cards; None if it is not known.
        has_ptxas: Whether XLA can compile.

    Returns:
        The choice, and its reason for the log.
    """
    if config.has_spectrogram:
        reason = "a network of spectrograms"
        return dataclasses.replace(compute, precision="float32"), reason
    precision, reason = "float32", "a card of unknown compute capability"
    if capability:
        reason = f"compute capability {'.'.join(map(str, capability))}"
        if capability >= (8, 0):
            precision = "mixed_bfloat16"
        elif capability >= (7, 0):
            precision = "mixed_float16"
    compiled = compute.jit_compile
    if compiled is None:
        compiled = has_ptxas
        if not has_ptxas:
            reason += f"; no ptxas for XLA: {cuda_libraries.ptxas_mend()}"
    chosen = dataclasses.replace(compute, precision=precision, jit_compile=compiled)
    return chosen, reason


def _least_capability() -> tuple[int, int] | None:
    """Returns the least compute capability of the cards; None if one has none."""
    found = [
        tf.config.experimental.get_device_details(card).get("compute_capability")
        for card in tf.config.get_visible_devices("GPU")
    ]
    return min(map(tuple, found)) if found and all(found) else None
