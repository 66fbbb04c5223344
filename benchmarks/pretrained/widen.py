r"""Gives a trained Wave-U-Net more filters, without a change of what it computes.

    python -m benchmarks.pretrained.widen --checkpoint work/small/best \
        --base_filters 24 --output work/wide

As in Net2Net (Chen et al., 2016, arXiv 1511.05641, section 2.1), a training of the
wider network begins where that of the narrower one came to. New filters are drawn at
random, as wide as those that are there, and what follows begins by not hearing them:
weights of 0, of which training makes others.
"""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from absl import flags

from waveunet_tf import cli
from waveunet_tf.configs import WaveUNetConfig
from waveunet_tf.errors import InputError

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The checkpoint, or a model's name.", required=True
)
_BASE_FILTERS = flags.DEFINE_integer(
    "base_filters", None, "First filters of the wider network.", required=True
)
_OUTPUT = flags.DEFINE_string(
    "output", None, "The checkpoint to write, a new folder.", required=True
)


def widen(network, wide, seed: int = 1) -> None:
    """Sets the weights of a wider network, so that it computes the same.

    Args:
        network: the narrower network.
        wide: one of the same config, but for more base_filters.
        seed: of the new filters.
    """
    generator = np.random.default_rng(seed)
    for layer in network.layers:
        if layer.weights:
            wide_layer = wide.get_layer(layer.name)
            wide_layer.set_weights(_widened(layer, wide_layer, generator))


def _widened(layer, wide_layer, generator) -> list:
    kernel, *bias = layer.get_weights()
    wide_kernel, *wide_bias = map(np.zeros_like, wide_layer.get_weights())
    if not bias:  # an interpolation's weights, one a channel
        wide_kernel[:] = kernel.mean()
        wide_kernel[: len(kernel)] = kernel
        return [wide_kernel]
    _, came, filters = kernel.shape
    inputs = np.arange(came)
    if layer.name.startswith("up_"):
        # It hears the skipped channels, as many as it has filters, then the upsampled.
        inputs[filters:] += wide_kernel.shape[2] - filters
    drawn = generator.normal(size=wide_kernel.shape).astype(np.float32)
    wide_kernel[:] = drawn * kernel.std() * np.sqrt(came / wide_kernel.shape[1])
    wide_kernel[:, :, :filters] = 0
    wide_kernel[:, inputs, :filters] = kernel
    wide_bias[0][:filters] = bias[0]
    return [wide_kernel, *wide_bias]


def main(_):
    from waveunet_tf import checkpoint, model

    output = pathlib.Path(_OUTPUT.value)
    if output.exists():
        raise InputError(f"{output}: must be new, but is there")
    config = checkpoint.read_config(_CHECKPOINT.value)
    if not isinstance(config, WaveUNetConfig) or config.upsampling == "transposed":
        raise InputError(f"{_CHECKPOINT.value}: must be a Wave-U-Net that interpolates")
    if _BASE_FILTERS.value < config.base_filters:
        raise InputError(
            f"`base_filters` must be at least the checkpoint's {config.base_filters}. "
            f"Received: {_BASE_FILTERS.value}"
        )
    wider = dataclasses.replace(config, base_filters=_BASE_FILTERS.value)
    network, wide = (
        checkpoint.load_network(_CHECKPOINT.value),
        model.build_network(wider),
    )
    widen(network, wide)
    checkpoint.save_checkpoint(output, wide, wider)
    print(f"{output}: {network.count_params()} weights are {wide.count_params()} now")


if __name__ == "__main__":
    cli.run(main)
