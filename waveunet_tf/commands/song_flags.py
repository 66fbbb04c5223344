"""Flags, progress bar and messages of the commands that separate songs.

`separate` and the client of a model server share them.
"""

from __future__ import annotations

import codecs
import functools
import os
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import tqdm
from absl import flags, logging

from waveunet_tf.audio.formats import FORMATS, song_name
from waveunet_tf.commands import app
from waveunet_tf.errors import InputError, printable
from waveunet_tf.separation import stem_paths
from waveunet_tf.separation.song_batch import SongBatch, SongProgress
from waveunet_tf.separation.songs import OptionsError, SongOptions
from waveunet_tf.separation.stem_files import CLIP_MODES

if TYPE_CHECKING:
    from waveunet_tf.separation.separator import Separator

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    "stems",
    "The folder for the stems, in a folder for each song; -: one stem of one song to "
    "stdout.",
    short_name="o",
)
_OUTPUT_TEMPLATE = flags.DEFINE_string(
    "output_template",
    stem_paths.DEFAULT_TEMPLATE,
    "The stems' paths in the output folder, made of "
    + ", ".join(f"{{{field}}}" for field in stem_paths.FIELDS)
    + ". A song without a title has its track's name there, and one without the other "
    "tags `unknown artist` or `unknown album`; /, : and the like in tags become _.",
)
_FORMAT = flags.DEFINE_enum("format", "wav", FORMATS, "Format of the stems.")
_BIT_DEPTH = flags.DEFINE_enum(
    "bit_depth",
    None,
    ["16", "24", "32f"],
    "Bits in a sample of wav and flac; 32f is float. Default: the song's, or the "
    "highest below it that the format has.",
)
_CLIP = flags.DEFINE_enum(
    "clip",
    None,
    CLIP_MODES,
    "What happens to samples beyond full scale. rescale: one gain, which is printed, "
    "makes all stems quieter; until it is known they wait as floats in OUTPUT_DIR. "
    "clamp: they are clipped. none: they stay, in float wav only. Default: none where "
    "the stems are float wav, else rescale.",
)
_START = flags.DEFINE_float(
    "start_seconds", 0.0, "Where in the songs to begin, in seconds.", lower_bound=0
)
_DURATION = flags.DEFINE_float(
    "duration_seconds", None, "How much to separate, in seconds. Default: to the end."
)
_STEMS = flags.DEFINE_list(
    "stems",
    None,
    "What to write, comma separated: sources, or no_<source>, the sum of all others. "
    "Default: all sources.",
)
_TWO_STEMS = flags.DEFINE_string(
    "two_stems", None, "Write this source and no_<source>, the sum of all the others."
)
_DOWNMIX = flags.DEFINE_boolean(
    "downmix", False, "Fold songs of more than two channels down to stereo."
)
_AUDIO_TRACK = flags.DEFINE_integer(
    "audio_track",
    None,
    "Which audio track of a video with several, from 1 on. Default: the one that the "
    "file calls its default.",
    lower_bound=1,
)
_RECURSIVE = flags.DEFINE_boolean(
    "recursive", False, "Separate the audio files of folders in folders, too."
)
_OVERWRITE = flags.DEFINE_boolean("overwrite", False, "Replace stems that exist.")
_SKIP_EXISTING = flags.DEFINE_boolean(
    "skip_existing",
    False,
    "Leave songs alone whose stems are all there and whole; separate those anew that "
    "have only some.",
)
_SONGS_FROM = flags.DEFINE_string(
    "songs_from",
    None,
    "A file that names songs, one in each line, as arguments do; -: standard input.",
)
ARGUMENTS = "audio files, folders, patterns, or -"
"""What the commands take as arguments."""


def songs_from_flags(arguments: list[str]) -> list[str]:
    """Returns the songs of the arguments and of --songs_from.

    Raises:
        UsageError: None is named, or standard input is to be both a song and a list.
        InputError: The list is no text.
        OSError: The list cannot be read.
    """
    songs = list(arguments)
    if _SONGS_FROM.value is not None:
        if _SONGS_FROM.value == "-" in arguments:
            raise app.UsageError("- is the list of songs, and cannot be a song, too")
        where = 0 if _SONGS_FROM.value == "-" else _SONGS_FROM.value
        # A file's name need not be UTF-8.
        with open(where, "rb", closefd=bool(where)) as lines:
            for number, line in enumerate(lines):
                if not number:
                    line = line.removeprefix(codecs.BOM_UTF8)  # Notepad's
                if b"\0" in line:
                    raise InputError(f"{_SONGS_FROM.value}: must name songs in lines")
                if name := os.fsdecode(line).rstrip("\r\n"):
                    songs.append(name)
    elif not songs:
        raise app.UsageError(f"needs {ARGUMENTS}")
    return songs


