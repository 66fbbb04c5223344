"""The U-Net on magnitude spectrograms, the paper's baseline U7 (paper, section 5.1).

After Jansson et al., "Singing voice separation with deep U-Net convolutional networks"
(ISMIR 2017), as the original's UnetSpectrogramSeparator has it.

Spectrograms are `(batch, steps, bins)`: a step is a window of the STFT, a bin one of
its fft_frames / 2 + 1 frequencies. A complex one is a pair, real and imaginary part.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

from waveunet_tf.configs.networks import SpectrogramUNetConfig
from waveunet_tf.networks import layer_names

_register = keras.saving.register_keras_serializable(package="waveunet_tf")


class _Transform(keras.layers.Layer):
    """A layer that knows the STFT: periodic Hann windows, no padding at the ends.

    Args:
        fft_frames: audio frames of a window.
        hop_frames: audio frames from one window to the next.
    """

    def __init__(self, *, fft_frames: int, hop_frames: int, **kwargs):
        # A spectrum needs the range and the precision of float32.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.fft_frames = fft_frames
        self.hop_frames = hop_frames

    def get_config(self):
        return {
            **super().get_config(),
            "fft_frames": self.fft_frames,
            "hop_frames": self.hop_frames,
        }

    def stft(self, audio):
        """`(batch, frames)` → real and imaginary part, `(batch, steps, bins)` each."""
        return ops.stft(
            audio, self.fft_frames, self.hop_frames, self.fft_frames, center=False
        )

    def istft(self, spectrum):
        """Real and imaginary part → `(batch, frames)`, by the matched window.

        As tf.signal.inverse_stft; Keras' own has other ends on other backends.
        """
        blocks = ops.irfft(spectrum, self.fft_frames) * self._synthesis_window()
        batch, steps, _ = ops.shape(blocks)
        hop, overlap = self.hop_frames, -(-self.fft_frames // self.hop_frames)
        beyond = overlap * hop - self.fft_frames
        blocks = ops.pad(blocks, ((0, 0), (0, 0), (0, beyond)))
        hops = ops.reshape(blocks, (batch, steps, overlap, hop))
        audio = sum(
            ops.pad(hops[:, :, place], ((0, 0), (place, overlap - 1 - place), (0, 0)))
            for place in range(overlap)
        )  # (batch, steps + overlap - 1, hop)
        audio = ops.reshape(audio, (batch, (steps + overlap - 1) * hop))
        return audio[:, : (steps - 1) * hop + self.fft_frames]

    def _synthesis_window(self) -> np.ndarray:
        """The Hann window over the sum of its squares at all hops."""
        places = np.arange(self.fft_frames)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * places / self.fft_frames)
        squares = [
            np.square(window[place % self.hop_frames :: self.hop_frames]).sum()
            for place in places
        ]
        return (window / squares).astype(np.float32)

    def steps(self, frames: int | None) -> int | None:
        """Windows that fit into so many frames."""
        return frames and 1 + (frames - self.fft_frames) // self.hop_frames

    def frames(self, steps: int | None) -> int | None:
        """Frames that so many windows span."""
        return steps and (steps - 1) * self.hop_frames + self.fft_frames


@_register
class STFT(_Transform):
    """The short-time Fourier transform of mono audio.

    Input shape: `(batch, frames, 1)`
    Output shape: the real and the imaginary part, `(batch, steps, bins)` each
    """

    def call(self, inputs):
        return self.stft(inputs[..., 0])

    def compute_output_shape(self, input_shape):
        batch, frames, _ = input_shape
        shape = (batch, self.steps(frames), self.fft_frames // 2 + 1)
        return shape, shape

    def compute_output_spec(self, inputs):
        return tuple(
            keras.KerasTensor(shape, dtype="float32")
            for shape in self.compute_output_shape(inputs.shape)
        )


@_register
class Magnitude(keras.layers.Layer):
    """The magnitude of a complex spectrogram.

    Input shape: the real and the imaginary part, `(batch, steps, bins)` each
    Output shape: `(batch, steps, bins)`
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})  # see _Transform

    def call(self, inputs):
        real, imaginary = inputs
        # The square root has no gradient at 0, where digital silence is.
        return ops.sqrt(ops.square(real) + ops.square(imaginary) + 1e-24)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@_register
class NetworkInput(keras.layers.Layer):
    """log(1 + magnitude) without the Nyquist bin, to have a power of 2 of bins.

    Input shape: `(batch, steps, bins)`
    Output shape: `(batch, steps, bins - 1, 1)`
    """

    def call(self, inputs):
        return ops.log1p(inputs[:, :, :-1, None])

    def compute_output_shape(self, input_shape):
        batch, steps, bins = input_shape
        return batch, steps, bins - 1, 1


