r"""Sorts songs without stems by their groups, for the recipe of the model in the box.

    python -m examples.pretrained.open_songs --source DATA/songs-open \
        --output work/songs

SOURCE holds songs and an index.json, a list of objects with `name` and `group`. Writes
links: OUTPUT/<group>/<song>, for a teacher; and the group `instrumental`, which needs
none, as tracks: OUTPUT/instrumental/train/<song>/accompaniment.
"""

from __future__ import annotations

import os
import pathlib

from absl import flags

from waveunet_tf.commands import app
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

_SOURCE = flags.DEFINE_string("source", None, "The folder of songs.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "The folder of links.", required=True)


def main(_):
    """Links the songs."""
    source, output = pathlib.Path(_SOURCE.value).resolve(), pathlib.Path(_OUTPUT.value)
    count = 0
    for song in files.read_json(source / "index.json"):
        found = sorted(source.glob(f"{_escaped(song['name'])}.*"))
        if len(found) != 1:
            raise InputError(f"{source}: must have one song {song['name']}.<…>")
        place = output / song["group"] / found[0].name
        if song["group"] == "instrumental":
            name = f"accompaniment{found[0].suffix}"
            place = output / "instrumental" / "train" / song["name"] / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(place):
            place.symlink_to(found[0])
        count += 1
    print(f"{output}: {count} songs")


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


if __name__ == "__main__":
    app.run(main)
