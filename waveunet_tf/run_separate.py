r"""Separates songs into stems.

    python -m waveunet_tf.run_separate --checkpoint ~/m4/best --output_dir ~/stems \
        song.mp3 other.flac folder

Writes OUTPUT_DIR/<song>/<source>.<format>, of the song's length and rate. Of a folder,
all audio files in it are separated.
"""

import pathlib

import tqdm
from absl import flags

from waveunet_tf import audio, cli
from waveunet_tf.decode import SUFFIXES, AudioReader
from waveunet_tf.encode import FORMATS
from waveunet_tf.engines import ENGINES
from waveunet_tf.errors import InputError

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The folder of config.json and weights.", required=True
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The folder to write a folder a song in.", required=True
)
_FORMAT = flags.DEFINE_enum("format", "wav", FORMATS, "Format of the stems.")
_BIT_DEPTH = flags.DEFINE_enum(
    "bit_depth",
    None,
    ["16", "24", "32f"],
    "Bits a sample of wav and flac; 32f is float. Default: the song's.",
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


def find_songs(paths: list[str]) -> list[pathlib.Path]:
    """The files, and the audio files of the folders, in order.

    Raises:
        InputError: a folder holds no audio files.
    """
    songs = []
    for path in map(pathlib.Path, paths):
        if not path.is_dir():
            songs.append(path)
            continue
        inside = path.rglob("*") if _RECURSIVE.value else path.iterdir()
        found = sorted(file for file in inside if file.suffix.lower() in SUFFIXES)
        if not found:
            raise InputError(f"{path}: must hold audio files, but has none")
        songs += found
    return songs


def song_targets(
    songs: list[pathlib.Path], stems: list[str]
) -> dict[pathlib.Path, dict[str, pathlib.Path]]:
    """Song → stem → the file to write.

    Raises:
        InputError: two songs would write the same files, or the output is no folder.
    """
    output_dir = pathlib.Path(_OUTPUT_DIR.value)
    if output_dir.exists() and not output_dir.is_dir():
        raise InputError(f"{output_dir}: must be a folder, but is a file")
    taken, targets = {}, {}
    for song in songs:
        folder = output_dir / audio.stem_name(song)
        if folder in taken:
            raise InputError(
                f"{song}: songs of one call must have different names, but "
                f"{taken[folder]} goes to {folder} too"
            )
        taken[folder] = song
        targets[song] = {name: folder / f"{name}.{_FORMAT.value}" for name in stems}
    return targets


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


def total_seconds(songs: list[pathlib.Path]) -> float:
    """How much audio there is, for the progress bar; what cannot be read counts 0."""
    total = 0.0
    for song in songs:
        try:
            with AudioReader(song) as reader:
                total += reader.duration_seconds
        except (InputError, OSError):
            pass  # told when its turn comes
    return total


def separate_song(separator, song: pathlib.Path, targets: dict, bar: tqdm.tqdm) -> None:
    """Separates one song, unless its stems exist."""
    existing = [str(target) for target in targets.values() if target.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(
            f"{song}: its stems must be new, or --overwrite be given, but there is "
            f"{existing[0]}"
        )
    bar.set_description(audio.stem_name(song)[:30])
    separator.separate_file(
        song,
        targets,
        bit_depth=_BIT_DEPTH.value and int(_BIT_DEPTH.value.rstrip("f")),
        downmix=_DOWNMIX.value,
        on_progress=bar.update,
    )
    tqdm.tqdm.write("\n".join(map(str, targets.values())))


def main(paths):
    from waveunet_tf.checkpoint import read_config
    from waveunet_tf.separate import load

    stems = wanted_stems(read_config(_CHECKPOINT.value).sources)
    targets = song_targets(find_songs(paths), stems)
    separator = load(
        _CHECKPOINT.value,
        engine=_ENGINE.value,
        device=_DEVICE.value,
        threads=_THREADS.value,
        **cli.refinement_from_flags(),
    )
    failed = 0
    bar = tqdm.tqdm(
        total=total_seconds(list(targets)),
        unit="s",
        disable=None,
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {n:.0f}/{total:.0f} s of audio "
        "[{elapsed} < {remaining}]",
    )
    with bar:
        for song in targets:
            try:
                separate_song(separator, song, targets[song], bar)
            except (InputError, OSError) as error:
                failed += 1
                cli.print_error(error)
    return 1 if failed else 0


if __name__ == "__main__":
    cli.run(main, arguments="audio files or folders")
