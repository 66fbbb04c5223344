"""Decodes one audio stream of a file with FFmpeg, which PyAV carries."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from waveunet_tf.audio.audio_tracks import (
    choose_track,
    joined_bytes,
    promise_of,
    start_of_others,
)
from waveunet_tf.audio.formats import TAGS
from waveunet_tf.audio.frame_blocks import FrameBlocks
from waveunet_tf.audio.ogg_end import has_end
from waveunet_tf.audio.packet_damage import PacketDamage
from waveunet_tf.audio.sample_chunk import MendedFile, find_samples, left_out_behind
from waveunet_tf.audio.timeline import Timeline
from waveunet_tf.errors import InputError

# FFmpeg's AV_CODEC_PROP_LOSSY and AV_CODEC_PROP_LOSSLESS.
_LOSSY, _LOSSLESS = 2, 4
# The frames that a whole stream may lack of the length in its header: two AAC frames of
# an encoder's padding.
_CODEC_PADDING_FRAMES = 4096
# What a stream may lack because of damaged packets, whose number nobody knows.
_DAMAGED_SHARE, _DAMAGED_SECONDS = 0.05, 1.0
# Packets in a row without anything around them, so that foreign bytes become packets.
# FFmpeg counts the packets for their timestamps.
_WITHOUT_CLOCK = {"mp3", "aac", "ac3", "eac3", "dts", "truehd", "loas"}
# A broadcast ends anywhere.
_UNFRAMED = {*_WITHOUT_CLOCK, "mpegts", "mpeg"}
# Their headers tell a length, but nobody relies on it.
_TELLING_LENGTH = {"flv", "rm"}
_UNTOLD_SHARE, _UNTOLD_SECONDS = 0.02, 0.5
_SILENT_FRAMES = 65536


class FFmpegDecoder:
    """A `decode.Decoder` of FFmpeg: for mp3, m4a, stem.mp4, video and others.

    What cannot be decoded is left out and noted. Silence stands where the container's
    timestamps leave a gap, or where its picture begins before the audio.
    """

    def __init__(
        self, path: pathlib.Path, file: BinaryIO, *, stream: int | None, downmix: bool
    ):
        """Opens an audio stream.

        Args:
            path: The file's name for errors. FFmpeg might read a protocol in it.
            file: The open file, which the caller closes.
            stream: The number of the audio stream; None: the default one.
            downmix: Whether more than two channels are folded down to stereo.

        Raises:
            InputError: The file is broken, or holds no audio or no such stream.
        """
        self._path = path
        self.notes: list[str] = []
        self._samples = find_samples(file)
        if self._samples and (self._samples.is_open or self._samples.joined_bytes):
            file = MendedFile(file, self._samples)
        with contextlib.ExitStack() as stack, _naming_errors(path):
            self._container = stack.enter_context(_open_container(path, file))
            self._source = source = choose_track(path, self._container, stream)
            if source.codec_context is None:
                raise InputError(
                    f"{path}: must be an audio file, but its codec is unknown"
                )
            self.sample_rate_hz = source.rate
            self.bit_depth = _bit_depth(source.codec_context)
            self.channels = source.channels
            if not (self.sample_rate_hz and self.channels):
                raise InputError(
                    f"{path}: must be an audio file, but tells no sample rate"
                )
            self._layout = None
            if downmix and self.channels > 2:
                self._layout, self.channels = "stereo", 2
            self.duration_seconds = (self._container.duration or 0) / 1e6
            others_start = start_of_others(self._container, source)
            self._timeline = Timeline(self.sample_rate_hz, others_start)
            if source.duration:
                self.duration_seconds = float(source.duration * source.time_base)
                if others_start is not None and source.start_time is not None:
                    start = float(source.start_time * source.time_base)
                    self.duration_seconds += max(start - others_start, 0.0)
            position = file.tell()
            self._promise = promise_of(self._container, source, file)
            self._joined_bytes = joined_bytes(self._container, file)
            name = self._container.format.name
            self._is_framed, self._has_end = name not in _UNFRAMED, True
            self._has_no_clock = name in _WITHOUT_CLOCK
            if name == "ogg":
                self._has_end = has_end(file)
            self._file_bytes = file.seek(0, os.SEEK_END)
            file.seek(position)
            self.tags = _tags_of(self._container, source)
            self._damage, self._ended_in_error = PacketDamage(), False
            self._ends_in_part, self._told_seconds = False, 0.0
            if name in _TELLING_LENGTH:
                self._told_seconds = self.duration_seconds
            stack.pop_all()

    def close(self) -> None:
        """Closes the container, but not the file."""
        self._container.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the stream once, in blocks `(frames, channels)`.

        Raises:
            InputError: The stream is broken, or its samples and timestamps disagree.
        """
        blocks = FrameBlocks(self.sample_rate_hz, self.channels, self._layout)
        timeline, damage = self._timeline, self._damage
        try:
            with _naming_errors(self._path):
                for frame in self._frames():
                    seconds = frame.pts
                    duration = frame.samples / frame.sample_rate
                    if self._has_no_clock:
                        seconds = timeline.next_seconds + damage.pending * duration
                    elif seconds is not None:
                        seconds *= self._clock_seconds
                    silence = timeline.place(seconds, duration, damage.pending > 0)
                    if silence:
                        yield from blocks.finish()
                        yield from _silence(silence, self.channels)
                    if ready := blocks.push(frame):
                        yield from ready
                yield from blocks.finish()
        finally:
            self._note(blocks)
        self._check()

    def _frames(self) -> Iterator:
        """Decodes the frames; notes packets that cannot be decoded."""
        import av

        self._clock_seconds = float(self._source.time_base)
        # FFmpeg 9 and later skip the padding at an mp4's end.
        new = av.library_versions["libavformat"] >= (63,)
        skips_end = new and "mp4" in self._container.format.name
        damage, packets = self._damage, self._container.demux(self._source)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                self._ended_in_error, damage.error = True, error
                return
            if packet.size:
                self._ends_in_part = packet.is_corrupt
            if skips_end:
                _keep_end(packet)
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                damage.refused(packet, error, self._timeline.given_seconds)
                continue
            yield from frames
            if frames and packet.size:  # else what the decoder held back to the end
                damage.good += 1
                if damage.pending:
                    damage.settle()

    def _note(self, blocks: FrameBlocks) -> None:
        """Notes what a user should know of what was decoded so far."""
        timeline = self._timeline
        self.notes = [*self._samples.notes] if self._samples else []
        self.notes += self._damage.notes()
        if self._joined_bytes:
            self.notes.append(left_out_behind(self._joined_bytes))
        if self._ended_in_error:
            self.notes.append("what is behind its last packet cannot be read")
        if timeline.gaps:
            start, length = timeline.gaps[0]
            more = len(timeline.gaps) - 1
            self.notes.append(
                f"{length:.2f} s of silence stand at {start:.2f} s, where audio is "
                "missing" + (f", and {more} more gaps follow" if more else "")
            )
        told, given = self._told_seconds, timeline.given_seconds
        if told - given > max(_UNTOLD_SHARE * told, _UNTOLD_SECONDS):
            self.notes.append(
                f"its header tells of {told:.2f} s, but only {given:.2f} s follow"
            )
        for seconds, old, new in blocks.changes[:1]:
            self.notes.append(
                f"changes at {seconds:.2f} s from {old[0]} Hz, {old[1]} channels to "
                f"{new[0]} Hz, {new[1]} channels; all of it gets the first"
            )

    def _check(self) -> None:
        """Requires that the stream was decoded, and agrees with its timestamps.

        Raises:
            InputError: It was not, or does not.
        """
        if self._damage.is_hopeless:
            reason = getattr(self._damage.error, "strerror", self._damage.error)
            raise InputError(
                f"{self._path}: must be an audio file, but cannot be decoded: {reason}"
            )
        if both := self._timeline.disagreement():
            raise InputError(
                f"{self._path}: its samples must last as long as its timestamps say, "
                f"but {self._source.codec_context.name} decodes to {both[0]:.2f} s "
                f"where they say {both[1]:.2f} s"
            )

    def is_cut(self, frames: int) -> bool:
        """Whether a stream of these frames is shorter than its container promises."""
        if not self._has_end or (self._samples and self._samples.is_cut):
            return True
        promise, allowed = self._promise, _CODEC_PADDING_FRAMES
        if not promise.end_seconds:
            if self._samples:
                return False
            if self._is_framed:
                ends_within = self._ends_in_part or self._ended_in_error
                lacks_bytes = self._file_bytes < promise.file_bytes
                return ends_within or lacks_bytes or self._damage.pending > 0
            return self._has_no_clock and self._damage.ends_in_packet
        if self._damage.places:  # Damage has left something out, and was told.
            if 0 < promise.file_bytes <= self._file_bytes:
                return False
            seconds = min(_DAMAGED_SHARE * promise.end_seconds, _DAMAGED_SECONDS)
            allowed += seconds * self.sample_rate_hz
        seconds = promise.end_seconds
        if promise.is_on_clock:
            seconds -= self._timeline.origin_seconds or 0.0
        return frames < seconds * self.sample_rate_hz - allowed


def _silence(frames: int, channels: int) -> Iterator[np.ndarray]:
    """Yields zeros `(frames, channels)`, in blocks."""
    for start in range(0, frames, _SILENT_FRAMES):
        yield np.zeros((min(_SILENT_FRAMES, frames - start), channels), np.float32)


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
