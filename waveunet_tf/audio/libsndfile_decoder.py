"""Decodes a file with libsndfile, which soundfile carries."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator

import numpy as np
import soundfile

from waveunet_tf.audio import decoder_process, ffmpeg_decoder
from waveunet_tf.audio.formats import BIT_DEPTHS, TAGS
from waveunet_tf.audio.ogg_end import has_end
from waveunet_tf.audio.sample_chunk import find_samples
from waveunet_tf.errors import InputError

_BLOCK_FRAMES = 65536
_MOST_FRAMES = 2**62
_SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}
_W64_PADDING = 8  # bytes, of which the length of a chunk is a multiple
# What libsndfile notes of an Ogg file whose last page is missing or cut.
_CUT_OGG = ("lacks an end-of-stream bit", "without an End-Of-Stream flag")
# Its note of a text of 2 KiB or more in a wav, with which it ends the tags.
_LONG_TEXT = "(too big)"
# Its note of foreign bytes behind the last page, and of the first part of a page.
_BEHIND_OGG = "Junk after the last page"


class LibsndfileDecoder:
    """A `decode.Decoder` of libsndfile: for wav, aiff, flac, ogg and others."""

    def __init__(self, path: pathlib.Path):
        """Opens a file, which must be one that `can_decode` accepts."""
        self._path = path
        with path.open("rb") as file:
            self._samples = find_samples(file)
            self._file_bytes = file.seek(0, os.SEEK_END)
        self.notes = self._samples.notes if self._samples else []
        # By its number: the callbacks of an open file would swallow a Ctrl-C.
        self._number = os.open(path, os.O_RDONLY)
        try:
            self._sound = soundfile.SoundFile(self._number, closefd=False)
        except BaseException:
            os.close(self._number)
            raise
        self.sample_rate_hz = self._sound.samplerate
        self.channels = self._sound.channels
        self.bit_depth = BIT_DEPTHS.get(self._sound.subtype, 16)
        self.duration_seconds = self._sound.frames / self.sample_rate_hz
        tags = {name: getattr(self._sound, name) for name in TAGS}
        self.tags = {name: value for name, value in tags.items() if value}
        is_cut = _LONG_TEXT in self._sound.extra_info
        # "�" stands for what is not UTF-8.
        if is_cut or any("\ufffd" in value for value in self.tags.values()):
            apart = decoder_process.read_tags_apart(path)
            self.tags = ffmpeg_decoder.read_tags(path) if apart is None else apart

    def close(self) -> None:
        """Closes the file."""
        if not self._sound.closed:
            self._sound.close()
            os.close(self._number)

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
        if self._samples:
            return self._samples.is_cut or frames < self._sound.frames
        log = self._sound.extra_info
        if any(words in log for words in _CUT_OGG) or frames < self._sound.frames:
            return True
        if _BEHIND_OGG not in log:
            return False
        with self._path.open("rb") as file:
            return not has_end(file)

    @property
    def unread_bytes(self) -> int:
        """What of the file libsndfile has not looked at so far, in bytes."""
        return self._file_bytes - os.lseek(self._number, 0, os.SEEK_CUR)


def can_decode(path: pathlib.Path, *, downmix: bool) -> bool:
    """Whether libsndfile decodes a file to its end, and as it is wished.

    Args:
        path: The file.
        downmix: Whether more than two channels are to be folded down to stereo.
            libsndfile does not know which channel stands where.

    Returns:
        Not of an mp3, whose length libsndfile guesses also within a wav, nor of a voc,
        of which it takes the headers of later blocks for samples, nor of a w64 with
        more behind its samples, nor where a header tells no length, or too short a one.
    """
    # libsndfile guesses the length of an mp3 without a Xing header from the bit rate of
    # its first frame, and stops there.
    if ffmpeg_decoder.may_be_mp3(path):
        return False
    # By its number: of a name libsndfile takes the suffix for a format, and searches an
    # .mp3 for frames, with messages on stderr.
    number = os.open(path, os.O_RDONLY)
    try:
        with soundfile.SoundFile(number, closefd=False) as info:
            log = info.extra_info
    except (soundfile.LibsndfileError, TypeError):  # TypeError: headerless
        return False
    finally:
        os.close(number)
    if info.format in ("MP3", "VOC") or info.subtype.startswith("MPEG"):
        return False
    if info.frames > _MOST_FRAMES or (downmix and info.channels > 2):
        return False  # A flac of unknown length has 2⁶³ - 1.
    with path.open("rb") as file:
        samples = find_samples(file)
        # libsndfile takes damage, and zeros behind the last page, for a cut.
        if any(words in log for words in _CUT_OGG) and has_end(file):
            return False
    if not (samples and samples.is_open):
        # Of a w64 libsndfile takes for samples whatever follows them.
        ends = not samples or samples.held_bytes - samples.promised_bytes < _W64_PADDING
        return info.format != "W64" or ends
    # Of some formats it looks for itself how many samples there are.
    sample_bytes = _SAMPLE_BYTES.get(info.subtype, 0)
    seen_bytes = info.frames * info.channels * sample_bytes
    sees_all = seen_bytes + info.channels * sample_bytes > samples.held_bytes
    return info.frames > 0 and (sees_all or not samples.is_longer_than_told)
