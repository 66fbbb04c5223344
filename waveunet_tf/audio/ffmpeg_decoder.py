"""Decodes one audio stream of a file with FFmpeg, which PyAV carries."""

from __future__ import annotations

import contextlib
import pathlib
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from waveunet_tf.audio.formats import TAGS
from waveunet_tf.errors import InputError

# FFmpeg's AV_CODEC_PROP_LOSSY and AV_CODEC_PROP_LOSSLESS.
_LOSSY, _LOSSLESS = 2, 4
# The frames that a whole stream may lack of the length in its header: two AAC frames of
# an encoder's padding.
_CODEC_PADDING_FRAMES = 4096


class FFmpegDecoder:
    """A `decode.Decoder` of FFmpeg: for mp3, m4a, stem.mp4, video and others."""

    def __init__(
        self, path: pathlib.Path, file: BinaryIO, *, stream: int, downmix: bool
    ):
        """Opens an audio stream.

        Args:
            path: The file's name for errors. FFmpeg might read a protocol in it.
            file: The open file, which the caller closes.
            stream: The number of the audio stream.
            downmix: Whether more than two channels are folded down to stereo.

        Raises:
            InputError: The file is broken, or holds no audio or no such stream.
        """
        self._path = path
        with contextlib.ExitStack() as stack, _naming_errors(path):
            self._container = stack.enter_context(_open_container(path, file))
            self._source = source = self._audio_stream(stream)
            if source.codec_context is None:
                raise InputError(
                    f"{path}: must be an audio file, but its codec is unknown"
                )
            self.sample_rate_hz = source.rate
            self.bit_depth = _bit_depth(source.codec_context)
            self._file_channels = self.channels = source.channels
            if not (self.sample_rate_hz and self.channels):
                raise InputError(
                    f"{path}: must be an audio file, but tells no sample rate"
                )
            self._layout = None
            if downmix and self.channels > 2:
                self._layout, self.channels = "stereo", 2
            self.duration_seconds = (self._container.duration or 0) / 1e6
            if source.duration:
                self.duration_seconds = float(source.duration * source.time_base)
            self._promised_frames = self.sample_rate_hz * _promised_seconds(
                path, self._container, source
            )
            self.tags = _tags_of(self._container, source)
            stack.pop_all()

    def _audio_stream(self, number: int):
        streams = self._container.streams.audio
        if not streams:
            raise InputError(f"{self._path}: must be an audio file, but has no audio")
        if number >= len(streams):
            raise InputError(
                f"{self._path}: must have audio stream {number}, but has "
                f"{len(streams)} of them"
            )
        return streams[number]

    def close(self) -> None:
        """Closes the container, but not the file."""
        self._container.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the stream once, in blocks `(frames, channels)`.

        Raises:
            InputError: The stream is broken, or changes its rate or channels.
        """
        import av

        to_planar_float = av.AudioResampler(format="fltp", layout=self._layout)
        expected, frames = (self.sample_rate_hz, self._file_channels), 0
        with _naming_errors(self._path):
            for frame in self._frames():
                kind = (frame.sample_rate, frame.layout.nb_channels)
                if kind != expected:
                    raise InputError(
                        f"{self._path}: must be of one rate and channel count, but "
                        f"changes at {frames / expected[0]:.2f} s from {expected[0]} "
                        f"Hz, {expected[1]} channels to {kind[0]} Hz, {kind[1]} "
                        "channels"
                    )
                frames += frame.samples
                for block in to_planar_float.resample(frame):
                    yield np.ascontiguousarray(block.to_ndarray().T)

    def _frames(self) -> Iterator:
        import av

        # FFmpeg 9 and later skip the padding at an mp4's end.
        new = av.library_versions["libavformat"] >= (63,)
        skips_end = new and "mp4" in self._container.format.name
        for packet in self._container.demux(self._source):
            if skips_end:
                _keep_end(packet)
            yield from packet.decode()

    def is_cut(self, frames: int) -> bool:
        """Whether a stream of these frames is shorter than the header promises."""
        return frames < self._promised_frames - _CODEC_PADDING_FRAMES


def read_tags(path: pathlib.Path) -> dict[str, str]:
    """Reads a file's tags with FFmpeg; none where it cannot.

    Returns:
        Name, as in `TAGS`, → text.
    """
    import av

    try:
        with path.open("rb") as file, _open_container(path, file) as container:
            return _tags_of(container, container.streams.audio[0])
    except (av.FFmpegError, IndexError):
        return {}


def may_be_mp3(path: pathlib.Path) -> bool:
    """Whether a file begins as an mp3 does: with ID3 tags, or a frame's header."""
    with path.open("rb") as file:
        head = file.read(3)
    return head == b"ID3" or (head[:1] == b"\xff" and head[1:2] >= b"\xe0")