def options_from_flags() -> SongOptions:
    """Makes the options of the flags.

    Raises:
        UsageError: A flag is out of range, two contradict each other, or the stem would
            go to a terminal.
    """
    depth = _BIT_DEPTH.value
    try:
        options = SongOptions(
            output_dir=_OUTPUT_DIR.value,
            output_template=_OUTPUT_TEMPLATE.value,
            format=_FORMAT.value,
            bit_depth=int(depth.rstrip("f")) if depth else None,
            clip=_CLIP.value,
            start_seconds=_START.value,
            duration_seconds=_DURATION.value,
            stems=_STEMS.value,
            two_stems=_TWO_STEMS.value,
            downmix=_DOWNMIX.value,
            audio_track=_AUDIO_TRACK.value,
            recursive=_RECURSIVE.value,
            overwrite=_OVERWRITE.value,
            skip_existing=_SKIP_EXISTING.value,
        )
    except OptionsError as error:
        raise app.UsageError(str(error)) from error
    if options.to_stdout and sys.stdout.isatty():
        raise app.UsageError("--output_dir=- writes audio, which is not for a terminal")
    return options


class ProgressBar:
    """Shows the progress of songs on a terminal, and prints the stems that are done.

    A context manager.
    """

    def __init__(self):
        """Draws nothing yet."""
        self._bar: tqdm.tqdm | None = None
        self._song: pathlib.Path | None = None

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, progress: SongProgress) -> None:
        """Draws the bar; prints the paths of a finished song's stems."""
        if self._bar is None:
            self._bar = tqdm.tqdm(
                total=progress.total_seconds,
                unit="s",
                disable=None,
                bar_format="{desc}{percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s of "
                "audio [{elapsed} < {remaining}]",
            )
        self._bar.total = progress.total_seconds
        if progress.song != self._song:
            self._song = progress.song
            name = " ".join(song_name(progress.song).split())
            self._bar.set_description(printable(name[:30]))
        self._bar.update(progress.done_seconds - self._bar.n)
        if progress.written:
            tqdm.tqdm.write("\n".join(map(str, progress.written)))


def separate_arguments(
    arguments: list[str],
    options: SongOptions,
    sources: tuple[str, ...],
    load: Callable[[], Separator],
) -> int:
    """Separates songs in this process; prints failures at the end.

    Args:
        arguments: Files, folders, patterns, or -.
        options: What is written of them.
        sources: The network's sources.
        load: Loads a separator, once it is clear that there is work.

    Returns:
        The command's exit code.

    Raises:
        UsageError: The options do not suit the network or the number of songs.
        InputError: Nothing at all can be done.
    """
    return separate_batch(
        functools.partial(SongBatch, arguments, options, sources),
        lambda batch, show: batch.separate(load(), on_progress=show),
    )


def separate_batch(
    make: Callable[[], SongBatch],
    separate: Callable[[SongBatch, Callable[[SongProgress], None]], None],
) -> int:
    """Separates a batch of songs, and shows how far it is; prints failures at the end.

    Args:
        make: Finds the songs.
        separate: Separates them, if there are any, and reports progress.

    Returns:
        The command's exit code.

    Raises:
        UsageError: The options do not suit the network or the number of songs.
        InputError: Nothing at all can be done.
    """
    try:
        batch = make()
    except OptionsError as error:
        raise app.UsageError(str(error)) from error
    try:
        with batch:
            if batch.already_done:
                logging.info("%d songs are done already", batch.already_done)
            if batch.jobs:
                with ProgressBar() as bar:
                    separate(batch, bar.show)
    finally:
        for failure in batch.failures:
            app.print_error(failure.error, of=failure.what)
    return 1 if batch.failures else 0
