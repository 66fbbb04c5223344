"""Chooses one of a container's audio tracks, and tells how long it should be."""

from __future__ import annotations

import os
import pathlib
import re
from typing import BinaryIO, NamedTuple

from waveunet_tf.audio.packet_damage import id3_bytes
from waveunet_tf.audio.sample_chunk import SLOPPY_BYTES, is_placeholder
from waveunet_tf.errors import InputError

# The containers whose header has the exact length of their only stream.
_EXACT = {"flac", "tta", "wv", "ape", "tak", "mpc", "mpc8", "dsf"}
# FFmpeg's own bits of a stream's disposition: PyAV tells their names otherwise in each
# version, and not at all on some versions of Python.
_DEFAULT, _ATTACHED_PICTURE = 0x1, 0x400
_MAX_BOXES = 20_000
_OTHER_PURPOSES = 0x8 | 0x100 | 0x20  # commentary, for the visually impaired, karaoke


def choose_track(path: pathlib.Path, container, number: int | None):
    """Chooses an audio track.

    Args:
        path: The file's name for errors.
        container: The open container of PyAV.
        number: The track, from 0 on; None: the default one, as the container says, or
            else the first that is no commentary.

    Returns:
        The stream of PyAV.

    Raises:
        InputError: There is no audio, or no such track.
    """
    tracks = container.streams.audio
    if not tracks:
        raise InputError(f"{path}: must be an audio file, but has no audio")
    if number is None:
        return min(tracks, key=_rank)
    if not 0 <= number < len(tracks):
        raise InputError(
            f"{path}: must have audio track {number + 1}, but has {len(tracks)}: "
            + ", ".join(_described(place, each) for place, each in enumerate(tracks))
        )
    return tracks[number]


def _rank(track) -> int:
    """0 for the default track, 1 for others, 2 for those of another purpose."""
    if _purposes(track) & _DEFAULT:
        return 0
    return 2 if _purposes(track) & _OTHER_PURPOSES else 1


def _purposes(stream) -> int:
    return stream.disposition.value


def _described(place: int, track) -> str:
    """Describes a track in a few words: its number, language and title."""
    tags = {name.lower(): value for name, value in track.metadata.items()}
    title = tags.get("title") or tags.get("handler_name", "")
    words = [tags.get("language", ""), " ".join(title.split())]
    if _rank(track) == 0:
        words.append("default")
    told = ", ".join(word for word in words if word and word != "SoundHandler")
    return f"{place + 1} ({told})" if told else f"{place + 1}"


def start_of_others(container, track) -> float | None:
    """Returns when the first of the other streams begins, in seconds; None: no other.

    Pictures of an album's cover do not count.
    """
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in container.streams
        if stream is not track
        and stream.index != track.index
        and stream.type in ("video", "audio")
        and stream.start_time is not None
        and not _purposes(stream) & _ATTACHED_PICTURE
    ]
    return min(starts, default=None)


class Promise(NamedTuple):
    """The length that a header promises.

    Attributes:
        end_seconds: When the track ends; 0: unknown.
        is_on_clock: Whether that is a time of the container's clock, which need not
            begin at zero; else it counts from the track's start.
        file_bytes: The least bytes of a file that is whole; 0: unknown.
    """

    end_seconds: float = 0.0
    is_on_clock: bool = False
    file_bytes: int = 0


def promise_of(container, track, file: BinaryIO) -> Promise:
    """Finds the length in a header; none where FFmpeg guesses it from the bit rate.

    Args:
        container: The open container of PyAV.
        track: The audio track.
        file: The file, whose position changes.
    """
    name = container.format.name
    seconds = float((track.duration or 0) * track.time_base)
    if "matroska" in name:
        return Promise(_matroska_end(container, track), is_on_clock=True)
    if "mp4" in name:
        start = float((track.start_time or 0) * track.time_base)
        return Promise(start + seconds if seconds else 0.0, is_on_clock=True)
    if name in _EXACT or name == "ogg":  # by the time of the last page of Ogg
        return Promise(seconds)
    if name == "avi":
        return Promise(file_bytes=max(_riff_bytes(file) - SLOPPY_BYTES, 0))
    return _xing_promise(file, track.rate) if name == "mp3" else Promise()


def _riff_bytes(file: BinaryIO) -> int:
    """Returns the bytes that the first header of an AVI promises; 0: unknown."""
    file.seek(4)
    size = int.from_bytes(file.read(4), "little")
    return 0 if is_placeholder(size) else size + 8


def joined_bytes(container, file: BinaryIO) -> int:
    """Returns the bytes from where a second recording begins in an mp4; 0: nowhere.

    FFmpeg reads the first alone.
    """
    if "mp4" not in container.format.name:
        return 0
    end, place = file.seek(0, os.SEEK_END), 0
    for number in range(_MAX_BOXES):
        file.seek(place)
        header = file.read(16)
        size, name = int.from_bytes(header[:4], "big"), header[4:8]
        if number and name == b"ftyp":
            return end - place
        if size == 1:
            size = int.from_bytes(header[8:], "big")
        place += size
        if size < 8 or place >= end:
            break
    return 0


def _matroska_end(container, track) -> float:
    """Returns when a track of matroska ends; 0: unknown."""
    whole = (container.duration or 0) / 1e6
    if len(container.streams) == len(container.streams.audio) == 1:
        return whole
    told = re.fullmatch(
        r"(\d+):(\d+):(\d+(?:\.\d+)?)",
        track.metadata.get("DURATION", "") or track.metadata.get("DURATION-eng", ""),
    )
    if not told:
        return 0.0
    hours, minutes, seconds = map(float, told.groups())
    return min(whole, hours * 3600 + minutes * 60 + seconds)


def _xing_promise(file: BinaryIO, rate_hz: int) -> Promise:
    """Returns what the Xing or Info frame at the beginning of an mp3 promises.

    FFmpeg's own length is a guess where the file is longer than that frame says.
    """
    file.seek(0)
    start = id3_bytes(file.read(10))
    file.seek(start)
    first_frame = file.read(64)
    place = max(first_frame.find(b"Xing"), first_frame.find(b"Info"))
    if place < 0:
        return Promise()
    flags, *numbers = (
        int.from_bytes(first_frame[place + i : place + i + 4], "big")
        for i in (4, 8, 12)
    )
    frames = numbers.pop(0) if flags & 1 else 0
    file_bytes = start + numbers.pop(0) if flags & 2 else 0
    # MPEG-2 and 2.5, which have lower rates, have half as many samples in a frame.
    samples = 1152 if first_frame[1] & 0x08 else 576
    return Promise(frames * samples / rate_hz, file_bytes=file_bytes)
