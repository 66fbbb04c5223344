"""Audio files as streams of float32 blocks `(frames, channels)`."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from absl import logging

from waveunet_tf.audio import decoder_process, libsndfile_decoder
from waveunet_tf.audio.chained_ogg import ChainedOggDecoder, find_links
from waveunet_tf.audio.ffmpeg_decoder import FFmpegDecoder
from waveunet_tf.audio.flac_decoder import FlacDecoder, is_flac
from waveunet_tf.audio.libsndfile_decoder import LibsndfileDecoder
from waveunet_tf.errors import InputError

# Music has higher rates than the lower one; a header that tells less is broken, and a
# second of it would become hours at a network's rate.
_RATES_HZ = (1000, 100_000_000)


class Decoder(Protocol):
    """What a library knows of an open audio file, and how it decodes it.

    Attributes:
        sample_rate_hz: The sample rate in Hz.
        channels: The number of channels of the blocks.
        bit_depth: 16, 24, or 32, which is float; 16 of lossy formats.
        duration_seconds: The length that the header tells or guesses; 0: unknown.
        tags: The tags of formats.TAGS that the file has.
        notes: What a user should know of a damaged file, each a part of a line; whole
            once `blocks` has ended.
    """

    sample_rate_hz: int
    channels: int
    bit_depth: int
    duration_seconds: float
    tags: dict[str, str]
    notes: list[str]

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the audio once, in blocks `(frames, channels)` of any length.

        Raises:
            InputError: The file is broken.
        """

    def is_cut(self, frames: int) -> bool:
        """Whether a file that ended after these frames lacks some of its promise."""

    def close(self) -> None:
        """Closes what the decoder has opened."""


class AudioReader:
    """An open audio file; a context manager.

    libsndfile decodes the formats that it knows well (wav, aiff, flac, ogg, opus, …),
    FFmpeg all others (mp3, m4a, mp4, stem.mp4, video, …).

    Attributes:
        path: The file.
        sample_rate_hz: The sample rate in Hz.
        channels: The number of channels of the blocks.
        bit_depth: 16, 24, or 32, which is float; 16 of lossy formats.
        duration_seconds: The length that the header tells or guesses; 0: unknown.
        tags: Title, artist and others of formats.TAGS that the file has.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        *,
        stream: int | None = None,
        downmix: bool = False,
    ):
        """Opens a file.

        Args:
            path: A file of any format that libsndfile or FFmpeg decodes.
            stream: The number of the audio stream, where there are several: a stem.mp4
                has five. None: the default one, as the file says.
            downmix: Whether more than two channels are folded down to stereo, by
                FFmpeg's rules for their layout.

        Raises:
            InputError: The file is empty or a pipe, or has no audio or no such stream.
            OSError: The file does not exist, or cannot be read.
        """
        self.path = pathlib.Path(path)
        self._file = self.path.open("rb")
        try:
            self._decoder = self._choose_decoder(stream, downmix)
            self._check_rate()
        except BaseException:
            self._file.close()
            raise
        self.sample_rate_hz = self._decoder.sample_rate_hz
        self.channels = self._decoder.channels
        self.bit_depth = self._decoder.bit_depth
        self.duration_seconds = self._decoder.duration_seconds
        self.tags = self._decoder.tags

    def _choose_decoder(self, stream: int | None, downmix: bool) -> Decoder:
        if not self._file.seekable():
            raise InputError(
                f"{self.path}: must be a file, but is a pipe: save it first"
            )
        if not self._file.read(1):
            raise InputError(f"{self.path}: must be an audio file, but is empty")
        if not stream and libsndfile_decoder.can_decode(self.path, downmix=downmix):
            links = find_links(self._file)
            if len(links) > 1:
                return ChainedOggDecoder(self.path, self._file, links)
            if is_flac(self._file):
                return FlacDecoder(self.path, self._file)
            return LibsndfileDecoder(self.path)
        options = {"stream": stream, "downmix": downmix}
        apart = decoder_process.open_apart(self.path, **options)
        return apart or FFmpegDecoder(self.path, self._file, **options)

    def _check_rate(self) -> None:
        lowest, highest = _RATES_HZ
        if not lowest <= self._decoder.sample_rate_hz <= highest:
            self._decoder.close()
            raise InputError(
                f"{self.path}: must have a sample rate from {lowest} to {highest} Hz. "
                f"Received: {self._decoder.sample_rate_hz} Hz"
            )

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(self, *_) -> None:
        self._decoder.close()
        self._file.close()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the audio once, in blocks `(frames, channels)` of any length.

        Raises:
            InputError: The file is broken, truncated or without frames.
        """
        frames = 0
        try:
            for block in self._decoder.blocks():
                frames += len(block)
                yield block
        except GeneratorExit:  # A part of the song was enough.
            self._warn()
            raise
        if self._decoder.is_cut(frames):
            raise InputError(
                f"{self.path}: must be a whole audio file, but is truncated: it ends "
                f"after {frames} frames ({frames / self.sample_rate_hz:.2f} s)"
            )
        if not frames:
            raise InputError(f"{self.path}: must hold audio, but has zero frames")
        self._warn()

    def _warn(self) -> None:
        """Logs in one line what is missing or left out."""
        if notes := self._decoder.notes:
            logging.warning("%s: %s", self.path, "; ".join(notes))
