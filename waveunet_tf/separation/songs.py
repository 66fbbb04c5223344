"""Separates many songs into files, and goes on where one of them fails.

failures = separate_songs(["album"], SongOptions(two_stems="vocals"), separator)
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from waveunet_tf.audio import formats
from waveunet_tf.errors import InputError
from waveunet_tf.separation import stem_paths
from waveunet_tf.separation.song_batch import SongBatch, SongProgress
from waveunet_tf.separation.song_file import FileOptions
from waveunet_tf.separation.song_job import Failure
from waveunet_tf.system import arguments

if TYPE_CHECKING:
    from waveunet_tf.separation.separator import Separator


class OptionsError(InputError):
    """Options contradict each other, the network's sources or the number of songs."""


@dataclasses.dataclass(frozen=True)
class SongOptions:
    """What is written of songs, where, and how.

    Attributes:
        output_dir: The folder for all stems; "-": one stem of one song to stdout.
        output_template: The stems' paths in that folder; see stem_paths.
        format: The stems' format, one of `formats.FORMATS`.
        bit_depth: Of wav and flac, 16, 24 or 32, which is float; None: the song's, or
            the highest below it that the format has.
        clip: What happens beyond full scale; see `Separator.separate_file`.
        start_seconds: Where in the songs to begin.
        duration_seconds: How much to separate; None: all that follows.
        stems: Sources, or `no_<source>`, the sum of all others; None: all sources.
        two_stems: A source: write it and the sum of all others.
        downmix: Whether more than two channels are folded down to stereo.
        audio_track: Which audio track of a video, from 1 on; None: its default one.
        recursive: Whether the files of folders in folders are separated, too.
        overwrite: Whether stems that exist are replaced.
        skip_existing: Whether a song is left alone whose stems are all there and whole;
            a song with some of them, or with broken ones, is separated anew.

    Raises:
        OptionsError: A value is of another type or out of range, or two contradict each
            other.
    """

    output_dir: str | os.PathLike = "stems"
    output_template: str = stem_paths.DEFAULT_TEMPLATE
    format: str = "wav"
    bit_depth: int | None = None
    clip: str | None = None
    start_seconds: float = 0.0
    duration_seconds: float | None = None
    stems: Sequence[str] | None = None
    two_stems: str | None = None
    downmix: bool = False
    audio_track: int | None = None
    recursive: bool = False
    overwrite: bool = False
    skip_existing: bool = False

    def __post_init__(self):
        try:
            arguments.path("output_dir", self.output_dir)
            template = arguments.text("output_template", self.output_template)
            stem_paths.check_template(template)
            arguments.choice("format", self.format, formats.FORMATS)
            _ = self.file_options
            for name in ("recursive", "overwrite", "skip_existing"):
                arguments.flag(name, getattr(self, name))
            if self.stems is not None:
                arguments.texts("stems", self.stems)
            if self.two_stems is not None:
                arguments.text("two_stems", self.two_stems)
        except InputError as error:
            raise OptionsError(str(error)) from error
        depths = formats.FORMATS[self.format].codecs
        if self.bit_depth and self.bit_depth not in depths:
            rule = " or ".join(str(depth) if depth else "left out" for depth in depths)
            raise OptionsError(
                f"`bit_depth` of {self.format} must be {rule}. "
                f"Received: {self.bit_depth}"
            )
        if self.clip == "none" and (self.format != "wav" or self.bit_depth in (16, 24)):
            raise OptionsError(
                "`clip` must be rescale or clamp but for float wav. Received: none for "
                f"{self.format}"
            )
        if not os.fspath(self.output_dir):
            raise OptionsError("`output_dir` must be a folder's name, but is empty")
        if self.stems is not None and self.two_stems is not None:
            raise OptionsError("`stems` and `two_stems` exclude each other")
        if self.overwrite and self.skip_existing:
            raise OptionsError("`overwrite` and `skip_existing` exclude each other")

    @property
    def file_options(self) -> FileOptions:
        """The options of each song."""
        return FileOptions(
            bit_depth=self.bit_depth,
            clip=self.clip,
            start_seconds=self.start_seconds,
            duration_seconds=self.duration_seconds,
            downmix=self.downmix,
            audio_track=self.audio_track,
        )

    @property
    def to_stdout(self) -> bool:
        """Whether the stem goes to standard output."""
        return os.fspath(self.output_dir) == "-"

    def stem_names(self, sources: tuple[str, ...]) -> list[str]:
        """Names the stems to write of a network with these sources.

        Raises:
            OptionsError: A stem is neither a source nor `no_<source>`, or several stems
                are to go to standard output.
        """
        wanted = list(sources) if self.stems is None else list(self.stems)
        known = [*sources, *(f"no_{name}" for name in sources)]
        if self.two_stems is not None:
            wanted, known = [self.two_stems], list(sources)
        unknown = [name for name in wanted if name not in known]
        if unknown or not wanted:
            raise OptionsError(
                f"`stems` must be of {', '.join(known)}. "
                f"Received: {', '.join(unknown) or 'none'}"
            )
        if self.two_stems is not None:
            wanted.append(f"no_{self.two_stems}")
        wanted = list(dict.fromkeys(wanted))
        if self.to_stdout and len(wanted) != 1:
            raise OptionsError(
                "`output_dir=-` takes one stem (see `stems`). "
                f"Received: {len(wanted)} stems"
            )
        return wanted

    def check_count(self, songs: int) -> None:
        """Checks the number of songs.

        Raises:
            OptionsError: Several songs are to go to standard output.
        """
        if self.to_stdout and songs > 1:
            raise OptionsError(
                f"`output_dir=-` takes one song. Received: {songs} songs"
            )


def separate_songs(
    songs: str | os.PathLike | Iterable[str | os.PathLike],
    options: SongOptions,
    separator: Separator,
    *,
    on_progress: Callable[[SongProgress], None] | None = None,
) -> list[Failure]:
    """Separates songs into files, each song's files at once, and goes on after errors.

    Args:
        songs: Files, folders, patterns, or "-", standard input.
        options: What is written of them, where, and how.
        separator: The separator.
        on_progress: Called when a song is begun, goes on, and is done.

    Returns:
        What could not be done; empty if all is well. Names that find nothing come
        first, then songs that cannot be read, then those that fail midway.

    Raises:
        OptionsError: The options do not suit the network or the number of songs.
        InputError: The output is no folder.
        OSError: A pipe cannot be read.
    """
    if isinstance(songs, (str, os.PathLike)) or not isinstance(songs, Iterable):
        songs = [songs]
    songs = [arguments.path("songs", song) for song in songs]
    if on_progress is not None:
        arguments.function("on_progress", on_progress)
    with SongBatch(songs, options, separator.config.sources) as batch:
        batch.separate(separator, on_progress=on_progress)
    return batch.failures
