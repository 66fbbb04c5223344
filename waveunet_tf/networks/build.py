"""The Keras network of any config."""

from __future__ import annotations

import keras

from waveunet_tf.configs.networks import (
    NetworkConfig,
    SpectrogramUNetConfig,
    WaveUNetConfig,
)
from waveunet_tf.networks.spectrogram_u_net import build_spectrogram_u_net
from waveunet_tf.networks.wave_u_net import build_wave_u_net

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
    """Builds a network, its weights drawn as the original draws them (Glorot).

    Args:
        config: the network.
        frames: input frames, if fixed; by default any number of frames that
            `shapes.window_frames` gives.
        batch_size: windows a call, if fixed.

    Returns:
        A model from a mixture `(batch, frames, channels)` to a dict of sources, each
        `(batch, output frames, channels)`, in the order of `config.sources`.
    """
    build = _BUILDERS[config.architecture]
    return build(config, frames=frames, batch_size=batch_size)
