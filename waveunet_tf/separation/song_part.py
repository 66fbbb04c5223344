"""A part of a song: no more of the song than it needs goes through the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.errors import InputError
from waveunet_tf.separation.song_stream import SongStream


class SongPart:
    """A part of an open song, to be separated.

    Attributes:
        expected_seconds: The part's length, as far as the song's is known; else
            infinity.
    """

    def __init__(
        self, reader: AudioReader, start_seconds: float, duration_seconds: float | None
    ):
        """Takes a part of a song.

        Args:
            reader: The song.
            start_seconds: Where in the song the part begins.
            duration_seconds: The part's length; None: to the song's end.
        """
        self._reader, self._start_seconds = reader, start_seconds
        self._start = round(start_seconds * reader.sample_rate_hz)
        self._end = np.inf
        known = reader.duration_seconds or np.inf
        self.expected_seconds = max(known - start_seconds, 0.0)
        if duration_seconds is not None:
            frames = max(round(duration_seconds * reader.sample_rate_hz), 1)
            self._end = self._start + frames
            self.expected_seconds = min(self.expected_seconds, duration_seconds)

    def separate(
        self, stream: SongStream, stems: Iterable[str]
    ) -> Iterator[dict[str, np.ndarray]]:
        """Separates the part.

        Args:
            stream: A stream that has taken nothing yet.
            stems: The stems to give: sources, or `no_<source>`, the sum of all others.

        Yields:
            Stem → its next frames, float32 `(frames, channels)`, at the song's rate.

        Raises:
            InputError: The song ends before the part begins.
        """
        stems = tuple(stems)
        position = stream.first_frame = stream.lead_in_frame(self._start)
        until = self._end + stream.context_frames
        for block in self._separated(stream, position, until):
            frames = len(next(iter(block.values())))
            kept = slice(  # the frames of this block that are the part's
                max(self._start - position, 0),
                max(min(self._end - position, frames), 0),
            )
            position += frames
            yield {name: _stem(block, name)[kept] for name in stems}

    def _separated(
        self, stream: SongStream, first: int, until: float
    ) -> Iterator[dict[str, np.ndarray]]:
        """Gives the sources of the song's frames from `first` to `until`, or longer."""
        position = 0
        for block in self._reader.blocks():
            wanted = block[max(first - position, 0) :]
            position += len(block)
            if len(wanted):
                yield stream.push(wanted)
            if position >= until:
                break
        if position <= self._start:
            raise InputError(
                "`start_seconds` must be within the song, of "
                f"{position / self._reader.sample_rate_hz:.2f} s. "
                f"Received: {self._start_seconds}"
            )
        yield stream.finish()


def _stem(sources: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Gives a source, or the sum of all sources but the one after `no_`."""
    if name in sources:
        return sources[name]
    left_out = name.removeprefix("no_")
    return sum(source for other, source in sources.items() if other != left_out)
