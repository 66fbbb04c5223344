"""Audio files to and from float32 arrays `(frames, channels)`, and resampling.

libsndfile reads what it knows (wav, flac, ogg, opus, …), PyAV the first audio
stream, or any other, of the rest (mp3, m4a, mp4, stem.mp4, video).
"""

from __future__ import annotations

import os
import pathlib
import re

import numpy as np
import soundfile
import soxr

from waveunet_tf import files
from waveunet_tf.errors import InputError

# How many frames fewer than its header says a whole stream may have: two AAC frames of
# an encoder's padding.
_CODEC_PADDING_FRAMES = 4096


def read(path: str | os.PathLike, *, stream: int = 0) -> tuple[np.ndarray, int]:
    """Reads a whole audio file.

    Args:
        path: a file that libsndfile or FFmpeg knows.
        stream: which audio stream of a file with several (a stem.mp4 has five).

    Returns:
        The audio, float32 `(frames, channels)`, and the sample rate in Hz.

    Raises:
        InputError: the file is empty, truncated, holds no audio or no such stream.
        OSError: there is no such file, or it cannot be read.
    """
    path = pathlib.Path(path)
    with path.open("rb") as file:  # a clear OSError, before the decoders' own
        if not file.read(1):
            raise InputError(f"{path}: must be an audio file, but is empty")
    try:
        # libsndfile guesses the length of an mp3 without a Xing header from its first
        # frame's bit rate, and stops there; FFmpeg decodes to the end.
        ours = not stream and soundfile.info(path).format != "MP3"
    except soundfile.LibsndfileError:
        ours = False
    reader = _read_with_libsndfile if ours else _read_with_ffmpeg
    audio, sample_rate_hz = reader(path, stream)
    if not len(audio):
        raise InputError(f"{path}: must hold audio, but has zero frames")
    return audio, sample_rate_hz


def _read_with_libsndfile(path: pathlib.Path, _: int) -> tuple[np.ndarray, int]:
    with soundfile.SoundFile(path) as file:
        try:
            audio = file.read(dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise InputError(f"{path}: cannot be decoded: {error}") from error
        # libsndfile reads a truncated file to its end without an error, but its log
        # tells what the header had promised (2 GiB and more: a writer's placeholder).
        log = file.extra_info
        promised = re.search(r"data\s*: (\d+) \(should be (\d+)\)", log)
        cut = promised and int(promised[2]) < int(promised[1]) < 2**31
        if cut or len(audio) < file.frames or "lacks an end-of-stream bit" in log:
            raise InputError(_truncated(path, len(audio), file.samplerate))
        return audio, file.samplerate


def _read_with_ffmpeg(path: pathlib.Path, stream: int) -> tuple[np.ndarray, int]:
    import av

    try:
        with av.open(str(path)) as container:
            if stream >= len(container.streams.audio):
                raise InputError(
                    f"{path}: must have audio stream {stream}, but has "
                    f"{len(container.streams.audio)} audio streams"
                )
            source = container.streams.audio[stream]
            to_planar_float = av.AudioResampler(format="fltp")
            blocks = [
                block.to_ndarray().T
                for frame in container.decode(source)
                for block in to_planar_float.resample(frame)
            ]
            promised = 0.0
            if source.duration and _tells_its_length(path, container.format.name):
                promised = float(source.duration * source.time_base) * source.rate
            sample_rate_hz = source.rate
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: must be an audio file, but cannot be decoded: {error.strerror}"
        ) from error
    audio = np.concatenate(blocks) if blocks else np.zeros((0, 1), np.float32)
    if len(audio) < promised - _CODEC_PADDING_FRAMES:
        raise InputError(_truncated(path, len(audio), sample_rate_hz))
    return np.ascontiguousarray(audio), sample_rate_hz


