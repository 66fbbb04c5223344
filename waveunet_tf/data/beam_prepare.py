"""The preparation as an Apache Beam pipeline, for data sets of many machines.

Needs requirements-beam.txt. Workers and the caller must see the same folders by the
same names, such as on a shared file system.
"""

from __future__ import annotations

import os
import pathlib

from waveunet_tf.data import manifest, preparation
from waveunet_tf.data.tracks import Track
from waveunet_tf.system import beam, files


def prepare_on_beam(
    tracks: list[Track],
    output: str | os.PathLike,
    settings: manifest.Settings,
    *,
    runner: str = "DirectRunner",
    options: list[str] | None = None,
) -> list[str]:
    """Does what prepare_tracks does, to the same bytes, on a runner of Beam's.

    Args:
        tracks, output, settings: see preparation.prepare_tracks.
        runner: Beam's name of it, such as DirectRunner, DataflowRunner or FlinkRunner.
        options: Beam's own, such as `--direct_num_workers=4`.

    Returns:
        One line for each track that could not be prepared; the others are done.

    Raises:
        InputError: Beam is not installed, or see preparation.prepare_tracks.
        OSError: the output folder cannot be written.
    """
    beam.import_beam()  # before anything is written
    output = pathlib.Path(output).absolute()
    entries = manifest.entries_of_earlier_run(output, settings, tracks)
    files.remove_parts(output)
    manifest.write_manifest(output, settings, entries)
    jobs = [(track, output, settings) for track in tracks if track.label not in entries]

    def note(results: list[tuple[str, dict | str]]) -> None:
        """Writes the manifest."""
        done = {label: entry for label, entry in results if isinstance(entry, dict)}
        manifest.write_manifest(output, settings, {**entries, **done})

    results = beam.run_on_beam(
        preparation.try_to_prepare,
        jobs,
        output,
        runner=runner,
        options=options,
        note=note,
    )
    failures = {label: text for label, text in results if isinstance(text, str)}
    return [failures[track.label] for track in tracks if track.label in failures]
