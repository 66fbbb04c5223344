"""Builds the Wave-U-Net as a Keras model (paper, figure 1 and section 3)."""

from __future__ import annotations

import keras

from waveunet_tf.configs.networks import WaveUNetConfig
from waveunet_tf.networks import layer_names, layers, shapes

_INTERPOLATIONS = {
    "linear": layers.LinearInterpolation,
    "learned": layers.LearnedInterpolation,
}


def build_wave_u_net(
    config: WaveUNetConfig,
    *,
    frames: int | None = None,
    batch_size: int | None = None,
) -> keras.Model:
    """Builds a Wave-U-Net.

    Args:
        config: The network.
        frames: The input's frames, if they are fixed.
        batch_size: The windows of a batch, if they are fixed.

    Returns:
        A model from a mixture `(batch, frames, channels)` to a dict of sources, each
        `(batch, output_frames, channels)`.
    """
    mixture = keras.Input(
        (frames, config.channels), batch_size=batch_size, name=layer_names.MIXTURE
    )
    features = mixture
    skips = []
    for level in range(config.num_levels):
        name = layer_names.down(level)
        features = _conv(config, level, config.down_kernel_size, name)(features)
        skips.append(features)
        features = layers.Decimate(name=layer_names.decimate(level))(features)
    features = _conv(
        config, config.num_levels, config.down_kernel_size, layer_names.BOTTLENECK
    )(features)
    for level in reversed(range(config.num_levels)):
        features = _upsampled(config, level, features)
        features = layers.CropAndConcat(
            uneven=shapes.skip_surplus_frames(config, level) % 2 == 1,
            name=layer_names.skip(level),
        )([skips[level], features])
        name = layer_names.up(level)
        features = _conv(config, level, config.up_kernel_size, name)(features)
    features = layers.CropAndConcat(name=layer_names.SKIP_MIXTURE)([mixture, features])
    return keras.Model(mixture, _outputs(config, mixture, features), name="wave_u_net")


def _conv(config: WaveUNetConfig, level: int, taps: int, name: str):
    """Makes a convolution with a level's number of filters."""
    return keras.layers.Conv1D(
        config.base_filters * (level + 1),
        taps,
        padding="valid" if config.context else "same",
        activation=keras.layers.LeakyReLU(negative_slope=0.2),
        name=name,
    )


def _upsampled(config: WaveUNetConfig, level: int, features):
    """Doubles the rate: `(batch, frames, features)` → 2n - 1 frames, or 2n."""
    name = layer_names.upsample(level)
    if config.upsampling != "transposed":
        interpolation = _INTERPOLATIONS[config.upsampling]
        return interpolation(context=config.context, name=name)(features)
    # Three taps at a stride of 2 span neighbours, as interpolation does, which is the
    # case of the taps 1/2, 1, 1/2. Frames beyond the border are cut off.
    features = keras.layers.Conv1DTranspose(
        config.base_filters * (level + 1),
        3,
        strides=2,
        padding="valid",
        activation=keras.layers.LeakyReLU(negative_slope=0.2),
        name=name,
    )(features)
    beyond = (1, 1 if config.context else 0)
    name = layer_names.upsample_crop(level)
    return keras.layers.Cropping1D(beyond, name=name)(features)


def _outputs(config: WaveUNetConfig, mixture, features) -> dict:
    """Adds the output layers; the last source of a difference has no convolution.

    Args:
        config: The network.
        mixture: The input, `(batch, frames, channels)`.
        features: The last features, `(batch, fewer_frames, features)`.

    Returns:
        Source → `(batch, output_frames, channels)`.
    """
    estimates = {}
    # Audio needs the precision of float32, whatever the layers before compute with.
    audio = {"dtype": "float32"}
    for source in config.estimated_sources:
        estimate = keras.layers.Conv1D(
            config.channels,
            config.output_kernel_size,
            padding="valid" if config.context else "same",
            activation=config.output_activation,
            name=layer_names.output(source),
            **audio,
        )(features)
        if config.output_activation == "linear":
            clip = layers.AudioClip(name=layer_names.clip(source), **audio)
            estimate = clip(estimate)
        estimates[source] = estimate
    if config.has_difference_output:
        last = config.sources[-1]
        difference = layers.DifferenceOutput(name=layer_names.output(last), **audio)
        estimates[last] = difference([mixture, *estimates.values()])
    return estimates
