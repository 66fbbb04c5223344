"""The U-Net on magnitude spectrograms, the paper's baseline U7 (paper, section 5.1).

It is the original's UnetSpectrogramSeparator, after Jansson et al., "Singing voice
separation with deep U-Net convolutional networks" (ISMIR 2017). Spectrograms are
`(batch, steps, bins)`, as in spectrogram_layers.
"""

from __future__ import annotations

import keras

from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.networks import layer_names, spectrogram_layers


def build_spectrogram_u_net(
    config: SpectrogramUNetConfig,
    *,
    frames: int | None = None,
    batch_size: int | None = None,
) -> keras.Model:
    """Builds the network: for each source a U-Net that masks the mixture.

    Args:
        config: The network's config.
        frames: The input frames of every window, or None for any number.
        batch_size: The number of windows in a call, or None for any number.

    Returns:
        A model from a mixture `(batch, frames, 1)` to a dict of sources, each
        `(batch, frames, 1)`, in the order of `config.sources`.
    """
    transform = {"fft_frames": config.fft_frames, "hop_frames": config.hop_frames}
    mixture = keras.Input(
        (frames, config.channels), batch_size=batch_size, name=layer_names.MIXTURE
    )
    spectrum = spectrogram_layers.STFT(name=layer_names.STFT, **transform)(mixture)
    magnitude = spectrogram_layers.Magnitude(name=layer_names.MAGNITUDE)(spectrum)
    features = spectrogram_layers.NetworkInput(name=layer_names.NETWORK_INPUT)(
        magnitude
    )
    estimates = {}
    for source in config.sources:
        mask = _mask(config, features, source)
        estimates[source] = spectrogram_layers.MaskedAudio(
            phase_iterations=config.phase_iterations,
            phase_start=config.phase_start,
            name=layer_names.output(source),
            **transform,
        )([mask, *spectrum])
    return keras.Model(mixture, estimates, name=config.architecture)


def magnitude_network(
    config: SpectrogramUNetConfig, network: keras.Model
) -> keras.Model:
    """Builds a network with the same weights that returns magnitudes.

    Args:
        config: The network's config.
        network: The network, from build_spectrogram_u_net.

    Returns:
        A model from a mixture `(batch, frames, 1)` to a dict of sources, each
        `(batch, steps, bins)`.
    """
    mixture = network.get_layer(layer_names.MAGNITUDE).output
    return keras.Model(
        network.input,
        {
            source: network.get_layer(layer_names.nyquist(source)).output * mixture
            for source in config.sources
        },
    )


def _mask(config: SpectrogramUNetConfig, features, source: str):
    """Builds a source's U-Net.

    Args:
        config: The network's config.
        features: The network's input, `(batch, steps, bins - 1, 1)`.
        source: The source's name.

    Returns:
        The mask, `(batch, steps, bins)`, from 0 to 1.
    """
    convolution = {"kernel_size": 5, "strides": 2, "padding": "same"}
    skips = []
    for level in range(config.num_levels):
        name = layer_names.source_down(source, level)
        features = keras.layers.Conv2D(
            config.base_filters * 2**level, name=name, **convolution
        )(features)
        features = _normalization(layer_names.normalization(name))(features)
        features = keras.layers.LeakyReLU(
            negative_slope=0.2, name=layer_names.activation(name)
        )(features)
        skips.append(features)
    skips.pop()  # the deepest features have no skip
    for level in reversed(range(config.num_levels - 1)):
        name = layer_names.source_up(source, level)
        features = keras.layers.Conv2DTranspose(
            config.base_filters * 2**level, name=name, **convolution
        )(features)
        features = _normalization(layer_names.normalization(name))(features)
        features = keras.layers.ReLU(name=layer_names.activation(name))(features)
        features = keras.layers.Concatenate(name=layer_names.concatenation(name))(
            [skips[level], features]
        )
        if config.num_levels - 2 - level < 3:
            features = keras.layers.Dropout(0.5, name=layer_names.dropout(name))(
                features
            )
    mask = keras.layers.Conv2DTranspose(
        1,
        activation="sigmoid",
        name=layer_names.mask(source),
        dtype="float32",
        **convolution,
    )(features)
    return spectrogram_layers.NyquistMask(
        name=layer_names.nyquist(source), dtype="float32"
    )(mask)


def _normalization(name: str):
    # The defaults of TF1's tf.contrib.layers.batch_norm.
    return keras.layers.BatchNormalization(
        scale=False, momentum=0.999, epsilon=0.001, name=name
    )