def _open_container(path: pathlib.Path, file: BinaryIO):
    import av

    # No protocols: a playlist must not open other files. `options` in place of
    # `container_options` would let PyAV before 19 crash on a container that shows no
    # stream when it is opened (mpg, flv).
    options = {"container_options": {"protocol_whitelist": "none"}}
    if int(av.__version__.split(".")[0]) < 19:  # Later ones always do this with tags.
        options["metadata_errors"] = "surrogateescape"
    file.seek(0)
    try:
        return av.open(file, **options)
    except av.InvalidDataError:
        if not may_be_mp3(path):
            raise
        # FFmpeg does not recognize a few frames of mp3 alone.
        file.seek(0)
        return av.open(file, format="mp3", **options)


def _keep_end(packet) -> None:
    """Lets a packet skip no frames at its end, as FFmpeg did before version 9.

    The lengths of MUSDB18's tracks, and so its published scores, have this padding.
    """
    if not packet.has_sidedata("skip_samples"):
        return
    skip = packet.get_sidedata("skip_samples")
    content = bytearray(skip)  # Frames to skip at the start, and at the end.
    content[4:8] = bytes(4)
    skip.update(bytes(content))
    packet.set_sidedata(skip)


@contextlib.contextmanager
def _naming_errors(path: pathlib.Path) -> Iterator[None]:
    """Turns FFmpeg's errors into errors that name the file."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise InputError(
            f"{path}: must be an audio file, but cannot be decoded: {error.strerror}"
        ) from error


def _bit_depth(codec_context) -> int:
    """Returns the bit depth of a stream: 16, 24, or 32, which is float.

    FFmpeg decodes 24 bits of a lossless codec into 32. A lossy codec has none: 16.
    """
    codec, sample = codec_context.codec, codec_context.format
    if uncompressed := re.match(r"pcm_[fsu](\d+)", codec.name):
        bits = int(uncompressed[1])
    elif sample is None or not codec.properties & _LOSSLESS:  # None: a broken header
        return 16
    elif sample.name.startswith(("flt", "dbl")):  # of a codec that may also be lossy
        return 16 if codec.properties & _LOSSY else 32
    else:
        bits = min(sample.bits, 24)
    return next(depth for depth in (16, 24, 32) if bits <= depth or depth == 32)


def _tags_of(container, source) -> dict[str, str]:
    """Returns the tags by their names in `TAGS`.

    Text that is not UTF-8 is taken for Windows-1252.
    """
    found = {}
    for name, value in {**container.metadata, **source.metadata}.items():
        content = value.encode(errors="surrogateescape")
        try:
            found[name.lower()] = content.decode()
        except UnicodeDecodeError:
            found[name.lower()] = content.decode("cp1252", errors="replace")
    return {name: found[theirs] for name, theirs in TAGS.items() if found.get(theirs)}


def _promised_seconds(path: pathlib.Path, container, source) -> float:
    """Returns the length in a header; 0 where FFmpeg guesses it from the bit rate."""
    name = container.format.name
    if "matroska" in name:
        only_audio = len(container.streams) == len(container.streams.audio)
        return (container.duration or 0) / 1e6 if only_audio else 0.0
    if "mp4" not in name and not (name == "mp3" and _has_xing(path)):
        return 0.0
    return float((source.duration or 0) * source.time_base)


def _has_xing(path: pathlib.Path) -> bool:
    """Whether an mp3 begins with a Xing or Info frame, which holds its length."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # The tags' size is in 4 bytes of 7 bits.
            tag_bytes = sum(byte << 7 * place for place, byte in enumerate(head[:5:-1]))
            file.seek(10 + tag_bytes)
        else:
            file.seek(0)
        first_frame = file.read(64)
    return b"Xing" in first_frame or b"Info" in first_frame
