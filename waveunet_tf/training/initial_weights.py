"""The weights that a training begins with: scaled, or from a checkpoint."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING

import keras
from absl import logging

from waveunet_tf.checkpoints import checkpoint
from waveunet_tf.configs.networks import NetworkConfig
from waveunet_tf.configs.training import TrainingConfig
from waveunet_tf.errors import InputError
from waveunet_tf.networks import layer_names

if TYPE_CHECKING:
    from waveunet_tf.data.prepared import PreparedTrack

# Excerpts of the data by which unit_variance scales the first weights.
_SCALED_EXCERPTS = 8
# Fields on which the weights do not depend.
_FREE = {"output_frames", *checkpoint.REFINEMENTS}
# Fields on which only the output layers, or their meaning, depend.
_OUTPUT = {
    "output_activation",
    "output_kernel_size",
    "output_type",
    "sample_rate_hz",
    "sources",
}


def set_first_weights(
    config: NetworkConfig,
    training: TrainingConfig,
    network: keras.Model,
    adam: keras.optimizers.Adam,
    tracks: list[PreparedTrack],
    *,
    init_from: str | os.PathLike | None = None,
    reinit_output: bool = False,
) -> None:
    """Sets the weights that a training begins with, where they are not random.

    Args:
        config: The network's config.
        training: Whether weights are scaled.
        network: The network, with random weights.
        adam: Its optimiser.
        tracks: The training tracks, whose excerpts scale the weights.
        init_from: The checkpoint to start from, if any.
        reinit_output: See load_initial_weights.

    Raises:
        InputError: The checkpoint holds another network, or the network has no weights
            that can be scaled.
    """
    if init_from is not None:
        load_initial_weights(
            init_from, config, network, adam, reinit_output=reinit_output
        )
    elif training.first_weights == "unit_variance":
        if config.has_spectrogram:
            raise InputError(
                "`first_weights` unit_variance needs a network of waveforms. Received: "
                f"{config.architecture}"
            )
        from waveunet_tf.data import excerpts  # with TensorFlow, which JAX does without

        drawn = dataclasses.replace(training, batch_size=_SCALED_EXCERPTS)
        batches = excerpts.random_excerpts(tracks, config, drawn)
        scale_to_unit_variance(network, *next(iter(batches)))


def load_initial_weights(
    directory: str | os.PathLike,
    config: NetworkConfig,
    network: keras.Model,
    adam: keras.optimizers.Adam,
    *,
    reinit_output: bool = False,
) -> None:
    """Sets the weights and Adam's moments to those of a checkpoint.

    Args:
        directory: The checkpoint.
        config: The network's config.
        network: The network.
        adam: Its optimiser.
        reinit_output: Whether the checkpoint may be for other sources or another
            sample rate. The output layers then keep their weights, and Adam its
            moments.

    Raises:
        InputError: The folder is no checkpoint, or holds another network.
    """
    start = checkpoint.Checkpoint.open(directory)
    theirs = start.config.to_dict()
    ours = config.to_dict()
    differ = {
        name
        for name in (set(ours) | set(theirs)) - _FREE
        if ours.get(name) != theirs.get(name)
    }
    if refused := sorted(differ - _OUTPUT if reinit_output else differ):
        name = refused[0]
        hint = "" if name not in _OUTPUT else " (`reinit_output` allows for that)"
        raise InputError(
            f"{directory}: must be of the same network, but has {name}="
            f"{theirs.get(name)} instead of {ours.get(name)}{hint}"
        )
    source = start.load_network()
    if reinit_output:
        _load_all_but_output(source, network)
        logging.info("starting from %s, with new output layers", directory)
        return
    network.set_weights(source.get_weights())
    with_moments = start.load_adam(network, adam)
    logging.info(
        "starting from %s, Adam at step %d%s",
        directory,
        int(keras.ops.convert_to_numpy(adam.iterations)),
        "" if with_moments else " (it holds no moments)",
    )


def scale_to_unit_variance(network: keras.Model, mixture, targets: dict) -> None:
    """Scales the kernels until each convolution's features have variance 1.

    This is "layer-sequential unit variance" (Mishkin and Matas, 2016, arXiv
    1511.06422), from the input on. Output layers are scaled to their sources' variance.
    With Glorot's weights leaky features become smaller from layer to layer: those of
    M4's bottleneck have a thousandth of the mixture's level, so that the deep levels
    begin to learn late.

    Args:
        network: A network of waveforms.
        mixture: Excerpts with context, `(batch, frames, channels)`.
        targets: Source → `(batch, frames, channels)`.
    """
    for layer in network.layers:
        if not isinstance(layer, (keras.layers.Conv1D, keras.layers.Conv1DTranspose)):
            continue
        level = 1.0
        if layer_names.is_output(layer.name):
            source = targets[layer_names.source_of_output(layer.name)]
            level = float(keras.ops.std(source))
        until_here = keras.Model(network.input, layer.output)
        for _ in range(10):  # a tanh is not linear
            features = keras.ops.cast(until_here(mixture), "float32")
            spread = float(keras.ops.std(features))
            # Never scale by silence: the kernel would be zero or infinite.
            if not level or not spread or abs(spread / level - 1) < 0.01:
                break
            layer.kernel.assign(layer.kernel * (level / spread))


def _load_all_but_output(source: keras.Model, network: keras.Model) -> None:
    theirs = {layer.name: layer for layer in source.layers}
    for layer in network.layers:
        # U7 has a whole U-Net for each source; a new source has no weights for it.
        is_output = layer_names.is_output(layer.name) or layer_names.is_mask(layer.name)
        if layer.weights and not is_output and layer.name in theirs:
            layer.set_weights(theirs[layer.name].get_weights())
