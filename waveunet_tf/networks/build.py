"""Builds the Keras network of any config."""

from __future__ import annotations

import keras

from waveunet_tf.configs.networks import (
    NetworkConfig,
    SpectrogramUNetConfig,
    WaveUNetConfig,
)
from waveunet_tf.networks.spectrogram_u_net import build_spectrogram_u_net
from waveunet_tf.networks.wave_u_net import build_wave_u_net
from waveunet_tf.system import arguments

_BUILDERS = {
    WaveUNetConfig.architecture: build_wave_u_net,
    SpectrogramUNetConfig.architecture: build_spectrogram_u_net,
}


def build_network(
    config: NetworkConfig,
    *,
    frames: int | None = None,
    batch_size: int | None = None,
) -> keras.Model:
    """Builds a network with random weights, drawn as in the original (Glorot).

    Args:
        config: The network's config.
        frames: The input frames of every window. By default a window may have any
            number of frames that `shapes.window_frames` gives.
        batch_size: The number of windows in a call. By default any number.

    Returns:
        A model from a mixture `(batch, frames, channels)` to a dict that maps every
        source, in the order of `config.sources`, to `(batch, frames, channels)`. Its
        frames are the mixture's centre if the network has context.

    Raises:
        InputError: A number is no whole number, or less than 1.
    """
    for name, value in {"frames": frames, "batch_size": batch_size}.items():
        if value is not None:
            arguments.whole_number(name, value)
    build = _BUILDERS[config.architecture]
    return build(config, frames=frames, batch_size=batch_size)
