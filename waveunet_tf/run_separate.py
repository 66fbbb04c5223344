r"""Separates songs into stems.

    python -m waveunet_tf.run_separate --checkpoint ~/m4/best --output_dir ~/stems \
        song.mp3 other.flac

Writes OUTPUT_DIR/<song>/<source>.wav, of the song's length and rate, 16 bit.
"""

import pathlib

import tqdm
from absl import flags

from waveunet_tf import audio, cli
from waveunet_tf.errors import InputError

_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "The folder of config.json and weights.", required=True
)
_OUTPUT_DIR = flags.DEFINE_string(
    "output_dir", None, "The folder to write a folder a song in.", required=True
)
_OVERWRITE = flags.DEFINE_boolean(
    "overwrite", False, "Replace stems that exist already."
)
cli.define_refinement_flags()
flags.adopt_module_key_flags(cli)


def separate_file(separator, path: pathlib.Path, folder: pathlib.Path) -> None:
    """Reads one song and writes its stems, which appear together or not at all."""
    targets = {name: folder / f"{name}.wav" for name in separator.config.sources}
    existing = [str(target) for target in targets.values() if target.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(
            f"{path}: its stems must be new, or --overwrite be given, but there is "
            f"{existing[0]}"
        )
    separator.separate_file(path, targets)
    print("\n".join(map(str, targets.values())))


def song_folders(paths: list[str]) -> dict[pathlib.Path, pathlib.Path]:
    """Song → the folder for its stems.

    Raises:
        InputError: two songs are of the same name, or the output is no folder.
    """
    output_dir = pathlib.Path(_OUTPUT_DIR.value)
    if output_dir.exists() and not output_dir.is_dir():
        raise InputError(f"{output_dir}: must be a folder, but is a file")
    folders = {}
    for path in map(pathlib.Path, paths):
        folder = output_dir / audio.stem_name(path)
        if folder in folders.values():
            other = next(song for song, taken in folders.items() if taken == folder)
            raise InputError(
                f"{path}: songs of one call must have different names, but {other} "
                f"goes to {folder} too"
            )
        folders[path] = folder
    return folders


def main(paths):
    folders = song_folders(paths)

    from waveunet_tf.separate import load

    separator = load(_CHECKPOINT.value, **cli.refinement_from_flags())
    failed = 0
    for path in tqdm.tqdm(folders, unit="song", disable=None):
        try:
            separate_file(separator, path, folders[path])
        except (InputError, OSError) as error:
            failed += 1
            cli.print_error(error)
    return 1 if failed else 0


if __name__ == "__main__":
    cli.run(main, arguments="audio files")
