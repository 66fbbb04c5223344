"""Lets FFmpeg decode in a process of its own: one that crashes or hangs ends alone.

with decoding_apart():
    with AudioReader("song.mp3") as reader:  # FFmpeg runs in the other process.
        ...
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from waveunet_tf.audio.decoder_child import DecoderChild, Talk
from waveunet_tf.errors import InputError
from waveunet_tf.system import child_python

# The blocks that a decoder is asked for ahead of their use.
_AHEAD = 4

_current: contextvars.ContextVar[DecoderProcess | None] = contextvars.ContextVar(
    "decoder_process", default=None
)
# Processes that wait for the next body which keeps its own.
_kept: list[DecoderProcess] = []


@contextlib.contextmanager
def decoding_apart(*, keep: bool = False) -> Iterator[None]:
    """Lets FFmpeg decode in another process what AudioReaders open in the body.

    There is one such process for the body, which starts with the first file. Within
    another such body it is that one's.

    Args:
        keep: Whether the process stays for later bodies that keep theirs, whatever
            their thread: it then ends with this process, for whose jobs it is.
    """
    if _current.get() is not None:
        yield
        return
    process = None
    if keep:
        with contextlib.suppress(IndexError):
            process = _kept.pop()
    process = process or DecoderProcess()
    token = _current.set(process)
    try:
        yield
    finally:
        _current.reset(token)
        if keep:
            _kept.append(process)
        else:
            process.close()


def open_apart(path: pathlib.Path, **options: Any) -> RemoteDecoder | None:
    """Opens a file in the other process.

    Args:
        path: The file.
        options: The other arguments of FFmpegDecoder.

    Returns:
        A `decode.Decoder`; None where the file is to be decoded in this process.

    Raises:
        InputError: FFmpeg cannot open the file, crashed or is stuck.
        OSError: The file cannot be read.
    """
    talk = _talk_about(path)
    return RemoteDecoder(talk, options) if talk else None


def read_tags_apart(path: pathlib.Path) -> dict[str, str] | None:
    """Reads a file's tags in the other process, if there is one.

    Returns:
        What ffmpeg_decoder.read_tags returns, nothing where FFmpeg crashed; None where
        the file is to be read in this process.
    """
    talk = _talk_about(path)
    if talk is None:
        return None
    talk.ask("tags", path=os.fspath(path), folder=_folder())
    try:
        return talk.answer()["tags"]
    except InputError:
        return {}


def _talk_about(path: pathlib.Path) -> Talk | None:
    process = _current.get()
    # Names such as /dev/stdin mean another file in another process.
    if process is None or os.path.abspath(path).startswith(("/dev/", "/proc/")):
        return None
    child = process.child()
    return Talk(child, path) if child else None


def _folder() -> str | None:
    with contextlib.suppress(OSError):  # It may have been removed.
        return os.getcwd()
    return None


class DecoderProcess:
    """A process that decodes files, and that is started again after a crash."""

    def __init__(self):
        """Starts nothing yet."""
        self._child: DecoderChild | None = None
        self._may_start = child_python.can_start()

    def child(self) -> DecoderChild | None:
        """Returns the process, started if need be; None if that is impossible here."""
        if self._child is not None and not self._child.is_lost:
            return self._child
        self._child = None
        if self._may_start:
            try:
                self._child = DecoderChild()
            except (OSError, InputError) as error:
                logging.debug("decoding in this process: %s", error)
                self._may_start = False
        return self._child

    def close(self) -> None:
        """Ends the process."""
        if self._child is not None:
            self._child.close()
        self._child = None


class RemoteDecoder:
    """A `decode.Decoder` of a file that FFmpeg has open in another process."""

    def __init__(self, talk: Talk, options: dict[str, Any]):
        """Opens a file.

        Args:
            talk: A new talk about the file.
            options: The other arguments of FFmpegDecoder.

        Raises:
            InputError, OSError: See `open_apart`.
        """
        self._talk, self._is_cut = talk, False
        path = os.fspath(talk.path)
        talk.ask("open", path=path, options=options, folder=_folder())
        facts = talk.answer()["facts"]
        self.sample_rate_hz: int = facts["sample_rate_hz"]
        self.channels: int = facts["channels"]
        self.bit_depth: int = facts["bit_depth"]
        self.duration_seconds: float = facts["duration_seconds"]
        self.tags: dict[str, str] = facts["tags"]
        self.notes: list[str] = facts["notes"]

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the audio once, in blocks `(frames, channels)`.

        Raises:
            InputError: The file is broken; or FFmpeg crashed, or is stuck.
        """
        for _ in range(_AHEAD):
            self._talk.ask("next")
        try:
            while (answer := self._talk.answer())["frames"]:
                self._talk.ask("next")
                yield answer["block"]
        except GeneratorExit:  # A part of the song was enough.
            self._talk.ask("stop")
            with contextlib.suppress(Exception):  # Of frames that nobody wants.
                while "notes" not in (answer := self._talk.answer()):
                    pass
                self.notes = answer["notes"]
            raise
        self.notes, self._is_cut = answer["notes"], answer["is_cut"]

    def is_cut(self, frames: int) -> bool:
        """Whether a file that ended after these frames lacks some of its promise."""
        return self._is_cut

    def close(self) -> None:
        """Closes the file."""
        self._talk.end()