@_register
class NyquistMask(keras.layers.Layer):
    """Puts 0.5 where the mask lacks the Nyquist bin.

    Input shape: `(batch, steps, bins - 1, 1)`
    Output shape: `(batch, steps, bins)`
    """

    def call(self, inputs):
        return ops.pad(inputs[..., 0], ((0, 0), (0, 0), (0, 1)), constant_values=0.5)

    def compute_output_shape(self, input_shape):
        batch, steps, bins, _ = input_shape
        return batch, steps, bins + 1


@_register
class MaskedAudio(_Transform):
    """The audio of a masked mixture: the mask's magnitude with the mixture's phase.

    With `phase_iterations`, Griffin and Lim's algorithm ("Signal estimation from
    modified short-time Fourier transform", 1984) refines the phase at inference: it
    goes to audio and back, keeps the phase that comes and puts the magnitude in again.

    Args:
        phase_iterations: how often.
        phase_start: `mixture`, or `random`: uniform phases, the same at each call.

    Input shape: mask, real and imaginary part of the mixture, `(batch, steps, bins)`
    Output shape: `(batch, frames, 1)`
    """

    def __init__(
        self, *, phase_iterations: int = 0, phase_start: str = "mixture", **kwargs
    ):
        super().__init__(**kwargs)
        self.phase_iterations = phase_iterations
        self.phase_start = phase_start

    def get_config(self):
        return {
            **super().get_config(),
            "phase_iterations": self.phase_iterations,
            "phase_start": self.phase_start,
        }

    def call(self, inputs, training=False):
        mask, real, imaginary = inputs
        estimate = mask * real, mask * imaginary
        if self.phase_iterations and not training:
            magnitude = Magnitude()(estimate)
            if self.phase_start == "random":
                phase = keras.random.uniform(
                    ops.shape(magnitude), 0, 2 * math.pi, seed=0
                )
                estimate = magnitude * ops.cos(phase), magnitude * ops.sin(phase)
            estimate = self.refine_phase(magnitude, *estimate)
        return self.istft(estimate)[..., None]

    def refine_phase(self, magnitude, real, imaginary):
        """Griffin and Lim's iterations; all `(batch, steps, bins)`."""

        def iterate(_, spectrum):
            real, imaginary = self.stft(self.istft(spectrum))
            length = ops.sqrt(ops.square(real) + ops.square(imaginary) + 1e-24)
            scale = magnitude / length
            return scale * real, scale * imaginary

        return ops.fori_loop(0, self.phase_iterations, iterate, (real, imaginary))

    def compute_output_shape(self, input_shape):
        batch, steps, _ = input_shape[0]
        return batch, self.frames(steps), 1


def build_spectrogram_u_net(
    config: SpectrogramUNetConfig,
    *,
    frames: int | None = None,
    batch_size: int | None = None,
) -> keras.Model:
    """Builds the network; see build.build_network."""
    transform = {"fft_frames": config.fft_frames, "hop_frames": config.hop_frames}
    mixture = keras.Input(
        (frames, config.channels), batch_size=batch_size, name=layer_names.MIXTURE
    )
    spectrum = STFT(name=layer_names.STFT, **transform)(mixture)
    magnitude = Magnitude(name=layer_names.MAGNITUDE)(spectrum)
    features = NetworkInput(name=layer_names.NETWORK_INPUT)(magnitude)
    estimates = {}
    for source in config.sources:
        mask = _mask(config, features, source)
        estimates[source] = MaskedAudio(
            phase_iterations=config.phase_iterations,
            phase_start=config.phase_start,
            name=layer_names.output(source),
            **transform,
        )([mask, *spectrum])
    return keras.Model(mixture, estimates, name="spectrogram_u_net")


def magnitude_network(
    config: SpectrogramUNetConfig, network: keras.Model
) -> keras.Model:
    """The same network, sharing its weights, from a mixture to magnitudes.

    Args:
        config: the network's config.
        network: what build_spectrogram_u_net gave.

    Returns:
        A model from `(batch, frames, 1)` to source → `(batch, steps, bins)`.
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
    """A U-Net of its own for the source: `(batch, steps, bins)` from 0 to 1."""
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
    skips.pop()  # the deepest features go up as they are
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
    return NyquistMask(name=layer_names.nyquist(source), dtype="float32")(mask)


def _normalization(name: str):
    # TF1's tf.contrib.layers.batch_norm: no scale, this momentum and epsilon.
    return keras.layers.BatchNormalization(
        scale=False, momentum=0.999, epsilon=0.001, name=name
    )