def _tells_its_length(path: pathlib.Path, container_format: str) -> bool:
    """Whether FFmpeg's duration is from a header, and not a guess from the bit rate."""
    if container_format != "mp3":
        return "mp4" in container_format
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # its size is in 4 bytes of 7 bits
            tag_bytes = sum(byte << 7 * place for place, byte in enumerate(head[:5:-1]))
            file.seek(10 + tag_bytes)
        first_frame = file.read(64)
    return b"Xing" in first_frame or b"Info" in first_frame


def _truncated(path: pathlib.Path, frames: int, sample_rate_hz: int) -> str:
    return (
        f"{path}: must be a whole audio file, but is truncated: it ends after {frames} "
        f"frames ({frames / sample_rate_hz:.2f} s)"
    )


def write_wav(
    path: str | os.PathLike,
    audio: np.ndarray,
    sample_rate_hz: int,
    *,
    bit_depth: int = 16,
) -> None:
    """Writes a wav file, under a temporary name until it is whole.

    Args:
        path: the file; one of that name is replaced.
        audio: `(frames, channels)`; clipped to [-1, 1] unless written as float.
        sample_rate_hz: sample rate in Hz.
        bit_depth: 16 (with dither), 24, or 32, which is float.

    Raises:
        OSError: the file cannot be written, such as for want of space.
    """
    subtype = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}[bit_depth]
    samples = audio.astype(np.float32)
    if bit_depth < 32:
        samples = _to_integers(samples, bit_depth)
    with files.atomic_file(path) as part:
        try:
            soundfile.write(part, samples, sample_rate_hz, subtype=subtype)
        except soundfile.LibsndfileError as error:
            raise OSError(f"{path}: cannot be written: {error}") from error


def _to_integers(audio: np.ndarray, bit_depth: int) -> np.ndarray:
    """Rounds to integers in the upper bits of an int32; libsndfile itself rounds down.

    16 bits get triangular dither of two steps, the same for the same shape.
    """
    scaled = audio * np.float32(2 ** (bit_depth - 1))
    if bit_depth == 16:
        generator = np.random.default_rng(0)
        scaled += generator.random(audio.shape, np.float32)
        scaled -= generator.random(audio.shape, np.float32)
    limit = 2 ** (bit_depth - 1)
    integers = np.rint(scaled).clip(-limit, limit - 1).astype(np.int32)
    return integers << (32 - bit_depth)


def resample(
    audio: np.ndarray, from_hz: int, to_hz: int, *, frames: int | None = None
) -> np.ndarray:
    """Resamples with soxr at its very high quality, without delay.

    Args:
        audio: `(frames, channels)`.
        from_hz: its sample rate in Hz.
        to_hz: the wished sample rate in Hz.
        frames: frames of the result; by default the audio's length, rounded up.

    Returns:
        float32 `(frames, channels)`.
    """
    if frames is None:
        frames = -(-len(audio) * to_hz // from_hz)
    if from_hz != to_hz:
        audio = soxr.resample(audio, from_hz, to_hz, quality="VHQ")
    audio = audio[:frames]
    missing = frames - len(audio)  # a frame of rounding
    return np.pad(audio, ((0, missing), (0, 0))).astype(np.float32, copy=False)


def to_channels(audio: np.ndarray, channels: int) -> np.ndarray:
    """Turns mono into stereo by repetition, stereo into mono by the mean.

    Args:
        audio: `(frames, 1 or 2)`.
        channels: 1 or 2.

    Returns:
        `(frames, channels)`.

    Raises:
        InputError: the audio has more than two channels.
    """
    if audio.shape[1] > 2:
        raise InputError(
            f"Audio must have 1 or 2 channels. Received: {audio.shape[1]} channels"
        )
    if audio.shape[1] == channels:
        return audio
    if channels == 1:
        return audio.mean(axis=1, keepdims=True)
    return np.repeat(audio, channels, axis=1)


def stem_name(path: str | os.PathLike) -> str:
    """A song's name: its file's name without `.stem.mp4` or another suffix."""
    name = pathlib.Path(path).name
    if name.lower().endswith(".stem.mp4"):
        return name[: -len(".stem.mp4")]
    return pathlib.Path(name).stem
