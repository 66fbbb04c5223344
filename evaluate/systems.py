"""Systems that a command line names, NAME=DIR: their scores, to be compared."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

from evaluate import energies, scores, true_stems
from evaluate.energies import TrackEnergies
from evaluate.scores import TrackScores
from waveunet_tf.commands import app
from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError


def named_folders(arguments: list[str]) -> dict[str, pathlib.Path]:
    """Folders by name, from arguments NAME=DIR.

    Raises:
        UsageError: an argument has no name or folder, or a name comes twice.
    """
    folders: dict[str, pathlib.Path] = {}
    for argument in arguments:
        name, _, folder = argument.partition("=")
        if not name or not folder:
            raise app.UsageError(f"must be NAME=DIR. Received: {argument}")
        if name in folders:
            raise app.UsageError(f"names must differ. Received twice: {name}")
        folders[name] = pathlib.Path(folder).expanduser()
    return folders


def read_scores(
    folders: dict[str, pathlib.Path], left_out: Callable[[InputError | OSError], Any]
) -> dict[str, dict[str, TrackScores]]:
    """The systems' scores of the tracks that all have.

    Args:
        folders: system → folder.
        left_out: is told of files that cannot be read, of systems without scores, and
            of tracks that not all have.

    Returns:
        System → track → scores.

    Raises:
        InputError: no system has scores, or no track is in all that have.
    """
    systems = {}
    for name, folder in folders.items():
        try:
            systems[name] = scores.read_system(folder, left_out=left_out)
        except InputError as error:
            if len(folders) == 1:
                raise
            left_out(error)
    if not systems:
        raise InputError(f"{', '.join(folders)}: must have scores, but none has")
    common = set.intersection(*(set(tracks) for tracks in systems.values()))
    if not common:
        raise InputError(
            f"{', '.join(systems)}: must have a track in common, but have none"
        )
    for name, tracks in systems.items():
        if alone := [track for track in tracks if track not in common]:
            left_out(
                InputError(
                    f"{folders[name]}: tracks must be in all systems; left out: "
                    + ", ".join(alone)
                )
            )
    return {
        name: {track: tracks[track] for track in tracks if track in common}
        for name, tracks in systems.items()
    }


def read_energies(
    folders: dict[str, pathlib.Path], left_out: Callable[[InputError | OSError], Any]
) -> dict[str, TrackEnergies]:
    """The energies of the true sources, of each track from the first that has them.

    Args:
        folders: system → folder, which may hold none.
        left_out: is told of files that cannot be read.

    Returns:
        Track → energies.
    """
    tracks: dict[str, TrackEnergies] = {}
    for own in _own_energies(folders, left_out).values():
        tracks = {**own, **tracks}
    return tracks


def energies_by_system(
    folders: dict[str, pathlib.Path],
    systems: dict[str, dict[str, TrackScores]],
    left_out: Callable[[InputError | OSError], Any],
    *,
    stems: dict[str, Track] | None = None,
) -> dict[str, dict[str, TrackEnergies]]:
    """Each system's energies: its own, or else those of the true sources alone.

    These come from another system of the same tracks, or from the stems.

    Args:
        folders: system → folder.
        systems: what `read_scores` gave.
        left_out: is told of files that cannot be read, and of tracks without energies.
        stems: track's name → the track, to be measured where nothing else tells.

    Returns:
        System → track → energies.
    """
    own = _own_energies(folders, left_out)
    energies_of: dict[str, dict[str, TrackEnergies]] = {}
    true: dict[tuple, TrackEnergies | None] = {}
    for system, tracks in systems.items():
        energies_of[system] = {}
        for name, track in tracks.items():
            sources, frames = tuple(sorted(track.sources)), len(track.times)
            if _fits(own[system].get(name), sources, frames):
                energies_of[system][name] = own[system][name]
                continue
            key = (name, sources, frames)
            if key not in true:
                true[key] = _true_energies(*key, own, stems or {}, left_out)
            if true[key]:
                energies_of[system][name] = true[key]
        if missing := [name for name in tracks if name not in energies_of[system]]:
            left_out(
                InputError(
                    f"{folders[system]}: must have energies of the same frames; of "
                    f"{len(missing)} tracks there are none, such as {missing[0]} "
                    "(--data_dir measures those of the true stems)"
                )
            )
    return energies_of


def _own_energies(folders, left_out) -> dict[str, dict[str, TrackEnergies]]:
    return {
        name: energies.read_system(folder, left_out=left_out)
        if any(folder.rglob(f"*{energies.SUFFIX}"))
        else {}
        for name, folder in folders.items()
    }


def _fits(track: TrackEnergies | None, sources: tuple[str, ...], frames: int) -> bool:
    """Whether energies are of these sources and of as many frames."""
    return (
        track is not None
        and set(sources) <= set(track.reference)
        and track.frames == frames
    )


def _true_energies(name, sources, frames, own, stems, left_out) -> TrackEnergies | None:
    for tracks in own.values():
        if _fits(tracks.get(name), sources, frames):
            return dataclasses.replace(tracks[name], estimate={}, error={})
    if name not in stems:
        return None
    try:
        measured = true_stems.measure(stems[name], sources)
    except (InputError, OSError) as error:
        left_out(error)
        return None
    return measured if _fits(measured, sources, frames) else None
