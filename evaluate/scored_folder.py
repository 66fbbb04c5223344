"""A folder of scores: of what they are, and which of them a later run replaces."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from absl import logging

from waveunet_tf.data.tracks import SUBSETS, Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies, true_stems
from waveunet_tf.evaluate.estimators import Estimator
from waveunet_tf.system import files

NOTE = "scored.yaml"
"""The file beside the scores that says what was scored."""
# What in it changes with each track's files, by the track's label.
_STATES = "files"


def scores_path(output: pathlib.Path, track: Track) -> pathlib.Path:
    """Returns where museval writes a track's scores: `<output>/<subset>/<track>.json`.

    Args:
        output: The folder of the scores.
        track: The track.
    """
    return output / track.subset / f"{track.name}.json"


def note_of(
    tracks: list[Track], estimator: Estimator, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Says what is scored, for the note.

    Args:
        tracks: The tracks.
        estimator: What estimates their sources.
        about: What else the scores depend on.
    """
    note = {**estimator.identity(), **about, "museval": metadata.version("museval")}
    states = {track.label: _state_of(track, estimator) for track in tracks}
    if states := {label: state for label, state in states.items() if state}:
        note[_STATES] = states
    return note


def begin(
    output: pathlib.Path, note: dict, tracks: list[Track], *, overwrite: bool
) -> None:
    """Writes the note, after removing what is to be scored again.

    Args:
        output: The folder of the scores, which is locked.
        note: What is scored; see `note_of`.
        tracks: The tracks.
        overwrite: Whether existing scores are thrown away.

    Raises:
        InputError: The folder holds scores of something else.
        OSError: The folder cannot be written.
    """
    import yaml  # not every install has it

    path = output / NOTE
    earlier = _read_note(path)
    same = earlier is not None and _of_all(earlier) == _of_all(note)
    subsets = {track.subset for track in tracks} if same else set(SUBSETS)
    old = [
        old
        for subset in sorted(subsets)
        for suffix in (".json", energies.SUFFIX)
        for old in sorted((output / subset).glob(f"*{suffix}"))
    ]
    if old and not overwrite and not same:
        what = "without a note of their estimator" if earlier is None else "of another"
        differing = sorted(
            key
            for key in {*(earlier or {}), *note} - {_STATES}
            if earlier and earlier.get(key) != note.get(key)
        )
        listing = f" ({', '.join(differing)})" if differing else ""
        raise InputError(
            f"{output}: must be a new folder, or one with scores of the same estimator "
            f"and data, or --overwrite be given, but has scores {what}{listing}"
        )
    if old and overwrite and not (earlier or {}).get("museval"):
        raise InputError(
            f"{output}: --overwrite replaces scores of `waveunet score` only, but this "
            f"folder has no {NOTE} of it"
        )
    if overwrite:
        ours = {scores_path(output, track) for track in tracks}
        for scores in old:
            stem = scores.name.removesuffix(energies.SUFFIX).removesuffix(".json")
            pair = {scores.with_name(stem + end) for end in (".json", energies.SUFFIX)}
            if pair <= set(old) or scores in ours:
                scores.unlink()
    if same and (states := {**_states(earlier), **_states(note)}):
        _remove_outdated(output, _states(earlier), states, tracks)
        note = {**note, _STATES: states}
    with files.atomic_file(path) as part:
        text = yaml.safe_dump(note, sort_keys=False, allow_unicode=True)
        part.write_text(text, encoding="utf-8")


def _read_note(path: pathlib.Path) -> dict | None:
    """Reads a note; None where there is none, {} where the file is not a note."""
    import yaml

    try:
        note = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, yaml.YAMLError):
        return {}
    if not isinstance(note, dict):
        return {}
    note.pop("estimates", None)  # An earlier version's states, of estimates alone.
    return note


def _of_all(note: dict) -> dict:
    """Returns what of a note all scores in a folder have in common.

    A network is the same wherever it lies, and files are a track's own.
    """
    place = {"path"} if "sha256" in note else set()
    return {key: note[key] for key in note.keys() - place - {_STATES}}


def _state_of(track: Track, estimator: Estimator) -> str:
    """Returns what changes with a track's files; "" where one is missing."""
    try:
        true = true_stems.true_files(track, estimator.sources)
        return files.state_of_files([*true, *estimator.files_of(track)])
    except (InputError, OSError):  # which `score_track` tells
        return ""


def _states(note: dict) -> dict[str, str]:
    """Returns the states of tracks' files, which earlier versions did not note."""
    states = note.get(_STATES)
    return states if isinstance(states, dict) else {}


def _remove_outdated(
    output: pathlib.Path, earlier: dict, now: dict, tracks: list[Track]
) -> None:
    """Removes the scores of files that have changed since."""
    for track in tracks:
        path = scores_path(output, track)
        label = track.label
        if label in earlier and earlier[label] != now[label] and path.exists():
            logging.warning("%s: has other stems now: scored again", label)
            path.unlink()
