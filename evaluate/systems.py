"""Scores and energies of several systems, to be compared."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from absl import logging

from waveunet_tf.data.tracks import Track
from waveunet_tf.errors import InputError
from waveunet_tf.evaluate import energies, scores, true_stems
from waveunet_tf.evaluate.energies import TrackEnergies
from waveunet_tf.evaluate.scores import TrackScores

Systems = dict[str, dict[str, TrackScores]]
Energies = dict[str, dict[str, TrackEnergies]]
LeftOut = Callable[[Exception], Any]


def read_scores(folders: Mapping[str, pathlib.Path], left_out: LeftOut) -> Systems:
    """Reads the systems' scores of the tracks that all systems have.

    Args:
        folders: System → folder.
        left_out: Called with an error for each file that cannot be read, each system
            without scores, and each system with tracks that others lack.

    Returns:
        System → track → scores.

    Raises:
        InputError: No system has scores, or the systems have no track in common.
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


def energies_if_any(
    folders: Mapping[str, pathlib.Path],
    systems: Systems,
    left_out: LeftOut,
    *,
    stems: Mapping[str, Track] | None = None,
) -> Energies:
    """Does what `energies_by_system` does, where there is anything to measure.

    Where no folder has energies and there are no stems, all systems go without, and a
    warning is logged in place of an error for each system.

    Args:
        folders: System → folder.
        systems: System → track → scores.
        left_out: Called with an error for each file that cannot be read, and each
            system with tracks without energies.
        stems: Track → its true stems, measured where no system has energies.

    Returns:
        System → track → energies.
    """
    if stems is None and not any(map(_has_energies, folders.values())):
        logging.warning("no energies beside the scores, and no --data_dir: no levels")
        return {system: {} for system in systems}
    return energies_by_system(folders, systems, left_out, stems=stems)


def energies_by_system(
    folders: Mapping[str, pathlib.Path],
    systems: Systems,
    left_out: LeftOut,
    *,
    stems: Mapping[str, Track] | None = None,
) -> Energies:
    """Returns each system's energies, or else those of the true sources alone.

    The latter are another system's of the same tracks, or measured from the stems.

    Args:
        folders: System → folder.
        systems: System → track → scores.
        left_out: Called with an error for each file that cannot be read, and each
            system with tracks without energies.
        stems: Track → its true stems, measured where no system has energies.

    Returns:
        System → track → energies.
    """
    own = {name: _read_energies(folder, left_out) for name, folder in folders.items()}
    energies_of: Energies = {}
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


def _read_energies(folder: pathlib.Path, left_out: LeftOut) -> dict[str, TrackEnergies]:
    """Reads a folder's energies, which may be none."""
    try:
        return energies.read_system_energies(folder, left_out=left_out)
    except InputError:  # None is left; of each that was there left_out knows.
        return {}


def _has_energies(folder: pathlib.Path) -> bool:
    return bool(scores.find_track_files(folder, energies.SUFFIX))


def _fits(track: TrackEnergies | None, sources: tuple[str, ...], frames: int) -> bool:
    """Returns whether energies are of these sources and of as many frames."""
    return (
        track is not None
        and set(sources) <= set(track.reference)
        and track.frames == frames
    )


def _true_energies(
    name: str,
    sources: tuple[str, ...],
    frames: int,
    own: Energies,
    stems: Mapping[str, Track],
    left_out: LeftOut,
) -> TrackEnergies | None:
    """Takes the true sources' energies from any system, or measures the stems."""
    for tracks in own.values():
        if _fits(tracks.get(name), sources, frames):
            return dataclasses.replace(tracks[name], estimate={}, error={})
    if name not in stems:
        return None
    try:
        measured = true_stems.measure_true_stems(stems[name], sources)
    except (InputError, OSError) as error:
        left_out(error)
        return None
    return measured if _fits(measured, sources, frames) else None
