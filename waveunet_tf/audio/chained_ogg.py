"""Decodes chained Ogg: several Ogg files in a row, which players play as one.

A page of Ogg begins with `OggS`; bit 1 of its flags marks the first page of a stream
(RFC 3533, section 6). The first pages of all streams of a link stand together, so one
that stands after other pages begins the next link.
"""

from __future__ import annotations

import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from waveunet_tf.audio.blocks import to_channels
from waveunet_tf.audio.libsndfile_decoder import LibsndfileDecoder, can_decode
from waveunet_tf.audio.resample import StreamResampler
from waveunet_tf.errors import InputError

_CAPTURE = b"OggS"
_HEADER_BYTES = 27
_FIRST_PAGE = 2
# Few at first: in a broken file very many pages may seem to begin.
_FIRST_SEARCHED_BYTES, _SEARCHED_BYTES = 2**6, 2**16
_COPIED_BYTES = 2**20


class Link(NamedTuple):
    """Where a link lies in its file, in bytes; `end` is behind it."""

    start: int
    end: int


def find_links(file: BinaryIO) -> list[Link]:
    """Finds the links of an Ogg file, from the headers of its pages.

    Args:
        file: The open file.

    Returns:
        The links in their order; none of a file that does not begin as Ogg.
    """
    file.seek(0)
    if file.read(len(_CAPTURE)) != _CAPTURE:
        return []
    end = file.seek(0, os.SEEK_END)
    starts, position, was_first = [], 0, False
    while position < end:
        file.seek(position)
        header = file.read(_HEADER_BYTES)
        if len(header) < _HEADER_BYTES or header[:4] != _CAPTURE:
            position = _next_capture(file, position + 1, end)
            continue
        is_first = bool(header[5] & _FIRST_PAGE)
        if is_first and not was_first:
            starts.append(position)
        was_first = is_first
        after = position + _HEADER_BYTES + header[26] + sum(file.read(header[26]))
        file.seek(after)
        if (
            after < end and file.read(4) != _CAPTURE
        ):  # the page is cut, or others follow
            after = _next_capture(file, position + 1, end)
        position = after
    return [Link(*pair) for pair in zip(starts, [*starts[1:], end])]


def _next_capture(file: BinaryIO, position: int, end: int) -> int:
    """Returns where the next page may begin, or the file's end."""
    searched = _FIRST_SEARCHED_BYTES
    while position < end:
        file.seek(position)
        window = file.read(searched)
        found = window.find(_CAPTURE)
        if found >= 0:
            return position + found
        position += max(len(window) - len(_CAPTURE) + 1, 1)
        searched = min(2 * searched, _SEARCHED_BYTES)
    return end


class ChainedOggDecoder:
    """A `decode.Decoder` of links, each decoded by libsndfile from a copy of its own.

    Links of another rate or number of channels than the first's are made like it.
    """

    def __init__(self, path: pathlib.Path, file: BinaryIO, links: list[Link]):
        """Opens the first link.

        Args:
            path: The file's name, for errors.
            file: The open file, which the caller closes.
            links: What `find_links` found.

        Raises:
            InputError: libsndfile cannot decode the first link.
            OSError: There is no room for a copy of a link.
        """
        self._path, self._file, self._links = path, file, links
        self.notes: list[str] = []
        self._folder = tempfile.TemporaryDirectory()
        try:
            with self._open(0) as first:
                self.sample_rate_hz, self.channels = (
                    first.sample_rate_hz,
                    first.channels,
                )
                self.bit_depth, self.tags = first.bit_depth, first.tags
                seconds_per_byte = first.duration_seconds / (links[0].end or 1)
                self.duration_seconds = seconds_per_byte * links[-1].end
        except BaseException:
            self._folder.cleanup()
            raise

    def _open(self, number: int) -> _LinkDecoder:
        place = pathlib.Path(self._folder.name) / f"{number}{self._path.suffix}"
        start, end = self._links[number]
        self._file.seek(start)
        with place.open("wb") as copy:
            while start < end:
                content = self._file.read(min(_COPIED_BYTES, end - start))
                if not content:
                    break
                copy.write(content)
                start += len(content)
        if not can_decode(place, downmix=False):
            raise InputError(
                f"{self._path}: must be a chain of Ogg files, but link {number + 1} of "
                f"{len(self._links)} cannot be decoded"
            )
        return _LinkDecoder(place)

    def close(self) -> None:
        """Removes the copies; the file stays open."""
        self._folder.cleanup()

    def blocks(self) -> Iterator[np.ndarray]:
        """Yields the links one after the other, in blocks `(frames, channels)`.

        Raises:
            InputError: A link is broken or truncated, or has other channels than the
                first where one of them has more than two.
        """
        for number in range(len(self._links)):
            name = f"{self._path}: link {number + 1} of {len(self._links)}"
            with self._open(number) as link:
                resampler = StreamResampler(
                    link.sample_rate_hz, self.sample_rate_hz, self.channels
                )
                frames = 0
                try:
                    for block in link.blocks():
                        frames += len(block)
                        if link.channels != self.channels:
                            block = to_channels(block, self.channels)
                        yield from filter(len, [resampler.push(block)])
                except InputError as error:
                    raise InputError(f"{name} cannot be decoded: {error}") from error
                if link.is_cut(frames):
                    raise InputError(f"{name} must be whole, but is truncated")
                yield from filter(len, [resampler.finish()])

    def is_cut(self, frames: int) -> bool:
        """Whether a link is missing: never, because `blocks` has seen to each."""
        return False


class _LinkDecoder(LibsndfileDecoder):
    """Decodes a copy of a link, and removes it at the end of a `with` block."""

    def __enter__(self) -> _LinkDecoder:
        return self

    def __exit__(self, *_) -> None:
        self.close()
        self._path.unlink()
