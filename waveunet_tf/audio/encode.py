"""Audio files written block by block, in the format that their suffix says."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import soundfile

from waveunet_tf.audio.formats import (
    CODECS,
    TAGS,
    check_format,
    is_float,
)

# For about 256 kbit/s of stereo.
_LEVELS = {"VORBIS": 0.1, "OPUS": 0.5}
_BITS_PER_SECOND = 128_000  # of each channel
_WRITE_FRAMES = 16384
_WAV_BYTES = 2**32 - 2**20  # a wav file's size is told in 32 bits


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
        clip: bool = False,
        tags: Mapping[str, str] | None = None,
        expected_seconds: float = 0.0,
    ):
        """Opens a file.

        Args:
            path: the file, of a suffix in `FORMATS`; one of that name is replaced.
            sample_rate_hz: sample rate in Hz, which the format must know; see
                nearest_rate_hz.
            channels: its channels.
            bit_depth: 16 (with dither), 24, or 32, which is float; lossy formats (ogg,
                opus, mp3, m4a) have none.
            clip: whether float files, too, are clipped to full scale; all others are.
            tags: of the names in `TAGS`.
            expected_seconds: the audio's length as far as it is known, or infinity:
                wav files of 4 GiB and more need another header (RF64).

        Raises:
            InputError: see check_format.
            OSError: the file cannot be written.
        """
        check_format(path, bit_depth, sample_rate_hz)
        suffix = pathlib.Path(path).suffix.lower()
        depths = CODECS[suffix]
        self._bit_depth = 0 if 0 in depths else bit_depth
        self._clip = clip or not is_float(path, bit_depth)
        self._generator = None
        self.clipped_samples = 0
        tags = {name: tags[name] for name in TAGS if tags and name in tags}
        kind = depths[self._bit_depth]
        if suffix in (".mp3", ".m4a"):
            self._sink = _FFmpegSink(path, sample_rate_hz, channels, kind, tags)
            return
        expected_bytes = expected_seconds * sample_rate_hz * channels
        expected_bytes *= self._bit_depth / 8
        if suffix == ".wav" and expected_bytes > _WAV_BYTES:
            kind = ("RF64", kind[1])
        self._sink = _LibsndfileSink(path, sample_rate_hz, channels, kind, tags)

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(self, kind, *_) -> None:
        self._sink.close(whole=kind is None)

    def write(self, block: np.ndarray) -> None:
        """Writes `(frames, channels)`, clipped to [-1, 1] but for float files.

        Raises:
            OSError: it cannot be written, such as for want of space.
        """
        block = np.ascontiguousarray(block, np.float32)
        if not len(block):
            return
        if self._clip:
            self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1))
            block = block.clip(-1, 1)
        if self._bit_depth in (16, 24):
            block = self._to_integers(block)
        for start in range(0, len(block), _WRITE_FRAMES):  # a long one crashes ogg
            self._sink.write(block[start : start + _WRITE_FRAMES])

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


class _LibsndfileSink:
    """Blocks of float32, or of int32 for integer files, into libsndfile."""

    def __init__(self, path, rate_hz, channels, kind, tags):
        self._path = path
        format_name, subtype = kind
        # What a wav file still has room for; others have no bounds.
        bytes_a_sample = {"PCM_16": 2, "PCM_24": 3}.get(subtype, 4)
        self._room = _WAV_BYTES // bytes_a_sample if format_name == "WAV" else np.inf
        with self._errors():
            self._file = soundfile.SoundFile(
                os.fsencode(path),
                "w",
                rate_hz,
                channels,
                subtype,
                format=format_name,
                compression_level=_LEVELS.get(subtype),
            )
            for name, value in tags.items():
                setattr(self._file, name, value)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except soundfile.LibsndfileError as error:
            # libsndfile does not tell, but of all reasons this is the most frequent.
            folder = pathlib.Path(self._path).absolute().parent
            if folder.is_dir() and shutil.disk_usage(folder).free < 2**20:
                code = errno.ENOSPC
                raise OSError(code, os.strerror(code), str(self._path)) from error
            raise OSError(f"{self._path}: cannot be written: {error}") from error

    def write(self, block: np.ndarray) -> None:
        self._room -= block.size
        if self._room < 0:
            raise OSError(f"{self._path}: a wav file cannot be longer than 4 GiB")
        with self._errors():
            self._file.write(block)

    def close(self, *, whole: bool) -> None:
        self._file.close()


class _FFmpegSink:
    """Blocks of float32 into a lossy codec of FFmpeg's."""

    def __init__(self, path, rate_hz, channels, kind, tags):
        import av

        self._path, self._rate_hz, self._frames = path, rate_hz, 0
        self._layout = "mono" if channels == 1 else "stereo"
        container, codec = kind
        with self._errors():
            self._container = av.open(
                f"file:{path}",  # in a bare name FFmpeg may see a protocol
                "w",
                format=container,
                # The unit in which an m4a tells its length without the padding.
                options={"movie_timescale": str(rate_hz)} if codec == "aac" else {},
            )
            for name, value in tags.items():
                self._container.metadata[TAGS[name]] = value
            self._stream = self._container.add_stream(
                codec, rate=rate_hz, layout=self._layout
            )
            self._stream.bit_rate = _BITS_PER_SECOND * channels

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        import av

        try:
            yield
        except av.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from error

    def write(self, block: np.ndarray) -> None:
        import av

        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block.T), "fltp", self._layout
        )
        frame.sample_rate, frame.pts = self._rate_hz, self._frames
        self._frames += len(block)
        with self._errors():
            self._container.mux(self._stream.encode(frame))

    def close(self, *, whole: bool) -> None:
        if not whole:  # and what cannot be written must not be flushed: it crashes
            with contextlib.suppress(OSError), self._errors():
                self._container.close()
            return
        try:
            with self._errors():
                self._container.mux(self._stream.encode(None))
        except OSError:
            self.close(whole=False)
            raise
        with self._errors():
            self._container.close()
