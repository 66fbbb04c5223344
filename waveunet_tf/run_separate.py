r"""Separates songs into stems.

    python -m waveunet_tf.run_separate --checkpoint ~/m4/best --output_dir ~/stems \
        song.mp3 other.flac folder

Writes OUTPUT_DIR/<song>/<source>.<format>, of the song's length and rate. Songs are
files, folders, of which all audio files are taken, patterns in quotes ("*.mp3"), or -,
standard input.
"""

import contextlib
import glob
import pathlib
import shutil
import sys
import tempfile
from typing import NamedTuple

import tqdm
from absl import flags

from waveunet_tf import audio, cli, stem_paths
from waveunet_tf.decode import SUFFIXES, AudioReader
from waveunet_tf.encode import FORMATS
from waveunet_tf.engines import ENGINES
from waveunet_tf.errors import InputError
from waveunet_tf.song_files import CLIP_MODES

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The folder of config.json and weights.", required=True
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir",
    None,
    "The folder to write a folder a song in; -: one stem of one song to stdout.",
    required=True,
)
_OUTPUT_TEMPLATE = flags.DEFINE_string(
    "output_template",
    stem_paths.DEFAULT_TEMPLATE,
    "Names of the stems in the output folder, of "
    + ", ".join(f"{{{field}}}" for field in stem_paths.FIELDS)
    + ".",
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
    "gain, which is told; clamp: they are clipped; none: they stay, in float wav only. "
    "Default: none for float wav, else rescale.",
)
_START = flags.DEFINE_float(
    "start_seconds", 0.0, "Where in the songs to begin, in seconds.", lower_bound=0
)
_DURATION = flags.DEFINE_float(
    "duration_seconds", None, "How much to separate, in seconds. Default: to the end."
)
_STEMS = flags.DEFINE_list(
    "stems", None, "The sources to write, comma separated. Default: all."
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
_ENGINE = flags.DEFINE_enum(
    "engine",
    "auto",
    ENGINES,
    "What computes the network. auto: what measured faster on this CPU, once for a "
    "checkpoint; on a GPU tensorflow.",
)
_DEVICE = flags.DEFINE_string(
    "device", None, "cpu, gpu:0, gpu:1, … Default: the first GPU, if there is one."
)
_THREADS = flags.DEFINE_integer(
    "threads", None, "CPU threads. Default: one a core.", lower_bound=1
)
cli.define_refinement_flags()
flags.adopt_module_key_flags(cli)


class Job(NamedTuple):
    """What is to be done for a song: stem → the file to write, seconds of audio."""

    song: pathlib.Path
    targets: dict[str, pathlib.Path]
    seconds: float


def find_songs(paths: list[str]) -> list[pathlib.Path]:
    """The files, and those of folders and patterns, in order.

    Raises:
        InputError: a folder holds no audio files, or a pattern finds nothing.
    """
    songs = []
    for text in paths:
        path = pathlib.Path(text)
        if path.is_dir():
            inside = path.rglob("*") if _RECURSIVE.value else path.iterdir()
            found = sorted(file for file in inside if file.suffix.lower() in SUFFIXES)
            if not found:
                raise InputError(f"{path}: must hold audio files, but has none")
        elif not path.exists() and glob.has_magic(text):
            found = sorted(map(pathlib.Path, glob.glob(text, recursive=True)))
            if not found:
                raise InputError(f"{text}: must find files, but finds none")
        else:
            found = [path]
        songs += found
    return songs


def plan_job(song: pathlib.Path, folder: pathlib.Path, stems: list[str]) -> Job:
    """Looks into a song.

    Raises:
        InputError, OSError: it cannot be read.
    """
    with AudioReader(song, downmix=_DOWNMIX.value) as reader:
        seconds, tags = reader.duration_seconds - _START.value, reader.tags
    if _DURATION.value is not None:
        seconds = min(seconds, _DURATION.value)
    template, suffix = _OUTPUT_TEMPLATE.value, _FORMAT.value
    targets = {
        name: stem_paths.stem_path(folder, template, song, name, suffix, tags)
        for name in stems
    }
    return Job(song, targets, max(seconds, 0.0))


def plan_jobs(
    songs: list[pathlib.Path], folder: pathlib.Path, stems: list[str]
) -> list[Job]:
    """Looks into the songs; tells of those that cannot be read, and leaves them out.

    Raises:
        InputError: two stems would be the same file, or the output is no folder.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: must be a folder, but is a file")
    jobs, taken = [], {}
    for song in songs:
        try:
            job = plan_job(song, folder, stems)
        except (InputError, OSError) as error:
            cli.print_error(error)
            continue
        for name, target in job.targets.items():
            if target in taken:
                raise InputError(
                    f"{song}: stems must have different names, but its {name} and the "
                    f"{taken[target]} are both {target} (see --output_template)"
                )
            taken[target] = f"{name} of {song}"
        jobs.append(job)
    return jobs


def wanted_stems(sources: tuple[str, ...]) -> list[str]:
    """The stems to write.

    Raises:
        UsageError: they are none of the network's sources.
    """
    if _STEMS.value is not None and _TWO_STEMS.value is not None:
        raise cli.UsageError("--stems and --two_stems exclude each other")
    wanted = list(sources) if _STEMS.value is None else _STEMS.value
    if _TWO_STEMS.value is not None:
        wanted = [_TWO_STEMS.value]
    unknown = [name for name in wanted if name not in sources]
    if unknown or not wanted:
        raise cli.UsageError(
            f"stems must be of the checkpoint's sources, {', '.join(sources)}. "
            f"Received: {', '.join(unknown) or 'none'}"
        )
    return [*wanted, f"no_{wanted[0]}"] if _TWO_STEMS.value is not None else wanted


def check_usage(paths: list[str], stems: list[str]) -> None:
    """Checks what no file has a say in.

    Raises:
        UsageError: the flags contradict each other or the arguments.
    """
    try:
        stem_paths.check_template(_OUTPUT_TEMPLATE.value)
    except InputError as error:
        raise cli.UsageError(str(error)) from error
    if _DURATION.value is not None and not _DURATION.value > 0:
        raise cli.UsageError(
            f"--duration_seconds must be positive. Received: {_DURATION.value}"
        )
    lossless = [name for name in ("wav", "flac") if name == _FORMAT.value]
    if _BIT_DEPTH.value and not lossless:
        raise cli.UsageError(f"--bit_depth is of wav and flac, not of {_FORMAT.value}")
    if _OUTPUT_DIR.value == "-" and (len(paths), len(stems)) != (1, 1):
        raise cli.UsageError(
            "--output_dir=- takes one song and one stem (--stems). Received: "
            f"{len(paths)} songs, {len(stems)} stems"
        )


def separate_song(separator, job: Job, bar: tqdm.tqdm) -> None:
    """Separates one song, unless its stems exist."""
    existing = [str(target) for target in job.targets.values() if target.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(
            f"{job.song}: its stems must be new, or --overwrite be given, but there is "
            f"{existing[0]}"
        )
    bar.set_description(audio.stem_name(job.song)[:30])
    separator.separate_file(
        job.song,
        job.targets,
        bit_depth=_BIT_DEPTH.value and int(_BIT_DEPTH.value.rstrip("f")),
        clip=_CLIP.value,
        start_seconds=_START.value,
        duration_seconds=_DURATION.value,
        downmix=_DOWNMIX.value,
        on_progress=bar.update,
    )
    if _OUTPUT_DIR.value == "-":
        (target,) = job.targets.values()
        with target.open("rb") as stem:
            shutil.copyfileobj(stem, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    else:
        tqdm.tqdm.write("\n".join(map(str, job.targets.values())))


def separate_songs(separator, jobs: list[Job]) -> int:
    """Separates what can be; tells of what cannot; gives how many were done."""
    done = 0
    bar = tqdm.tqdm(
        total=sum(job.seconds for job in jobs),
        unit="s",
        disable=None,
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s of audio "
        "[{elapsed} < {remaining}]",
    )
    with bar:
        for job in jobs:
            try:
                separate_song(separator, job, bar)
                done += 1
            except (InputError, OSError) as error:
                cli.print_error(error)
    return done


@contextlib.contextmanager
def standard_streams(songs: list[pathlib.Path]):
    """Puts files in the place of standard input and output, where they are asked for.

    Most formats cannot be read from a pipe, nor can what is written be taken back.

    Yields:
        The songs, and the folder to write to.
    """
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(_OUTPUT_DIR.value)
        if "-" in map(str, songs) or _OUTPUT_DIR.value == "-":
            name = stack.enter_context(tempfile.TemporaryDirectory())
            if _OUTPUT_DIR.value == "-":
                folder = pathlib.Path(name) / "stems"
        if "-" in map(str, songs):
            came = pathlib.Path(name) / "stdin"
            with came.open("wb") as file:
                shutil.copyfileobj(sys.stdin.buffer, file)
            songs = [came if str(song) == "-" else song for song in songs]
        yield songs, folder


def main(paths):
    from waveunet_tf.checkpoint import read_config
    from waveunet_tf.separate import load

    stems = wanted_stems(read_config(_CHECKPOINT.value).sources)
    check_usage(paths, stems)
    with standard_streams(find_songs(paths)) as (songs, folder):
        jobs = plan_jobs(songs, folder, stems)
        done = 0
        if jobs:
            separator = load(
                _CHECKPOINT.value,
                engine=_ENGINE.value,
                device=_DEVICE.value,
                threads=_THREADS.value,
                **cli.refinement_from_flags(),
            )
            done = separate_songs(separator, jobs)
    return 0 if done == len(songs) else 1


if __name__ == "__main__":
    cli.run(main, arguments="audio files, folders, patterns, or -")
