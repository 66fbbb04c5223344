"""Layers between audio and magnitude spectrograms, of the network U7.

Spectrograms are `(batch, steps, bins)`: a step is a window of the STFT, a bin is one of
its fft_frames / 2 + 1 frequencies. A complex spectrogram is a pair of arrays: the real
and the imaginary part.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops

_register = keras.saving.register_keras_serializable(package="waveunet_tf")


class _Transform(keras.layers.Layer):
    """A layer with the STFT: periodic Hann windows, no padding at the ends.

    Args:
        fft_frames: The length of a window, in audio frames.
        hop_frames: The distance from one window to the next, in audio frames.
    """

    def __init__(self, *, fft_frames: int, hop_frames: int, **kwargs):
        # Spectrograms need the range and the precision of float32.
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
        """Transforms audio `(batch, frames)` into a complex spectrogram.

        Returns:
            The real and the imaginary part, `(batch, steps, bins)` each.
        """
        return ops.stft(
            audio, self.fft_frames, self.hop_frames, self.fft_frames, center=False
        )

    def istft(self, spectrum):
        """Transforms a complex spectrogram back into audio.

        It computes what tf.signal.inverse_stft does with the matched window. Keras' own
        transform gives other frames at the ends, which depend on the backend.

        Args:
            spectrum: The real and the imaginary part, `(batch, steps, bins)` each.

        Returns:
            Audio `(batch, frames)`.
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
        """Returns the Hann window over its squares' sum at all hops, `(frames,)`."""
        places = np.arange(self.fft_frames)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * places / self.fft_frames)
        squares = [
            np.square(window[place % self.hop_frames :: self.hop_frames]).sum()
            for place in places
        ]
        return (window / squares).astype(np.float32)

    def steps(self, frames: int | None) -> int | None:
        """Returns the number of steps for a number of frames; None for any number."""
        return frames and 1 + (frames - self.fft_frames) // self.hop_frames

    def frames(self, steps: int | None) -> int | None:
        """Returns the number of frames for a number of steps; None for any number."""
        return steps and (steps - 1) * self.hop_frames + self.fft_frames


@_register
class STFT(_Transform):
    """Transforms mono audio into a complex spectrogram.

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
    """Computes the magnitude of a complex spectrogram.

    Input shape: the real and the imaginary part, `(batch, steps, bins)` each
    Output shape: `(batch, steps, bins)`
    """

    def __init__(self, **kwargs):
        # As in _Transform.
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, inputs):
        real, imaginary = inputs
        return _length(real, imaginary)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


@_register
class NetworkInput(keras.layers.Layer):
    """Computes log(1 + magnitude), without the Nyquist bin.

    The strided convolutions can then halve the number of bins on every level.

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
    """Adds the Nyquist bin, which NetworkInput left out, to a mask: 0.5.

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
    """Computes a source's audio: the masked magnitude with the mixture's phase.

    With `phase_iterations`, Griffin and Lim's algorithm ("Signal estimation from
    modified short-time Fourier transform", 1984) refines the phase at inference. An
    iteration transforms the spectrogram to audio and back, keeps the phase of the
    result, and restores the magnitude.

    Args:
        phase_iterations: The number of iterations.
        phase_start: The first phase: `mixture`, or `random` for uniform phases, which
            are the same at each call.

    Input shape: the mask, and the real and the imaginary part of the mixture,
        `(batch, steps, bins)` each
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
        """Refines the phase of a spectrogram by Griffin and Lim's iterations.

        Args:
            magnitude: The magnitude to keep, `(batch, steps, bins)`.
            real: The first real part, `(batch, steps, bins)`.
            imaginary: The first imaginary part, `(batch, steps, bins)`.

        Returns:
            The real and the imaginary part, `(batch, steps, bins)` each.
        """

        def iterate(_, spectrum):
            real, imaginary = self.stft(self.istft(spectrum))
            scale = magnitude / _length(real, imaginary)
            return scale * real, scale * imaginary

        return ops.fori_loop(0, self.phase_iterations, iterate, (real, imaginary))

    def compute_output_shape(self, input_shape):
        batch, steps, _ = input_shape[0]
        return batch, self.frames(steps), 1


def _length(real, imaginary):
    """Returns the magnitude, `(batch, steps, bins)`."""
    # The square root has no gradient at 0, where digital silence is.
    return ops.sqrt(ops.square(real) + ops.square(imaginary) + 1e-24)
