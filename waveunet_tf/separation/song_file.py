"""Separates a song's file into files of its stems, in constant memory."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.errors import InputError, naming
from waveunet_tf.separation.song_part import SongPart
from waveunet_tf.separation.stem_files import CLIP_MODES, StemFiles
from waveunet_tf.system import arguments, files

if TYPE_CHECKING:
    from waveunet_tf.separation.separator import Separator


@dataclasses.dataclass(frozen=True)
class FileOptions:
    """How a song's file is separated; see `Separator.separate_file`.

    Attributes:
        bit_depth: The stems' bit depth; None: the song's, or the highest below it that
            the format has.
        clip: What happens beyond full scale, one of `CLIP_MODES`; None: "none" where
            the stems are float wav, else "rescale".
        start_seconds: Where in the song to begin.
        duration_seconds: How much to separate; None: all that follows.
        downmix: Whether more than two channels are folded down to stereo.
        audio_track: Which audio track of a video, from 1 on; None: its default one.

    Raises:
        InputError: A value is of another type, out of range or unknown.
    """

    bit_depth: int | None = None
    clip: str | None = None
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    downmix: bool = False
    audio_track: int | None = None

    def __post_init__(self):
        arguments.seconds("start_seconds", self.start_seconds, zero=True)
        if self.duration_seconds is not None:
            arguments.seconds("duration_seconds", self.duration_seconds)
        if self.bit_depth is not None:
            arguments.choice("bit_depth", self.bit_depth, (16, 24, 32))
        if self.clip is not None:
            arguments.choice("clip", self.clip, CLIP_MODES)
        arguments.flag("downmix", self.downmix)
        if self.audio_track is not None:
            arguments.whole_number("audio_track", self.audio_track)

    def open(self, path: str | os.PathLike) -> AudioReader:
        """Opens a song.

        Raises:
            InputError: It is no audio file, or has no such track.
            OSError: It cannot be read.
        """
        stream = None if self.audio_track is None else int(self.audio_track) - 1
        return AudioReader(path, stream=stream, downmix=self.downmix)


def separate_file(
    separator: Separator,
    path: str | os.PathLike,
    targets: Mapping[str, str | os.PathLike],
    options: FileOptions,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Separates an audio file into files, which appear together or not at all.

    Args:
        separator: The separator.
        path: The song.
        targets: Stem → the file to write; see `Separator.separate_file`.
        options: How the song is separated.
        on_progress: Called with the seconds of audio done since the last call.

    Raises:
        InputError: The song cannot be read or separated, a target has no such source or
            format, or an option does not suit the song or the targets.
        OSError: A file cannot be read or written.
    """
    arguments.path("path", path)
    if on_progress is not None:
        arguments.function("on_progress", on_progress)
    sources = separator.config.sources
    _check_targets(sources, path, targets)
    with options.open(path) as reader, naming(path):
        stem_files = StemFiles(
            reader, targets, bit_depth=options.bit_depth, clip=options.clip
        )
        part = SongPart(reader, options.start_seconds, options.duration_seconds)
        stream = separator.stream(reader.sample_rate_hz, reader.channels)
        stream.argument = "song"
        with files.atomic_files(targets.values()) as places:
            # All sources, so that the gain does not depend on which are written.
            stems = part.separate(stream, dict.fromkeys([*sources, *targets]))
            if on_progress:
                stems = _reported(stems, reader.sample_rate_hz, on_progress)
            stem_files.write(
                stems, places, stream.channels, expected_seconds=part.expected_seconds
            )


def _check_targets(
    sources: tuple[str, ...],
    path: str | os.PathLike,
    targets: Mapping[str, str | os.PathLike],
) -> None:
    """Requires that targets are of known stems, and files of their own."""
    arguments.mapping("targets", targets)
    for stem, place in targets.items():
        arguments.path(f"targets[{stem!r}]", place)
    known = {*sources, *(f"no_{name}" for name in sources)}
    if unknown := [str(stem) for stem in targets if stem not in known]:
        raise InputError(
            f"`targets` must be of {', '.join(sources)}, or of these with no_ before. "
            f"Received: {unknown[0]}"
        )
    if not targets:
        raise InputError(
            f"{path}: `targets` must have at least one file. Received: none"
        )
    places = [files.real_path(place) for place in (path, *targets.values())]
    if len(set(places)) < len(places) or any(place.is_dir() for place in places[1:]):
        raise InputError(
            f"{path}: `targets` must be files of their own, neither folders nor the "
            f"song. Received: {', '.join(map(str, targets.values()))}"
        )


def _reported(
    stems: Iterable[dict[str, np.ndarray]],
    sample_rate_hz: int,
    on_progress: Callable[[float], None],
) -> Iterator[dict[str, np.ndarray]]:
    """Gives the same blocks, and reports each one's seconds once it is used."""
    for block in stems:
        yield block
        on_progress(len(next(iter(block.values()))) / sample_rate_hz)
