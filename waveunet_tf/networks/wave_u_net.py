"""The Wave-U-Net as a Keras model (paper, figure 1 and section 3)."""

from __future__ import annotations

import keras

from waveunet_tf.configs.networks import (
    WaveUNetConfig,
)
from waveunet_tf.networks import layers, shapes


def build_wave_u_net(
    config: WaveUNetConfig,
    *,
    frames: int | None = None,
    batch_size: int | None = None,
) -> keras.Model:
    """Builds a Wave-U-Net; see build.build_network."""
    mixture = keras.Input(
        (frames, config.channels), batch_size=batch_size, name="mixture"
    )
    features = mixture
    skips = []
    for level in range(config.num_levels):
        features = _conv(config, level, config.down_kernel_size, f"down_{level}")(
            features
        )
        skips.append(features)
        features = layers.Decimate(name=f"decimate_{level}")(features)
    features = _conv(config, config.num_levels, config.down_kernel_size, "bottleneck")(
        features
    )
    for level in reversed(range(config.num_levels)):
        features = _upsampled(config, level, features)
        uneven = shapes.skip_surplus_frames(config, level) % 2 == 1
        features = layers.CropAndConcat(uneven=uneven, name=f"skip_{level}")(
            [skips[level], features]
        )
        features = _conv(config, level, config.up_kernel_size, f"up_{level}")(features)
    features = layers.CropAndConcat(name="skip_mixture")([mixture, features])
    return keras.Model(mixture, _outputs(config, mixture, features), name="wave_u_net")


def _conv(config: WaveUNetConfig, level: int, kernel_size: int, name: str):
    return keras.layers.Conv1D(
        config.base_filters * (level + 1),
        kernel_size,
        padding="valid" if config.context else "same",
        activation=keras.layers.LeakyReLU(negative_slope=0.2),
        name=name,
    )


def _upsampled(config: WaveUNetConfig, level: int, features):
    """Doubles the rate: 2n - 1 frames with context, else 2n."""
    name = f"upsample_{level}"
    if config.upsampling == "transposed":
        # Three taps at a stride of 2 span neighbours, as interpolation does, which is
        # the case of the taps 1/2, 1, 1/2. What reaches beyond the border is cut off.
        features = keras.layers.Conv1DTranspose(
            config.base_filters * (level + 1),
            3,
            strides=2,
            padding="valid",
            activation=keras.layers.LeakyReLU(negative_slope=0.2),
            name=name,
        )(features)
        beyond = (1, 1 if config.context else 0)
        return keras.layers.Cropping1D(beyond, name=f"{name}_crop")(features)
    kinds = {
        "linear": layers.LinearInterpolation,
        "learned": layers.LearnedInterpolation,
    }
    return kinds[config.upsampling](context=config.context, name=name)(features)


def _outputs(config: WaveUNetConfig, mixture, features) -> dict:
    """The output layers: one a source, but for the last of a difference output."""
    difference = config.output_type == "difference"
    estimates = {}
    # Audio needs float32's precision, whatever the layers before compute with.
    audio = {"dtype": "float32"}
    for source in config.sources[:-1] if difference else config.sources:
        estimate = keras.layers.Conv1D(
            config.channels,
            config.output_kernel_size,
            padding="valid" if config.context else "same",
            activation=config.output_activation,
            name=f"output_{source}",
            **audio,
        )(features)
        if config.output_activation == "linear":
            estimate = layers.AudioClip(name=f"clip_{source}", **audio)(estimate)
        estimates[source] = estimate
    if difference:
        last = config.sources[-1]
        estimates[last] = layers.DifferenceOutput(name=f"output_{last}", **audio)(
            [mixture, *estimates.values()]
        )
    return estimates
