"""Writes audio files block by block, in the format of their suffix."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import numpy as np
import soundfile

from waveunet_tf.audio import formats

# Lossy files get about 256 kbit/s of stereo: by libsndfile's levels, or FFmpeg's rate.
_COMPRESSION_LEVELS = {"VORBIS": 0.1, "OPUS": 0.5}
_BITS_PER_SECOND_AND_CHANNEL = 128_000
_MAX_BLOCK_FRAMES = 16384  # libsndfile crashes on longer blocks of Vorbis.
_PROBE_BYTES = 2**20
# libsndfile's encoders of these keep some frames back until they are closed, and do not
# tell of a disk that is full then.
_KEEPING_BACK = ("FLAC", "OGG")
# All texts of a wav or opus must fit into a header of 64 KiB. libsndfile leaves out
# those that do not, and breaks the opus.
_MOST_TEXT_BYTES = 8000
_MAX_WAV_BYTES = 2**32 - 2**20  # The sizes in a wav file's header have 32 bits.


class AudioWriter:
    """Writes an audio file block by block; a context manager.

    It writes in place: give it a temporary name (files.atomic_file) if nobody may see
    a half-written file.

    Attributes:
        clipped_samples: The number of samples that were beyond full scale, and clipped.
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
            path: A file of a suffix in formats.FORMATS, which is replaced if it exists.
            sample_rate_hz: A sample rate of the format in Hz; see
                formats.nearest_rate_hz.
            channels: The number of channels.
            bit_depth: 16 (with dither), 24, or 32, which is float. Lossy formats (ogg,
                opus, mp3, m4a) have none.
            clip: Whether float files are clipped to full scale; all others always are.
            tags: Name → text, of the names in formats.TAGS.
            expected_seconds: The audio's length as far as it is known, or infinity: a
                wav file of 4 GiB and more needs another header (RF64).

        Raises:
            InputError: The format is unknown, or cannot hold this bit depth or rate.
            OSError: The file cannot be written.
        """
        formats.check_format(path, bit_depth, sample_rate_hz)
        written = formats.written_format(path)
        self._bit_depth = 0 if written.is_lossy else bit_depth
        self._clip = clip or not formats.is_float(path, bit_depth)
        self._dither = None
        self.clipped_samples = 0
        container, codec = written.codecs[self._bit_depth]
        expected_bytes = expected_seconds * sample_rate_hz * channels
        expected_bytes *= self._bit_depth / 8
        if container == "WAV" and expected_bytes > _MAX_WAV_BYTES:
            container = "RF64"
        tags = {name: tags[name] for name in formats.TAGS if tags and name in tags}
        sink = _FFmpegSink if written.is_written_by_ffmpeg else _LibsndfileSink
        self._sink: _Sink = sink(path, sample_rate_hz, channels, container, codec, tags)

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(self, kind, *_) -> None:
        self._sink.close(whole=kind is None)

    def write(self, block: np.ndarray) -> None:
        """Writes `(frames, channels)`, clipped to [-1, 1] unless the file is float.

        Raises:
            OSError: The file cannot be written, for example because the disk is full.
        """
        block = np.ascontiguousarray(block, np.float32)
        if not len(block):
            return
        if self._clip:
            self.clipped_samples += int(np.count_nonzero(np.abs(block) > 1))
            block = block.clip(-1, 1)
        if self._bit_depth in (16, 24):
            block = self._to_integers(block)
        for start in range(0, len(block), _MAX_BLOCK_FRAMES):
            self._sink.write(block[start : start + _MAX_BLOCK_FRAMES])

    def _to_integers(self, block: np.ndarray) -> np.ndarray:
        """Rounds to the upper bits of an int32; libsndfile would round down.

        16 bits get triangular dither of two steps, the same for the same audio. Silence
        gets none: it must stay silent, for scores to leave it out.
        """
        limit = 2 ** (self._bit_depth - 1)
        scaled = block * np.float32(limit)
        if self._bit_depth == 16:
            if self._dither is None:
                self._dither = np.random.default_rng(zlib.crc32(block))
            dither = self._dither.random(block.shape, np.float32)
            dither -= self._dither.random(block.shape, np.float32)
            scaled += np.where(np.abs(scaled) > 0.01, dither, 0)
        integers = np.rint(scaled).clip(-limit, limit - 1).astype(np.int32)
        return integers << (32 - self._bit_depth)


class _Sink(Protocol):
    """An open file of a library that encodes blocks."""

    def write(self, block: np.ndarray) -> None:
        """Writes float32, or int32 for integer files, `(frames, channels)`."""

    def close(self, *, whole: bool) -> None:
        """Closes the file; one that is not whole need not be playable."""


class _LibsndfileSink:
    """A file that libsndfile writes."""

    def __init__(
        self,
        path: str | os.PathLike,
        rate_hz: int,
        channels: int,
        container: str,
        codec: str,
        tags: Mapping[str, str],
    ):
        self._path, self._frames = path, 0
        self._keeps_back = container in _KEEPING_BACK
        bytes_a_sample = {"PCM_16": 2, "PCM_24": 3}.get(codec, 4)
        self._room_samples = np.inf
        if container == "WAV":
            self._room_samples = _MAX_WAV_BYTES // bytes_a_sample
        with self._naming_errors():
            self._file = soundfile.SoundFile(
                os.fsencode(path),
                "w",
                rate_hz,
                channels,
                codec,
                format=container,
                compression_level=_COMPRESSION_LEVELS.get(codec),
            )
            for name, text in tags.items():
                if container in ("WAV", "RF64") or codec == "OPUS":
                    text = text.encode()[:_MOST_TEXT_BYTES].decode(errors="ignore")
                setattr(self._file, name, text)

    @contextlib.contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except soundfile.LibsndfileError as error:
            _raise_reason(self._path)
            raise OSError(f"{self._path}: cannot be written: {error}") from error

    def write(self, block: np.ndarray) -> None:
        self._room_samples -= block.size
        if self._room_samples < 0:
            raise OSError(f"{self._path}: a wav file cannot be longer than 4 GiB")
        with self._naming_errors():
            self._file.write(block)
        self._frames += len(block)

    def close(self, *, whole: bool) -> None:
        if not whole:
            with contextlib.suppress(OSError), self._naming_errors():
                self._file.close()
            return
        with self._naming_errors():
            self._file.close()
        if self._frames and not self._has_end():
            _raise_reason(self._path)
            raise OSError(f"{self._path}: cannot be written to its end")

    def _has_end(self) -> bool:
        """Whether the last frame is in the file."""
        if not self._keeps_back:
            return True
        try:
            with soundfile.SoundFile(os.fsencode(self._path)) as written:
                written.seek(self._frames - 1)
                return written.frames == self._frames and len(written.read(1)) == 1
        except soundfile.LibsndfileError:
            return False


def _raise_reason(path: str | os.PathLike) -> None:
    """Raises why the system refuses to write to a half-written file, if it does.

    libsndfile gives no reason. The system tells it of one more write.
    """
    try:
        with open(path, "r+b", buffering=0) as file:
            file.seek(0, os.SEEK_END)
            while file.write(bytes(_PROBE_BYTES)) < _PROBE_BYTES:
                pass  # It takes what there is room for, and then no more.
    except OSError as error:
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


class _FFmpegSink:
    """A file that FFmpeg writes, of a lossy codec."""

    def __init__(
        self,
        path: str | os.PathLike,
        rate_hz: int,
        channels: int,
        container: str,
        codec: str,
        tags: Mapping[str, str],
    ):
        import av

        self._path, self._rate_hz, self._frames = path, rate_hz, 0
        self._layout = "mono" if channels == 1 else "stereo"
        with self._naming_errors():
            self._container = av.open(
                f"file:{path}",  # FFmpeg might read a protocol in a bare name.
                "w",
                format=container,
                # The unit of the length in an m4a, which leaves the padding out.
                options={"movie_timescale": str(rate_hz)} if codec == "aac" else {},
            )
            for name, value in tags.items():
                self._container.metadata[formats.TAGS[name]] = value
            self._stream = self._container.add_stream(
                codec, rate=rate_hz, layout=self._layout
            )
            self._stream.bit_rate = _BITS_PER_SECOND_AND_CHANNEL * channels

    @contextlib.contextmanager
    def _naming_errors(self) -> Iterator[None]:
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
        with self._naming_errors():
            self._container.mux(self._stream.encode(frame))

    def close(self, *, whole: bool) -> None:
        if not whole:  # FFmpeg crashes when it flushes a file that cannot be written.
            with contextlib.suppress(OSError), self._naming_errors():
                self._container.close()
            return
        try:
            with self._naming_errors():
                self._container.mux(self._stream.encode(None))
        except OSError:
            self.close(whole=False)
            raise
        with self._naming_errors():
            self._container.close()
