"""Audio files written block by block, in the format that their suffix says."""

from __future__ import annotations

import contextlib
import os
import pathlib
import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import soundfile
import soxr

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
    ".m4a": {0: ("", "")},  # by FFmpeg
}
FORMATS = tuple(suffix[1:] for suffix in _FORMATS)
# Codecs that know few sample rates, in Hz. Opus knows lower ones, too, but players
# give 48 kHz all the same.
_RATES_HZ = {
    ".opus": (48000,),
    ".mp3": (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ".m4a": (
        *(8000, 11025, 12000, 16000, 22050, 24000, 32000),
        *(44100, 48000, 64000, 88200, 96000),
    ),
}
# libsndfile's compression levels: 200 to 270 kbit/s for stereo.
_LEVELS = {"VORBIS": 0.1, "OPUS": 0.5, "MPEG_LAYER_III": 0.0}
# The tags that are carried over: libsndfile's name → FFmpeg's.
TAGS = {
    "title": "title",
    "artist": "artist",
    "album": "album",
    "date": "date",
    "genre": "genre",
    "comment": "comment",
    "tracknumber": "track",
}
_AAC_BITS_PER_SECOND = 128_000  # of each channel
_WRITE_FRAMES = 16384
_WAV_BYTES = 2**32 - 2**20  # a wav file's size is told in 32 bits


def check_format(path: str | os.PathLike, bit_depth: int | None = None) -> None:
    """Checks that a file of this suffix can hold audio, of this bit depth if given.

    Raises:
        InputError: it cannot, or the suffix is none of `FORMATS`.
    """
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in _FORMATS:
        raise InputError(f"{path}: its format must be one of {', '.join(FORMATS)}")
    depths = _FORMATS[suffix]
    if bit_depth and 0 not in depths and bit_depth not in depths:
        raise InputError(
            f"{path}: {suffix[1:]} must have a bit depth of "
            f"{' or '.join(map(str, depths))}. Received: {bit_depth}"
        )


def nearest_bit_depth(path: str | os.PathLike, bit_depth: int) -> int:
    """The bit depth, or the highest below it that a file of this suffix has.

    Args:
        path: the file, of a suffix in `FORMATS`.
        bit_depth: 16, 24, or 32, which is float.
    """
    depths = _FORMATS[pathlib.Path(path).suffix.lower()]
    return max(depth for depth in depths if depth <= bit_depth)


def is_float(path: str | os.PathLike, bit_depth: int) -> bool:
    """Whether a file of this suffix and bit depth holds samples beyond full scale."""
    return bit_depth == 32 and 0 not in _FORMATS[pathlib.Path(path).suffix.lower()]


def nearest_rate_hz(path: str | os.PathLike, sample_rate_hz: int) -> int:
    """The sample rate that a file of this suffix gets: the lowest that loses nothing.

    Args:
        path: the file.
        sample_rate_hz: of the audio, in Hz.
    """
    rates_hz = _RATES_HZ.get(pathlib.Path(path).suffix.lower(), (sample_rate_hz,))
    return min(
        (rate for rate in rates_hz if rate >= sample_rate_hz), default=max(rates_hz)
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
        clip: bool = False,
        tags: Mapping[str, str] | None = None,
        expected_seconds: float = 0.0,
    ):
        """Opens a file.

        Args:
            path: the file, of a suffix in `FORMATS`; one of that name is replaced.
            sample_rate_hz: sample rate of the audio in Hz; a file whose format does not
                know it gets that of `nearest_rate_hz`.
            channels: its channels.
            bit_depth: 16 (with dither), 24, or 32, which is float; lossy formats (ogg,
                opus, mp3, m4a) have none.
            clip: whether float files, too, are clipped to full scale; all others are.
            tags: of the names in `TAGS`.
            expected_seconds: the audio's length, as far as it is known: wav files of
                4 GiB and more need another header (RF64).

        Raises:
            InputError: see check_format.
            OSError: the file cannot be written.
        """
        check_format(path, bit_depth)
        suffix = pathlib.Path(path).suffix.lower()
        depths = _FORMATS[suffix]
        self._path = path
        self._bit_depth = 0 if 0 in depths else bit_depth
        self._clip = clip or not is_float(path, bit_depth)
        self._generator = None
        self.clipped_samples = 0
        rate_hz = nearest_rate_hz(path, sample_rate_hz)
        self._resampler = None
        if rate_hz != sample_rate_hz:
            self._resampler = soxr.ResampleStream(
                sample_rate_hz, rate_hz, channels, dtype="float32", quality="VHQ"
            )
            self._rest = np.zeros((0, channels), np.float32)
        tags = {name: tags[name] for name in TAGS if tags and name in tags}
        if suffix == ".m4a":
            self._sink = _FFmpegSink(path, rate_hz, channels, tags)
            return
        format_name, subtype = depths[self._bit_depth]
        expected_bytes = expected_seconds * rate_hz * channels * self._bit_depth / 8
        if format_name == "WAV" and expected_bytes > _WAV_BYTES:
            format_name = "RF64"
        self._sink = _LibsndfileSink(
            path, rate_hz, channels, format_name, subtype, tags
        )

    def __enter__(self) -> AudioWriter:
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            if self._resampler and kind is None:
                rest = self._resampler.resample_chunk(self._rest, last=True)
                self._write(rest)
        finally:
            self._sink.close()

    def write(self, block: np.ndarray) -> None:
        """Writes `(frames, channels)`, clipped to [-1, 1] but for float files.

        Raises:
            OSError: it cannot be written, such as for want of space.
        """
        block = np.ascontiguousarray(block, np.float32)
        if self._resampler:
            block = self._resampler.resample_chunk(block)
        self._write(block)

    def _write(self, block: np.ndarray) -> None:
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

    def __init__(self, path, rate_hz, channels, format_name, subtype, tags):
        self._path = path
        # What a wav file still has room for; others have no bounds.
        bytes_a_sample = {"PCM_16": 2, "PCM_24": 3}.get(subtype, 4)
        self._room = _WAV_BYTES // bytes_a_sample if format_name == "WAV" else np.inf
        try:
            self._file = soundfile.SoundFile(
                path,
                "w",
                rate_hz,
                channels,
                subtype,
                format=format_name,
                compression_level=_LEVELS.get(subtype),
            )
            for name, value in tags.items():
                setattr(self._file, name, value)
        except soundfile.LibsndfileError as error:
            raise OSError(f"{path}: cannot be written: {error}") from error

    def write(self, block: np.ndarray) -> None:
        self._room -= block.size
        if self._room < 0:
            raise OSError(f"{self._path}: a wav file cannot be longer than 4 GiB")
        try:
            self._file.write(block)
        except soundfile.LibsndfileError as error:
            raise OSError(f"{self._path}: cannot be written: {error}") from error

    def close(self) -> None:
        self._file.close()


class _FFmpegSink:
    """Blocks of float32 into an m4a file of AAC."""

    def __init__(self, path, rate_hz, channels, tags):
        import av

        self._path, self._rate_hz, self._frames = path, rate_hz, 0
        self._layout = "mono" if channels == 1 else "stereo"
        with self._errors():
            # "file:", for in a name FFmpeg may see a protocol.
            self._container = av.open(
                f"file:{path}",
                "w",
                format="ipod",
                # The unit in which the file tells its length without the padding.
                options={"movie_timescale": str(rate_hz)},
            )
            self._container.metadata.update(
                {TAGS[name]: value for name, value in tags.items()}
            )
            self._stream = self._container.add_stream(
                "aac", rate=rate_hz, layout=self._layout
            )
            self._stream.bit_rate = _AAC_BITS_PER_SECOND * channels

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        import av

        try:
            yield
        except av.FFmpegError as error:
            raise OSError(f"{self._path}: cannot be written: {error}") from error

    def write(self, block: np.ndarray) -> None:
        import av

        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(block.T), "fltp", self._layout
        )
        frame.sample_rate, frame.pts = self._rate_hz, self._frames
        self._frames += len(block)
        with self._errors():
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        with self._errors():
            self._container.mux(self._stream.encode(None))
            self._container.close()
