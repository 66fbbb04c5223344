r"""Separates songs into stems.

    python -m waveunet_tf.run_separate --checkpoint ~/m4/best --output_dir ~/stems \
        song.mp3 other.flac

Writes OUTPUT_DIR/<song>/<source>.wav, of the song's length and rate, 16 bit.
"""

import pathlib
import sys

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


def separate_file(separator, path: pathlib.Path) -> None:
    """Reads one song and writes its stems; each appears whole or not at all."""
    folder = pathlib.Path(_OUTPUT_DIR.value) / audio.stem_name(path)
    targets = {name: folder / f"{name}.wav" for name in separator.config.sources}
    existing = [str(target) for target in targets.values() if target.exists()]
    if existing and not _OVERWRITE.value:
        raise InputError(
            f"{path}: its stems must be new, or --overwrite be given, but there is "
            f"{existing[0]}"
        )
    song, sample_rate_hz = audio.read(path)
    try:
        stems = separator.separate(song, sample_rate_hz)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    for name, target in targets.items():
        audio.write_wav(target, stems[name], sample_rate_hz)
        print(target)


def main(paths):
    from waveunet_tf.separate import load

    separator = load(_CHECKPOINT.value)
    failures = []
    for path in tqdm.tqdm(paths, unit="song", disable=None):
        try:
            separate_file(separator, pathlib.Path(path))
        except (InputError, FileNotFoundError, PermissionError) as error:
            failures.append(
                f"{error.filename}: {error.strerror}"
                if isinstance(error, OSError)
                else str(error)
            )
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    cli.run(main, arguments="audio files")
