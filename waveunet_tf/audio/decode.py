"""Audio files as streams of float32 blocks `(frames, channels)`.

libsndfile reads what it knows (wav, flac, ogg, opus, …), PyAV the first audio
stream, or any other, of the rest (mp3, m4a, mp4, stem.mp4, video).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator

import numpy as np
import soundfile

from waveunet_tf.audio.formats import BIT_DEPTHS, TAGS
from waveunet_tf.errors import InputError

_BLOCK_FRAMES = 65536
# How many frames fewer than its header says a whole stream may have: two AAC frames of
# an encoder's padding.
_CODEC_PADDING_FRAMES = 4096


class AudioReader:
    """An open audio file; a context manager.

    Attributes:
        path: the file.
        sample_rate_hz: its sample rate in Hz.
        channels: its channels, as `blocks` gives them.
        bit_depth: 16, 24, or 32, which is float; of lossy formats 16.
        duration_seconds: its length as its header tells or guesses it; 0: unknown.
        tags: title, artist and others of formats.TAGS, as far as it has them.
    """

    def __init__(
        self, path: str | os.PathLike, *, stream: int = 0, downmix: bool = False
    ):
        """Opens a file.

        Args:
            path: a file that libsndfile or FFmpeg knows.
            stream: which audio stream of a file with several (a stem.mp4 has five).
            downmix: whether more than two channels are folded down to stereo, by
                FFmpeg's rules for their layout.

        Raises:
            InputError: the file is empty, holds no audio or no such stream.
            OSError: there is no such file, or it cannot be read.
        """
        self.path = pathlib.Path(path)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(self.path.open("rb"))
            if not file.read(1):
                raise InputError(f"{self.path}: must be an audio file, but is empty")
            if not stream and _is_for_libsndfile(self.path, downmix):
                self._open_with_libsndfile(stack)
            else:  # the open file, for in a name FFmpeg may see a protocol
                self._open_with_ffmpeg(stack, file, stream, downmix)
            self._stack = stack.pop_all()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_) -> None:
        self._stack.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """The audio, once, in blocks of any length.

        Raises:
            InputError: the file is broken, truncated or without frames, or changes its
                rate or channels.
        """
        frames = 0
        for block in self._decoded():
            frames += len(block)
            yield block
        if self._is_cut(frames):
            raise InputError(
                f"{self.path}: must be a whole audio file, but is truncated: it ends "
                f"after {frames} frames ({frames / self.sample_rate_hz:.2f} s)"
            )
        if not frames:
            raise InputError(f"{self.path}: must hold audio, but has zero frames")

    def _open_with_libsndfile(self, stack: contextlib.ExitStack) -> None:
        # Not the open file: its callbacks into Python would swallow a Ctrl-C.
        sound = stack.enter_context(soundfile.SoundFile(os.fsencode(self.path)))
        self.sample_rate_hz, self.channels = sound.samplerate, sound.channels
        self.bit_depth = BIT_DEPTHS.get(sound.subtype, 16)
        self.duration_seconds = sound.frames / sound.samplerate
        tags = {name: getattr(sound, name) for name in TAGS}
        self.tags = {name: value for name, value in tags.items() if value}
        if any("\ufffd" in value for value in self.tags.values()):
            self.tags = _ffmpeg_tags(self.path)  # they are not UTF-8

        def decoded():
            try:
                while len(
                    block := sound.read(_BLOCK_FRAMES, "float32", always_2d=True)
                ):
                    yield block
            except soundfile.LibsndfileError as error:
                message = f"{self.path}: cannot be decoded: {error}"
                raise InputError(message) from error

        def is_cut(frames: int) -> bool:
            log = sound.extra_info
            ends_early = _promises_more(log) or "lacks an end-of-stream bit" in log
            return ends_early or frames < sound.frames

        self._decoded, self._is_cut = decoded, is_cut

    def _open_with_ffmpeg(
        self, stack: contextlib.ExitStack, file, stream: int, downmix: bool
    ) -> None:

        file.seek(0)
        with _ffmpeg_errors(self.path):
            container = stack.enter_context(_open_container(self.path, file))
            count = len(container.streams.audio)
            if not count:
                raise InputError(
                    f"{self.path}: must be an audio file, but has no audio"
                )
            if stream >= count:
                raise InputError(
                    f"{self.path}: must have audio stream {stream}, but has {count} of "
                    "them"
                )
            source = container.streams.audio[stream]
            self.sample_rate_hz, self.channels = source.rate, source.channels
            if not (self.sample_rate_hz and self.channels):
                raise InputError(
                    f"{self.path}: must be an audio file, but tells no sample rate"
                )
            self.bit_depth = 16
            self.duration_seconds = (container.duration or 0) / 1e6
            if source.duration:
                self.duration_seconds = float(source.duration * source.time_base)
            self.tags = _tags(container, source)
            layout = "stereo" if downmix and self.channels > 2 else None
            promised = _promised_seconds(self.path, container, source)

        def decoded():
            with _ffmpeg_errors(self.path):
                yield from self._ffmpeg_blocks(
                    container.decode(source), source.channels, layout
                )

        def is_cut(frames: int) -> bool:
            return frames < promised * self.sample_rate_hz - _CODEC_PADDING_FRAMES

        self._decoded, self._is_cut = decoded, is_cut
        if layout:
            self.channels = 2

    def _ffmpeg_blocks(
        self, decoded, channels: int, layout: str | None
    ) -> Iterator[np.ndarray]:
        import av

        to_planar_float = av.AudioResampler(format="fltp", layout=layout)
        expected, frames = (self.sample_rate_hz, channels), 0
        for frame in decoded:
            came = (frame.sample_rate, frame.layout.nb_channels)
            if came != expected:
                raise InputError(
                    f"{self.path}: must be of one rate and channel count, but changes "
                    f"at {frames / expected[0]:.2f} s from {expected[0]} Hz, "
                    f"{expected[1]} channels to {came[0]} Hz, {came[1]} channels"
                )
            frames += frame.samples
            for block in to_planar_float.resample(frame):
                yield np.ascontiguousarray(block.to_ndarray().T)


def _open_container(path: pathlib.Path, file):
    import av

    options = {
        # No protocols: a playlist must not open other files.
        "options": {"protocol_whitelist": "none"},
        "metadata_errors": "surrogateescape",
    }
    try:
        return av.open(file, **options)
    except av.InvalidDataError:
        if not _may_be_mp3(path):
            raise
        file.seek(0)  # of a few frames of mp3 alone FFmpeg does not see what they are
        return av.open(file, format="mp3", **options)


def _tags(container, source) -> dict[str, str]:
    """Tags named as in formats.TAGS; what is not UTF-8 is taken for Windows-1252."""
    told = {}
    for name, value in {**container.metadata, **source.metadata}.items():
        content = value.encode(errors="surrogateescape")
        try:
            told[name.lower()] = content.decode()
        except UnicodeDecodeError:
            told[name.lower()] = content.decode("cp1252", errors="replace")
    return {name: told[known] for name, known in TAGS.items() if told.get(known)}


def _ffmpeg_tags(path: pathlib.Path) -> dict[str, str]:
    import av

    try:
        with path.open("rb") as file, _open_container(path, file) as container:
            return _tags(container, container.streams.audio[0])
    except (av.FFmpegError, IndexError):
        return {}


def _may_be_mp3(path: pathlib.Path) -> bool:
    with path.open("rb") as file:
        head = file.read(3)
    return head == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


def _is_for_libsndfile(path: pathlib.Path, downmix: bool) -> bool:
    # libsndfile guesses the length of an mp3 without a Xing header from its first
    # frame's bit rate, and stops there; FFmpeg decodes to the end.
    if _may_be_mp3(path):
        return False
    try:
        info = soundfile.info(os.fsencode(path))
        if downmix and info.channels > 2:  # FFmpeg knows what the channels are
            return False
        return info.format != "MP3"
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless .raw
        return False


@contextlib.contextmanager
def _ffmpeg_errors(path: pathlib.Path) -> Iterator[None]:
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: must be an audio file, but cannot be decoded: {error.strerror}"
        ) from error


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
