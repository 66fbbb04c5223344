"""Audio files to and from float32 arrays `(frames, channels)`, and resampling.

libsndfile reads what it knows (wav, flac, ogg, opus, …), PyAV the first audio
stream, or any other, of the rest (mp3, m4a, mp4, stem.mp4, video).
"""

from __future__ import annotations

import os
import pathlib
import re
import zlib

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
    with path.open("rb") as file:  # not the name, in which FFmpeg may see a protocol
        if not file.read(1):
            raise InputError(f"{path}: must be an audio file, but is empty")
        file.seek(0)
        try:
            # libsndfile guesses the length of an mp3 without a Xing header from its
            # first frame's bit rate, and stops there; FFmpeg decodes to the end.
            known = not stream and soundfile.info(file).format != "MP3"
        except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless .raw
            known = False
        file.seek(0)
        if known:
            audio, sample_rate_hz = _read_with_libsndfile(path, file)
        else:
            audio, sample_rate_hz = _read_with_ffmpeg(path, file, stream)
    if not len(audio):
        raise InputError(f"{path}: must hold audio, but has zero frames")
    return audio, sample_rate_hz


def _read_with_libsndfile(path: pathlib.Path, opened) -> tuple[np.ndarray, int]:
    with soundfile.SoundFile(opened) as file:
        try:
            audio = file.read(dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise InputError(f"{path}: cannot be decoded: {error}") from error
        cut = _promises_more(file.extra_info) or len(audio) < file.frames
        if cut or "lacks an end-of-stream bit" in file.extra_info:
            raise InputError(_truncated(path, len(audio), file.samplerate))
        return audio, file.samplerate


def _promises_more(log: str) -> bool:
    """Whether libsndfile's log tells of a header that promised more than there is.

    libsndfile reads a truncated file to its end without an error. Sizes of 2 GiB and
    more are the placeholders of a writer into a pipe; of few bytes, sloppiness.
    """
    sizes = re.findall(
        r"^ *(?:data|data size|ssnd|riff|riff size) *: (\d+) \(should be (\d+)\)",
        log,
        re.IGNORECASE | re.MULTILINE,
    )
    return any(int(came) + 16 < int(told) < 2**31 for told, came in sizes)


def _read_with_ffmpeg(path: pathlib.Path, file, stream: int) -> tuple[np.ndarray, int]:
    import av

    try:
        # No protocols: a playlist must not open other files.
        with av.open(file, options={"protocol_whitelist": "none"}) as container:
            count = len(container.streams.audio)
            if not count:
                raise InputError(f"{path}: must be an audio file, but has no audio")
            if stream >= count:
                raise InputError(
                    f"{path}: must have audio stream {stream}, but has {count} of them"
                )
            source = container.streams.audio[stream]
            audio, sample_rate_hz = _decode(path, container, source)
            promised = _promised_seconds(path, container, source) * sample_rate_hz
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: must be an audio file, but cannot be decoded: {error.strerror}"
        ) from error
    if len(audio) < promised - _CODEC_PADDING_FRAMES:
        raise InputError(_truncated(path, len(audio), sample_rate_hz))
    return audio, sample_rate_hz


def _decode(path: pathlib.Path, container, source) -> tuple[np.ndarray, int]:
    """Decodes a stream, whose format must be that of its first frame throughout."""
    import av

    to_planar_float = av.AudioResampler(format="fltp")
    blocks, first, frames = [], None, 0
    for frame in container.decode(source):
        came = (frame.sample_rate, frame.layout.nb_channels)
        first = first or came
        if came != first:
            raise InputError(
                f"{path}: must be of one rate and channel count, but changes at "
                f"{frames / first[0]:.2f} s from {first[0]} Hz, {first[1]} channels to "
                f"{came[0]} Hz, {came[1]} channels"
            )
        frames += frame.samples
        blocks += [block.to_ndarray().T for block in to_planar_float.resample(frame)]
    if not blocks:
        return np.zeros((0, 1), np.float32), source.rate
    return np.ascontiguousarray(np.concatenate(blocks)), first[0]


def _promised_seconds(path: pathlib.Path, container, source) -> float:
    """The length that a header tells; 0 where FFmpeg guesses it from the bit rate."""
    name = container.format.name
    if "matroska" in name:
        only_audio = len(container.streams) == len(container.streams.audio)
        return (container.duration or 0) / 1e6 if only_audio else 0.0
    if "mp4" not in name and not (name == "mp3" and _has_xing(path)):
        return 0.0
    return float((source.duration or 0) * source.time_base)


def _has_xing(path: pathlib.Path) -> bool:
    """Whether an mp3's first frame is a Xing or Info header, which tells its length."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # its size is in 4 bytes of 7 bits
            tag_bytes = sum(byte << 7 * place for place, byte in enumerate(head[:5:-1]))
            file.seek(10 + tag_bytes)
        else:
            file.seek(0)
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

    16 bits get triangular dither of two steps, the same for the same audio, but not
    where there is silence, which must stay silent for the scores to leave it out.
    """
    limit = 2 ** (bit_depth - 1)
    scaled = audio * np.float32(limit)
    if bit_depth == 16:
        generator = np.random.default_rng(zlib.crc32(np.ascontiguousarray(audio)))
        dither = generator.random(audio.shape, np.float32)
        dither -= generator.random(audio.shape, np.float32)
        scaled += np.where(np.abs(scaled) > 0.01, dither, 0)
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
    """A song's name: its file's name without `.stem.mp4` or another suffix.

    Raises:
        InputError: nothing is left that could name a folder.
    """
    whole = pathlib.Path(path).name
    name = pathlib.Path(whole).stem
    if whole.lower().endswith(".stem.mp4"):
        name = whole[: -len(".stem.mp4")]
    if name in ("", ".", ".."):
        raise InputError(f"{path}: must have a name before its suffix")
    return name
