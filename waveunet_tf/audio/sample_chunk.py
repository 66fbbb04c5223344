"""Finds the samples of a wav, w64, aiff, au or caf file, whatever its header says.

Their headers tell how many bytes of samples follow. A writer that cannot go back to its
header, because it writes into a pipe or dies, leaves zero or a huge size there. Some
headers have the size of an earlier moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

# Just below 2³¹ or 2³² (sox takes 0x7f000000 in aiff), just above, or beyond any song.
_BELOW_POWER, _ABOVE_POWER = 2**24, 2**16
_PLACEHOLDERS = (2**31, 2**32)
_HUGE_BYTES = 2**39
# A few bytes that are missing, or that follow, are sloppiness.
SLOPPY_BYTES, _FOREIGN_BYTES = 16, 4096
_MAX_CHUNKS = 10_000
# What a file, or its samples, begin with.
_OTHER_AUDIO = {b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"caff", b"data", b"SSND"}


class SampleChunk(NamedTuple):
    """Where the samples of a file lie.

    Attributes:
        start: The first sample's byte in the file.
        promised_bytes: The samples' bytes, as the header says.
        held_bytes: The bytes from the first sample to the file's end.
        has_chunks_behind: Whether all that follows the promised samples is chunks.
        size_fields: Of each field with the samples' size: its place in the file, its
            number of bytes, "little" or "big", and how much more it counts.
        outer_missing_bytes: What the file lacks of the length in its first header.
        joined_bytes: The bytes from where another file, or more samples, begin behind
            the samples.
    """

    start: int
    promised_bytes: int
    held_bytes: int
    has_chunks_behind: bool
    size_fields: tuple[tuple[int, int, str, int], ...]
    outer_missing_bytes: int = 0
    joined_bytes: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the header's size means nothing, so that the file's end counts."""
        promised, held = self.promised_bytes, self.held_bytes
        if promised > held:
            return is_placeholder(promised)
        ends = self.has_chunks_behind or self.joined_bytes
        return held - promised > max(promised, SLOPPY_BYTES) and not ends

    @property
    def is_longer_than_told(self) -> bool:
        """Whether more samples follow than the header says."""
        return self.is_open and self.promised_bytes < self.held_bytes

    @property
    def is_cut(self) -> bool:
        """Whether the file ends before its samples do."""
        return not self.is_open and self.promised_bytes > self.held_bytes + (
            SLOPPY_BYTES
        )

    @property
    def notes(self) -> list[str]:
        """What a user should know of a header that is wrong."""
        left = self.held_bytes - self.promised_bytes
        if self.is_open and not self.is_longer_than_told:
            return []  # a writer into a pipe: nothing is missing
        if self.is_open:
            return [
                f"its header tells of {self.promised_bytes} bytes of samples, but "
                f"{self.held_bytes} follow: all of them are read"
            ]
        if self.joined_bytes:
            return [left_out_behind(self.joined_bytes)]
        if left >= _FOREIGN_BYTES and not self.has_chunks_behind:
            return [f"{left} bytes behind its audio are left out"]
        if self.outer_missing_bytes > SLOPPY_BYTES and left >= 0:
            return [
                f"its header promises {self.outer_missing_bytes} more bytes than the "
                "file has; its audio is whole"
            ]
        return []


def is_placeholder(size: int) -> bool:
    """Whether a size is one that writers leave who do not know it."""
    return size >= _HUGE_BYTES or any(
        p - _BELOW_POWER <= size < p + _ABOVE_POWER for p in _PLACEHOLDERS
    )


def left_out_behind(count: int) -> str:
    """Says that so many bytes are another recording, which nothing reads."""
    return f"another recording follows its audio; its {count} bytes are left out"


class MendedFile:
    """A file whose header has the size of the samples that are there.

    It ends where another recording begins. Reads as an open binary file does.
    """

    def __init__(self, file: BinaryIO, samples: SampleChunk):
        """Covers the size fields of a file, which the caller closes."""
        self._file, self.name = file, file.name
        self._end = file.seek(0, os.SEEK_END) - samples.joined_bytes
        file.seek(0)
        self._covers = []
        if not samples.is_open:
            return
        for place, length, order, more in samples.size_fields:
            size = samples.held_bytes + more
            if size >= 2 ** (8 * length):
                size = 2 ** (8 * length) - 1  # "until the file's end"
            self._covers.append((place, size.to_bytes(length, order)))

    def read(self, count: int = -1) -> bytes:
        """Reads bytes from the current position on."""
        start = self._file.tell()
        left = max(self._end - start, 0)
        content = self._file.read(min(count, left) if count >= 0 else left)
        for place, cover in self._covers:
            first, last = (
                max(place, start),
                min(place + len(cover), start + len(content)),
            )
            if first < last:
                head, tail = content[: first - start], content[last - start :]
                content = head + cover[first - place : last - place] + tail
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Goes to a position."""
        if whence == os.SEEK_END:
            offset, whence = self._end + offset, os.SEEK_SET
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Returns the position."""
        return self._file.tell()


