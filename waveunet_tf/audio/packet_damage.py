"""Counts what of a stream cannot be decoded, and tells damage from foreign bytes."""

from __future__ import annotations

_TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")
_LENGTH_FRAMES = (b"Xing", b"Info", b"VBRI")
_HEADER_BYTES, _FOREIGN_BYTES = 512, 16


class PacketDamage:
    """Counts the packets that a decoder refuses.

    Packets between others that are decoded are damaged. What comes first or last is
    foreign, such as a page of HTML behind an mp3, or the first part of a packet.

    Attributes:
        places: The damaged packets.
        first_seconds: Where the first of them lies in the song.
        error: What the decoder said last; None while all is well.
        good: The packets that were decoded.
        pending: The packets that were refused since the last good one.
        ends_in_packet: Whether the file ends within a packet that it begins.
    """

    def __init__(self):
        """Begins before the first packet."""
        self.places, self.first_seconds = 0, 0.0
        self.error: Exception | None = None
        self.ends_in_packet = False
        self.good = self.pending = self._pending_bytes = 0
        self._pending_seconds = 0.0
        self._bytes_before, self._before, self._tag_end = 0, 0, -1

    def refused(self, packet, error: Exception, seconds: float) -> None:
        """Counts a packet that cannot be decoded.

        Args:
            packet: The packet of PyAV.
            error: What the decoder said.
            seconds: Where in the song it lies.
        """
        self.error = error
        content = bytes(packet)
        if self._is_harmless(packet.pos, content):
            return
        self.ends_in_packet = not self.pending and _begins_frame(content)
        if not self.pending:
            self._pending_seconds = seconds
        self.pending += 1
        self._pending_bytes += len(content)

    def settle(self) -> None:
        """Counts the pending packets as damaged, because a good one follows."""
        if self.good == 1:
            self._bytes_before, self._before = self._pending_bytes, self.pending
        else:
            if not self.places:
                self.first_seconds = self._pending_seconds
            self.places += self.pending
        self.pending = self._pending_bytes = 0
        self.ends_in_packet = False

    @property
    def is_hopeless(self) -> bool:
        """Whether more packets are damaged than whole."""
        refused = self._before + self.places + self.pending
        return self.error is not None and refused > self.good

    def notes(self) -> list[str]:
        """What a user should know, once the stream has ended."""
        notes = []
        if self.places:
            notes.append(
                f"from {self.first_seconds:.2f} s on, {self.places} of "
                f"{self.places + self.good} packets are damaged and left out"
            )
        if self._bytes_before >= _FOREIGN_BYTES:
            notes.append(
                f"{self._bytes_before} bytes before its audio cannot be decoded and "
                "are left out"
            )
        if self._pending_bytes >= _FOREIGN_BYTES:
            notes.append(
                f"{self._pending_bytes} bytes behind its audio cannot be decoded and "
                "are left out"
            )
        return notes

    def _is_harmless(self, position: int | None, content: bytes) -> bool:
        """Whether no audio is lost: zeros, tags, and the first frame of a joined mp3.

        That frame tells how long its own file was.
        """
        if content[:3] == b"ID3" and position is not None:
            tag_bytes = id3_bytes(content)
            self._tag_end = position + tag_bytes
            if tag_bytes < len(content):
                content = content[tag_bytes:]
        head = content[:_HEADER_BYTES]
        if any(word in head for word in _LENGTH_FRAMES) or head.startswith(_TAGS):
            return True
        if position is not None and position < self._tag_end:
            return True
        return not content.strip(b"\0")


def id3_bytes(head: bytes) -> int:
    """Returns the bytes of an ID3v2 tag that begins here; 0 where there is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    # The tag's size is in 4 bytes of 7 bits.
    return 10 + sum(byte << 7 * place for place, byte in enumerate(head[9:5:-1]))


def _begins_frame(content: bytes) -> bool:
    """Whether the bytes begin with the header of a frame of MPEG audio, AAC or FLAC."""
    return len(content) >= 2 and content[0] == 0xFF and content[1] >= 0xE0
