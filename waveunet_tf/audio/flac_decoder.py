"""Decodes flac with libsndfile, and with FFmpeg from where libsndfile stops."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from waveunet_tf.audio.ffmpeg_decoder import FFmpegDecoder
from waveunet_tf.audio.libsndfile_decoder import LibsndfileDecoder
from waveunet_tf.errors import InputError

# A tag with a picture may follow a flac; more than this is looked at.
_TAG_BYTES = 16384


def is_flac(file: BinaryIO) -> bool:
    """Whether an open file, whose position changes, is flac."""
    file.seek(0)
    return file.read(4) == b"fLaC"


class FlacDecoder(LibsndfileDecoder):
    """A `decode.Decoder` of flac that may be damaged, or longer than its header says.

    libsndfile stops at a damaged frame, and at the length in the header. FFmpeg decodes
    all frames that are there. Both give the same samples, so the second goes on exactly
    where the first stops.
    """

    def __init__(self, path: pathlib.Path, file: BinaryIO):
        """Opens a file.

        Args:
            path: The file, which `libsndfile_decoder.can_decode` accepts.
            file: The same file, open, which the caller closes.
        """
        super().__init__(path)
        self._file = file
        self._second: FFmpegDecoder | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the audio once, in blocks `(frames, channels)`.

        Raises:
            InputError: No frame can be decoded.
        """
        frames, reason = 0, ""
        try:
            for block in super().blocks():
                frames += len(block)
                yield block
        except InputError:
            at_seconds = frames / self.sample_rate_hz
            reason = f"is damaged near {at_seconds:.2f} s; what can be decoded is kept"
        if not reason:
            if self.unread_bytes <= _TAG_BYTES:
                return
            reason = "is longer than its header says; all of it is read"
        yield from self._rest(frames, reason)

    def _rest(self, frames: int, reason: str) -> Iterator[np.ndarray]:
        """Yields what FFmpeg decodes after so many frames."""
        self._second = FFmpegDecoder(self._path, self._file, stream=0, downmix=False)
        passed = given = 0
        try:
            for block in self._second.blocks():
                rest = block[max(frames - passed, 0) :]
                passed += len(block)
                if len(rest):
                    given += len(rest)
                    yield rest
        finally:
            self.notes = [*([reason] if given else []), *self._second.notes]

    def is_cut(self, frames: int) -> bool:
        """Whether the file ended before the length that its header promises."""
        if self._second:
            return self._second.is_cut(frames)
        return super().is_cut(frames)

    def close(self) -> None:
        """Closes what the decoders have opened, but not the file."""
        super().close()
        if self._second:
            self._second.close()
