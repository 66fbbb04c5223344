"""Audio files written block by block, in the format that their suffix says."""

from __future__ import annotations

import os
import pathlib
import zlib

import numpy as np
import soundfile

from waveunet_tf.errors import InputError

# Suffix → bit depth → libsndfile's format and subtype; 0: a lossy format has none.
_FORMATS = {
    ".wav": {
        16: ("WAV", "PCM_16"),
        24: ("WAV", "PCM_24"),
        32: ("WAV", "FLOAT"),
    },
    ".flac": {16: ("FLAC", "PCM_16"), 24: ("FLAC", "PCM_24")},
    ".ogg": {0: ("OGG", "VORBIS")},
    ".opus": {0: ("OGG", "OPUS")},
    ".mp3": {0: ("MP3", "MPEG_LAYER_III")},
}
FORMATS = tuple(suffix[1:] for suffix in _FORMATS)
# Codecs that know few sample rates, in Hz.
_RATES_HZ = {
    ".opus": (8000, 12000, 16000, 24000, 48000),
    ".mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
}
_WRITE_FRAMES = 16384


def check_format(path: str | os.PathLike, sample_rate_hz: int, bit_depth: int) -> None:
    """Checks that a file of this suffix can hold audio of this kind.

    Raises:
        InputError: it cannot, or the suffix is none of `FORMATS`.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"{path}: its format must be one of {', '.join(FORMATS)}")
    depths = _FORMATS[suffix]
    if 0 not in depths and bit_depth not in depths:
        raise InputError(
            f"{path}: {suffix[1:]} must have a bit depth of "
            f"{' or '.join(map(str, depths))}. Received: {bit_depth}"
        )
    rates_hz = _RATES_HZ.get(suffix, (sample_rate_hz,))
    if sample_rate_hz not in rates_hz:
        raise InputError(
            f"{path}: {suffix[1:]} must have a sample rate of "
            f"{', '.join(map(str, rates_hz))} Hz. Received: {sample_rate_hz} Hz"
        )


class AudioWriter:
    """Writes an audio file block by block; a context manager.

    Attributes:
        clipped_samples: how many samples were beyond full scale, and clipped.

    It writes in place: give it a temporary name (files.atomic_file) if a half-written
    file must not be seen.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        sample_rate_hz: int,
        channels: int,
        *,
        bit_depth: int = 16,
    ):
        """Opens a file.

        Args:
            path: the file, of a suffix in `FORMATS`; one of that name is replaced.
            sample_rate_hz: sample rate in Hz.
            channels: its channels.
            bit_depth: 16 (with dither), 24, or 32, which is float; lossy formats (ogg,
                opus, mp3) have none.

        Raises:
            InputError: see check_format.
            OSError: the file cannot be written.
        """
        check_format(path, sample_rate_hz, bit_depth)
        depths = _FORMATS[pathlib.Path(path).suffix.lower()]
        self._path = path
        self._bit_depth = 0 if 0 in depths else bit_depth
        self._generator = None
        self.clipped_samples = 0
        format_name, subtype = depths[self._bit_depth]
        try:
            self._file = soundfile.SoundFile(
                path, "w", sample_rate_hz, channels, subtype, format=format_name
            )
        except soundfile.LibsndfileError as error:
            raise OSError(f"{path}: cannot be written: {error}") from error

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def write(self, block: np.ndarray) -> None:
        """Writes `(frames, channels)`, clipped to [-1, 1] unless the file is of floats.

        Raises:
            OSError: it cannot be written, such as for want of space.
        """
        block = np.ascontiguousarray(block, np.float32)
        if self._bit_depth < 32:
            self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1))
        if self._bit_depth in (16, 24):
            block = self._to_integers(block)
        elif not self._bit_depth:
            block = block.clip(-1, 1)
        try:
            for start in range(0, len(block), _WRITE_FRAMES):  # a long one crashes ogg
                self._file.write(block[start : start + _WRITE_FRAMES])
        except soundfile.LibsndfileError as error:
            raise OSError(f"{self._path}: cannot be written: {error}") from error

    def _to_integers(self, block: np.ndarray) -> np.ndarray:
        """Rounds to the upper bits of an int32, where libsndfile rounds down.

        16 bits get triangular dither of two steps, the same for the same audio, but not
        where there is silence, which must stay silent for the scores to leave it out.
        """
        limit = 2 ** (self._bit_depth - 1)
        scaled = block * np.float32(limit)
        if self._bit_depth == 16:
            if self._generator is None:
                self._generator = np.random.default_rng(zlib.crc32(block))
            dither = self._generator.random(block.shape, np.float32)
            dither -= self._generator.random(block.shape, np.float32)
            scaled += np.where(np.abs(scaled) > 0.01, dither, 0)
        integers = np.rint(scaled).clip(-limit, limit - 1).astype(np.int32)
        return integers << (32 - self._bit_depth)