def find_samples(file: BinaryIO) -> SampleChunk | None:
    """Finds the samples of a file.

    Args:
        file: The open file, whose position changes.

    Returns:
        Where the samples lie; None in another format, or without samples.
    """
    file.seek(0)
    head = file.read(16)
    kind, form = head[:4], head[8:12]
    if kind in (b"RIFF", b"RIFX", b"RF64", b"BW64") and form == b"WAVE":
        return _in_wav(file, kind)
    if kind == b"FORM" and form in (b"AIFF", b"AIFC"):
        return _in_chunks(file, _Chunks("big", 4, 12, 2), b"SSND", skipped=8)
    if kind == b"caff":
        return _in_chunks(file, _Chunks("big", 8, 8, 1), b"data", skipped=4)
    if head == _W64_RIFF:
        chunks = _Chunks("little", 8, 40, 8, id_bytes=16, counts_header=True)
        return _in_chunks(file, chunks, b"data" + _W64_REST)
    if kind in (b".snd", b"dns.") and len(head) >= 12:
        order = "big" if kind == b".snd" else "little"
        start, promised = (int.from_bytes(head[i : i + 4], order) for i in (4, 8))
        held = max(file.seek(0, os.SEEK_END) - start, 0)
        return SampleChunk(start, promised, held, False, ((8, 4, order, 0),))
    return None


_W64_RIFF = b"riff" + bytes.fromhex("2e91cf11a5d628db04c10000")
_W64_REST = bytes.fromhex("f3acd3118cd100c04f8edb8a")


class _Chunks(NamedTuple):
    """How a format's chunks are laid out.

    Attributes:
        order: The order of a size's bytes.
        size_bytes: The number of bytes of a size.
        start: Where the first chunk lies.
        alignment: What the place of a chunk is a multiple of.
        id_bytes: The number of bytes of a chunk's name.
        counts_header: Whether a size counts the chunk's name and size, too.
    """

    order: str
    size_bytes: int
    start: int
    alignment: int
    id_bytes: int = 4
    counts_header: bool = False

    def walk(self, file: BinaryIO, place: int) -> Iterator[tuple[bytes, int, int]]:
        """Yields each chunk's name, the place of its content, and its size.

        Ends at the file's end, or with a name that is none, b"".
        """
        header_bytes = self.id_bytes + self.size_bytes
        end = file.seek(0, os.SEEK_END)
        for _ in range(_MAX_CHUNKS):
            if place > end:  # which `seek` of some file systems refuses
                return
            file.seek(place)
            header = file.read(header_bytes)
            if len(header) < header_bytes:
                if header.strip(b"\0"):
                    yield b"", place, 0
                return
            name = header[: self.id_bytes]
            size = int.from_bytes(header[self.id_bytes :], self.order)
            if self.counts_header:
                size -= header_bytes
            if not _is_name(name) or size < 0:
                yield b"", place, 0
                return
            yield name, place + header_bytes, size
            place += header_bytes + size
            place += -place % self.alignment


def _is_name(name: bytes) -> bool:
    """Whether the bytes can name a chunk: four printable characters of ASCII."""
    return all(32 <= byte < 127 for byte in name[:4])


def _in_chunks(
    file: BinaryIO, chunks: _Chunks, wanted: bytes, *, skipped: int = 0
) -> SampleChunk | None:
    """Finds the samples in a chunk, of which some bytes come before them."""
    for name, start, size in chunks.walk(file, chunks.start):
        if name != wanted:
            continue
        more = skipped + (24 if chunks.counts_header else 0)
        field = (start - chunks.size_bytes, chunks.size_bytes, chunks.order, more)
        promised = max(size - skipped, 0)
        if chunks.counts_header and size == -24:
            promised = 0
        return _sample_chunk(file, chunks, start + skipped, promised, (field,))
    return None


def _in_wav(file: BinaryIO, kind: bytes) -> SampleChunk | None:
    """Finds the samples of a wav file; a long one has their size in a chunk `ds64`."""
    order = "big" if kind == b"RIFX" else "little"
    chunks = _Chunks(order, 4, 12, 2)
    long_field, long_bytes = None, 0
    for name, start, size in chunks.walk(file, chunks.start):
        if name == b"ds64" and size >= 16:
            file.seek(start + 8)
            long_field = (start + 8, 8, order, 0)
            long_bytes = int.from_bytes(file.read(8), order)
        if name == b"data":
            fields = ((start - 4, 4, order, 0),)
            if long_field and size == 0xFFFFFFFF:
                fields, size = (long_field,), long_bytes
            samples = _sample_chunk(file, chunks, start, size, fields)
            file.seek(4)
            outer = int.from_bytes(file.read(4), order)
            end = samples.start + samples.held_bytes
            if kind in (b"RIFF", b"RIFX") and not is_placeholder(outer):
                samples = samples._replace(outer_missing_bytes=outer + 8 - end)
            return samples
    return None


def _sample_chunk(
    file: BinaryIO,
    chunks: _Chunks,
    start: int,
    promised: int,
    fields: tuple[tuple[int, int, str, int], ...],
) -> SampleChunk:
    """Describes the samples, and looks whether chunks follow them up to the end."""
    end = file.seek(0, os.SEEK_END)
    behind = start + promised
    behind += -behind % chunks.alignment
    has_chunks, joined = True, 0
    if behind < end:
        last = behind
        for name, place, size in chunks.walk(file, behind):
            has_chunks = has_chunks and bool(name)
            if name[:4] in _OTHER_AUDIO and not joined:
                joined = end - place + chunks.id_bytes + chunks.size_bytes
            last = place + size
        has_chunks = has_chunks and last <= end + chunks.alignment
    held = max(end - start, 0)
    return SampleChunk(start, promised, held, has_chunks, fields, joined_bytes=joined)
