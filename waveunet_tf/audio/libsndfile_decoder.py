"""Decodes a file with libsndfile, which soundfile carries."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

import numpy as np
import soundfile

from waveunet_tf.audio import ffmpeg_decoder
from waveunet_tf.audio.formats import BIT_DEPTHS, TAGS
from waveunet_tf.errors import InputError

_BLOCK_FRAMES = 65536
# What libsndfile notes of an Ogg file whose last page is missing or cut.
_CUT_OGG = ("lacks an end-of-stream bit", "without an End-Of-Stream flag")


class LibsndfileDecoder:
    """A `decode.Decoder` of libsndfile: for wav, aiff, flac, ogg and others."""

    def __init__(self, path: pathlib.Path):
        """Opens a file, which must be one that `can_decode` accepts."""
        self._path = path
        # By name: the callbacks of an open file would swallow a Ctrl-C.
        self._sound = soundfile.SoundFile(os.fsencode(path))
        self.sample_rate_hz = self._sound.samplerate
        self.channels = self._sound.channels
        self.bit_depth = BIT_DEPTHS.get(self._sound.subtype, 16)
        self.duration_seconds = self._sound.frames / self.sample_rate_hz
        tags = {name: getattr(self._sound, name) for name in TAGS}
        self.tags = {name: value for name, value in tags.items() if value}
        if any("\ufffd" in value for value in self.tags.values()):
            self.tags = ffmpeg_decoder.read_tags(path)  # They are not UTF-8.

    def close(self) -> None:
        """Closes the file."""
        self._sound.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the audio once, in blocks `(frames, channels)`.

        Raises:
            InputError: The file is broken.
        """
        while True:
            try:
                block = self._sound.read(_BLOCK_FRAMES, "float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                message = f"{self._path}: cannot be decoded: {error}"
                raise InputError(message) from error
            if not len(block):
                return
            yield block

    def is_cut(self, frames: int) -> bool:
        """Whether the file ended before the length that its header promises."""
        log = self._sound.extra_info
        ends_early = _promises_more(log) or any(words in log for words in _CUT_OGG)
        return ends_early or frames < self._sound.frames


def can_decode(path: pathlib.Path, *, downmix: bool) -> bool:
    """Whether libsndfile decodes a file to its end, and as it is wished.

    Args:
        path: The file.
        downmix: Whether more than two channels are to be folded down to stereo.
            libsndfile does not know which channel stands where.
    """
    # libsndfile guesses the length of an mp3 without a Xing header from the bit rate of
    # its first frame, and stops there.
    if ffmpeg_decoder.may_be_mp3(path):
        return False
    try:
        info = soundfile.info(os.fsencode(path))
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless .raw
        return False
    return info.format != "MP3" and not (downmix and info.channels > 2)


def _promises_more(log: str) -> bool:
    """Whether a header promised more than the file holds, by libsndfile's log.

    libsndfile reads a truncated file to its end without an error. Sizes of 2 GiB and
    more are the placeholders of a writer into a pipe; a few bytes are sloppiness.
    """
    sizes = re.findall(
        r"^ *(?:data|data size|ssnd|riff|riff size) *: (\d+) \(should be (\d+)\)",
        log,
        re.IGNORECASE | re.MULTILINE,
    )
    return any(int(held) + 16 < int(promised) < 2**31 for promised, held in sizes)
