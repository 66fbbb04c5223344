"""Chooses the training tracks that are for validation."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import pathlib

from absl import logging

from waveunet_tf.data.sigsep import musdb_setup
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.system import files

# The places, in MUSDB18's 100 training tracks by name, of those that the original draws
# with its seed of 1337 (derived, not published).
_PAPER_INDICES = (
    *(2, 10, 11, 15, 17, 30, 32, 36, 43, 44, 48, 50, 52),
    *(53, 56, 59, 63, 70, 73, 76, 79, 81, 86, 87, 91),
)


def split(tracks: list[Track], how: str) -> list[Track]:
    """Moves training tracks to the subset `valid`, or back.

    Args:
        tracks: Tracks of any subsets. Those of `test` stay there.
        how: The rule: `paper` (25 of MUSDB18's 100, as the original draws them),
            `musdb` (musdb's official 14), `fraction:0.1` (about a tenth, chosen by a
            hash of the names, at least one), `none`, or the path of a text file with a
            name in each line.

    Returns:
        The tracks with their new subsets.

    Raises:
        InputError: The rule is unknown, or the tracks do not fit it.
    """
    learning = sorted(
        (track for track in tracks if track.subset != "test"), key=lambda t: t.name
    )
    names = [track.name for track in learning]
    chosen = _chosen(names, how)
    if learning and chosen >= set(names):
        raise InputError(
            "`validation` must leave tracks for training. "
            f"Received: {how}, which takes all {len(names)}"
        )
    back = [
        track.name
        for track in learning
        if track.subset == "valid" and track.name not in chosen
    ]
    if back:
        verb, more = ("s of valid are", ", …") if back[1:] else (" of valid is", "")
        logging.warning(
            "%d track%s for training, by the rule %s (%s%s)",
            *(len(back), verb, how, back[0], more),
        )
    return [
        track
        if track.subset == "test"
        else dataclasses.replace(
            track, subset="valid" if track.name in chosen else "train"
        )
        for track in tracks
    ]


def _chosen(names: list[str], how: str) -> set[str]:
    if how == "none":
        return set()
    if how == "paper":
        if len(names) != 100:
            raise InputError(
                "`validation` may be paper only of MUSDB18's 100 training tracks. "
                f"Received: {len(names)} training tracks"
            )
        return {names[index] for index in _PAPER_INDICES}
    if how == "musdb":
        return set(musdb_setup()["validation_tracks"])
    if how.startswith("fraction:"):
        return _fraction(names, how)
    return _listed(names, pathlib.Path(how))


def _fraction(names: list[str], how: str) -> set[str]:
    try:
        fraction = float(how.partition(":")[2])
    except ValueError:
        fraction = math.nan
    if not 0 < fraction < 1:
        raise InputError(
            "`validation` must be a fraction between 0 and 1, such as fraction:0.1. "
            f"Received: {how}"
        )

    def place(name: str) -> float:
        """Returns a number from 0 to 1 that does not depend on the other tracks."""
        digest = hashlib.sha256(os.fsencode(name)).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    return {name for name in names if place(name) < fraction} or {min(names, key=place)}


def _listed(names: list[str], path: pathlib.Path) -> set[str]:
    if not path.is_file():
        raise InputError(
            "`validation` must be paper, musdb, fraction:<number>, none, or a file of "
            f"names. Received: {path}, which is no file"
        )
    # Folders may have names that are not UTF-8, and Notepad begins a file with a mark.
    lines = path.read_text("utf-8-sig", errors="surrogateescape").splitlines()
    listed = [line.strip() for line in lines if line.strip()]
    found = {name: files.find_name(name, names) for name in listed}
    if unknown := [name for name, own in found.items() if own is None]:
        raise InputError(
            f"{path}: must list names of training tracks, but {unknown[0]!r} is none"
        )
    return set(found.values())
