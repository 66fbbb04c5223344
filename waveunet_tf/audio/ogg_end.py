"""Tells whether an Ogg file has its end: a last page that is marked as such.

Bit 2 of a page's flags marks the last page of a stream (RFC 3533, section 6).
"""

from __future__ import annotations

import os
from typing import BinaryIO

_CAPTURE, _HEADER_BYTES, _LAST_PAGE = b"OggS", 27, 4
# A page has at most 65307 bytes; as many foreign ones may follow it.
_SEARCHED_BYTES = 2**17


def has_end(file: BinaryIO) -> bool:
    """Whether the last page of an Ogg file is whole, and marked as its end.

    Args:
        file: The open file, whose position changes.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - _SEARCHED_BYTES, 0))
    tail = file.read()
    place = tail.rfind(_CAPTURE)
    header = tail[place : place + _HEADER_BYTES]
    if place < 0 or len(header) < _HEADER_BYTES:
        return False
    sizes = tail[place + _HEADER_BYTES :][: header[26]]
    held = len(tail) - place - _HEADER_BYTES - len(sizes)
    is_whole = len(sizes) == header[26] and held >= sum(sizes)
    return is_whole and bool(header[5] & _LAST_PAGE)
