"""What commands that separate songs share: flags, songs → jobs → stems, failures.

Flags are defined here, once for `separate` and the client of a model server.
"""

from __future__ import annotations

import contextlib
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import tqdm
from absl import flags

from waveunet_tf.audio import formats
from waveunet_tf.audio.decode import AudioReader
from waveunet_tf.audio.formats import FORMATS
from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.separation import stem_paths
from waveunet_tf.separation.songs import Song, find_songs, seekable
from waveunet_tf.separation.stem_files import CLIP_MODES

if TYPE_CHECKING:
    from waveunet_tf.separation.separator import Separator

_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    "stems",
    "The folder to write a folder a song in; -: one stem of one song to stdout.",
)
_OUTPUT_TEMPLATE = flags.DEFINE_string(
    "output_template",
    stem_paths.DEFAULT_TEMPLATE,
    "Names of the stems in the output folder, of "
    + ", ".join(f"{{{field}}}" for field in stem_paths.FIELDS)
    + ". Without a title the track's name stands there, and /, : and the like in tags "
    "become _.",
)
_FORMAT = flags.DEFINE_enum("format", "wav", FORMATS, "Format of the stems.")
_BIT_DEPTH = flags.DEFINE_enum(
    "bit_depth",
    None,
    ["16", "24", "32f"],
    "Bits a sample of wav and flac; 32f is float. Default: the song's, or the highest "
    "below it that the format has.",
)
_CLIP = flags.DEFINE_enum(
    "clip",
    None,
    CLIP_MODES,
    "What happens to samples beyond full scale. rescale: all stems get quieter by one "
    "gain, which is told, and wait as floats in OUTPUT_DIR until it is known; clamp: "
    "they are clipped; none: they stay, in float wav only. Default: none where the "
    "stems are float wav, else rescale.",
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
_RECURSIVE = flags.DEFINE_boolean(
    "recursive", False, "Take the audio files of folders in folders, too."
)
_OVERWRITE = flags.DEFINE_boolean(
    "overwrite", False, "Replace stems that exist already."
)


class Job(NamedTuple):
    """What is to be done for a song: stem → the file to write, seconds of audio."""

    song: Song
    targets: dict[str, pathlib.Path]
    seconds: float


class Failures:
    """What could not be done; told at the end, where one sees it."""

    def __init__(self):
        self._errors: list[tuple[str, Exception]] = []

    def __len__(self) -> int:
        return len(self._errors)

    @contextlib.contextmanager
    def caught(self, what: str | pathlib.Path) -> Iterator[None]:
        """Notes bad input, but for our own reader's having gone away.

        Args:
            what: the song or argument in work.
        """
        try:
            yield
        except BrokenPipeError:
            raise
        except (InputError, OSError) as error:
            self._errors.append((str(what), error))

    def tell(self) -> None:
        for what, error in self._errors:
            app.print_error(error, of=what)


def output_folder() -> pathlib.Path:
    """Where the stems go."""
    return pathlib.Path(_OUTPUT_DIR.value).expanduser()


def plan_job(song: Song, output: pathlib.Path, stems: list[str]) -> Job:
    """Looks into a song.

    Raises:
        InputError, OSError: it cannot be read.
    """
    with AudioReader(song.path, downmix=_DOWNMIX.value) as reader:
        seconds, tags = reader.duration_seconds - _START.value, reader.tags
    if _DURATION.value is not None:
        seconds = min(seconds, _DURATION.value)
    targets = {
        name: stem_paths.stem_path(
            output,
            _OUTPUT_TEMPLATE.value,
            song.path,
            name,
            _FORMAT.value,
            tags,
            folder=song.folder,
        )
        for name in stems
    }
    return Job(song, targets, max(seconds, 0.0))


def plan_jobs(
    songs: list[Song], output: pathlib.Path, stems: list[str], failures: Failures
) -> list[Job]:
    """Looks into the songs; leaves out those that cannot be read or written apart.

    Raises:
        InputError: the output is no folder.
    """
    if output.exists() and not output.is_dir():
        raise InputError(f"{output}: must be a folder, but is a file")
    jobs = []
    taken = {song.path.resolve(): f"the song {song.path}" for song in songs}
    for song in songs:
        with failures.caught(song.path):
            job = plan_job(song, output, stems)
            places = [target.resolve() for target in job.targets.values()]
            for place in places:
                if place in taken or places.count(place) > 1:
                    what = taken.get(place, "another stem of it")
                    raise InputError(
                        f"{song.path}: its stems must have files of their own, but "
                        f"{place} is {what} (see --output_template)"
                    )
            taken.update(dict.fromkeys(places, f"a stem of {song.path}"))
            jobs.append(job)
    return jobs


def wanted_stems(sources: tuple[str, ...]) -> list[str]:
    """The stems to write.

    Raises:
        UsageError: they are none of the network's sources, nor no_<source>.
    """
    if _STEMS.value is not None and _TWO_STEMS.value is not None:
        raise app.UsageError("--stems and --two_stems exclude each other")
    wanted = list(sources) if _STEMS.value is None else _STEMS.value
    known = [*sources, *(f"no_{name}" for name in sources)]
    if _TWO_STEMS.value is not None:
        wanted, known = [_TWO_STEMS.value], sources
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise app.UsageError(
            f"stems must be of {', '.join(known)}. "
            f"Received: {', '.join(unknown) or 'none'}"
        )
    if _TWO_STEMS.value is not None:
        return [*wanted, f"no_{wanted[0]}"]
    return list(dict.fromkeys(wanted))


def check_usage(stems: list[str]) -> None:
    """Checks what no file has a say in.

    Raises:
        UsageError: flags are out of range or contradict each other.
    """
    try:
        stem_paths.check_template(_OUTPUT_TEMPLATE.value)
    except InputError as error:
        raise app.UsageError(str(error)) from error
    for flag in (_START, _DURATION):
        if flag.value is not None and not 0 <= flag.value < float("inf"):
            raise app.UsageError(
                f"--{flag.name} must be a number of seconds. Received: {flag.value}"
            )
    if _DURATION.value == 0:
        raise app.UsageError("--duration_seconds must be positive. Received: 0")
    depth, name = _BIT_DEPTH.value, _FORMAT.value
    if depth and (name not in ("wav", "flac") or (name, depth) == ("flac", "32f")):
        raise app.UsageError(f"--bit_depth {depth} is not of {name}")
    if _CLIP.value == "none" and (name != "wav" or depth in ("16", "24")):
        raise app.UsageError("--clip none is of float wav only (--bit_depth 32f)")
    if not _OUTPUT_DIR.value:
        raise app.UsageError("--output_dir must be a folder's name, but is empty")
    if _OUTPUT_DIR.value == "-" and len(stems) != 1:
        raise app.UsageError(
            f"--output_dir=- takes one stem (--stems). Received: {len(stems)} stems"
        )
    if _OUTPUT_DIR.value == "-" and sys.stdout.isatty():
        raise app.UsageError("--output_dir=- writes audio, which is not for a terminal")


def separate_song(separator, job: Job, bar: tqdm.tqdm) -> None:
    """Separates one song, unless its stems exist."""
    existing = [str(target) for target in job.targets.values() if target.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(
            f"{job.song.path}: its stems must be new, or --overwrite be given, but "
            f"there is {existing[0]}"
        )
    bar.set_description(formats.song_name(job.song.path)[:30])

    def advance(seconds: float) -> None:
        bar.total = max(bar.total, bar.n + seconds)  # which was a guess
        bar.update(seconds)

    separator.separate_file(
        job.song.path,
        job.targets,
        bit_depth=_BIT_DEPTH.value and int(_BIT_DEPTH.value.rstrip("f")),
        clip=_CLIP.value,
        start_seconds=_START.value,
        duration_seconds=_DURATION.value,
        downmix=_DOWNMIX.value,
        on_progress=advance,
    )
    if _OUTPUT_DIR.value == "-":
        (target,) = job.targets.values()
        with target.open("rb") as stem:
            shutil.copyfileobj(stem, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    else:
        tqdm.tqdm.write("\n".join(map(str, job.targets.values())))


def separate_songs(separator, jobs: list[Job], failures: Failures) -> None:
    """Separates what can be."""
    bar = tqdm.tqdm(
        total=sum(job.seconds for job in jobs),
        unit="s",
        disable=None,
        bar_format="{desc}{percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s of audio "
        "[{elapsed} < {remaining}]",
    )
    with bar:
        for job in jobs:
            with failures.caught(job.song.path):
                separate_song(separator, job, bar)


@contextlib.contextmanager
def standard_streams(songs: list[Song]) -> Iterator[tuple[list[Song], pathlib.Path]]:
    """Puts files in the place of pipes, standard output among them.

    What is written to one cannot be taken back.

    Yields:
        The songs, and the folder to write to.
    """
    with tempfile.TemporaryDirectory() as name:
        temporary, output = pathlib.Path(name), output_folder()
        if str(output) == "-":
            output = temporary / "stems"
        yield seekable(songs, temporary), output


def separate_all(
    arguments: list[str], sources: tuple[str, ...], load: Callable[[], Separator]
) -> int:
    """Separates what the arguments name.

    Args:
        arguments: files, folders, patterns, or -.
        sources: the network's.
        load: loads a separator, when it is clear that there is work.

    Returns:
        The command's exit code.

    Raises:
        UsageError, InputError: nothing at all can be done.
    """
    stems = wanted_stems(sources)
    check_usage(stems)
    failures, found = Failures(), {}
    for text in arguments:
        with failures.caught(text):  # a song that is named twice is done once
            songs = find_songs(
                text, recursive=_RECURSIVE.value, leave_out=output_folder()
            )
            found.update({song.path.resolve(): song for song in songs})
    if _OUTPUT_DIR.value == "-" and len(found) > 1:
        raise app.UsageError(
            f"--output_dir=- takes one song. Received: {len(found)} songs"
        )
    try:
        with standard_streams(list(found.values())) as (songs, output):
            if jobs := plan_jobs(songs, output, stems, failures):
                separate_songs(load(), jobs, failures)
    finally:
        failures.tell()
    return 1 if failures else 0
