r"""Sorts songs without stems by their groups, for the recipe of the model in the box.

    python -m examples.pretrained.open_songs --source DATA/songs-open \
        --output work/songs

SOURCE holds songs and an index.json, a list of objects with `name` and `group`. Writes
links: OUTPUT/songs/<song> and OUTPUT/generated/<song>, for a teacher; and the group
`instrumental`, which needs none, as tracks:
OUTPUT/instrumental/train/<song>/accompaniment.
"""

from __future__ import annotations

import glob
import os
import pathlib

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

_SOURCE = flags.DEFINE_string("source", None, "The folder of songs.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The folder of links.", required=True)


_GROUPS = ("songs", "generated", "instrumental")


def main(_):
    """Links the songs."""
    source, output = pathlib.Path(_SOURCE.value).resolve(), pathlib.Path(_OUTPUT.value)
    songs = read_index(source)
    for song, (name, group) in songs.items():
        place = output / group / song.name
        if group == "instrumental":
            place = output / group / "train" / name / f"accompaniment{song.suffix}"
        place.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(place):
            place.symlink_to(song)
    print(f"{output}: {len(songs)} songs")


def read_index(source: pathlib.Path) -> dict[pathlib.Path, tuple[str, str]]:
    """Reads which songs there are: file → name and group.

    Args:
        source: The folder of the songs and of index.json.

    Raises:
        InputError: The index is no such list, or a song is not there once.
        OSError: The index cannot be read.
    """
    path, songs = source / "index.json", {}
    index = files.read_json(path)
    for entry in index if isinstance(index, list) else [index]:
        match entry:
            case {"name": str(name), "group": str(group)} if group in _GROUPS:
                found = sorted(source.glob(f"{glob.escape(name)}.*"))
            case _:
                raise InputError(
                    f"{path}: must list objects with a `name`, and a `group` of "
                    f"{', '.join(_GROUPS)}. Received: {entry!r:.80}"
                )
        if len(found) != 1 or found[0].parent != source:
            raise InputError(f"{source}: must have one song {name}.<…>")
        songs[found[0]] = (name, group)
    return songs


if __name__ == "__main__":
    app.run(main)
