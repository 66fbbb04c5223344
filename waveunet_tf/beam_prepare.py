"""The preparation as an Apache Beam pipeline, for data sets of many machines.

Needs requirements-beam.txt. Workers and the caller must see the same folders by the
same names, such as on a shared file system.
"""

from __future__ import annotations

import json
import os
import pathlib

from waveunet_tf import files, manifest, prepare
from waveunet_tf.errors import InputError
from waveunet_tf.tracks import Track


def prepare_on_beam(
    tracks: list[Track],
    output: str | os.PathLike,
    settings: manifest.Settings,
    *,
    runner: str = "DirectRunner",
    options: list[str] | None = None,
) -> list[str]:
    """Does what prepare.prepare does, to the same bytes, on one of Beam's runners.

    Args:
        tracks, output, settings: see prepare.prepare.
        runner: Beam's name of it, such as DirectRunner, DataflowRunner or FlinkRunner.
        options: Beam's own, such as `--direct_num_workers=4`.

    Returns:
        One line for each track that could not be prepared; the others are done.

    Raises:
        InputError: Beam is not installed, or see prepare.prepare.
        OSError: the output folder cannot be written.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise InputError(
            "`runner` needs Apache Beam: pip install -r requirements-beam.txt"
        ) from error
    output = pathlib.Path(output).absolute()
    entries = manifest.entries_of_earlier_run(output, settings, tracks)
    prepare.remove_parts(output)
    manifest.write_manifest(output, settings, entries)
    jobs = [(track, output, settings) for track in tracks if track.label not in entries]
    told = output / f".failures-{os.getpid()}.json"

    def note(results: list[tuple[str, dict | str]]) -> None:
        """Writes the manifest, and the failures for the caller to read."""
        done = {label: entry for label, entry in results if isinstance(entry, dict)}
        manifest.write_manifest(output, settings, {**entries, **done})
        with files.atomic_file(told) as part:
            part.write_text(
                json.dumps(
                    {label: text for label, text in results if label not in done}
                )
            )

    try:
        pipeline_options = PipelineOptions(options or [])
        pipeline = beam.Pipeline(runner, pipeline_options)
    except ValueError as error:
        raise InputError(f"`runner`: {str(error).splitlines()[0]}") from error
    _ = (
        pipeline
        | beam.Create(jobs)
        | beam.Reshuffle()  # lest all tracks go to one worker
        | beam.Map(prepare.try_to_prepare)
        | beam.combiners.ToList()
        | beam.Map(note)
    )
    try:
        pipeline.run().wait_until_finish()
    except RuntimeError as error:  # what a worker raised, such as for want of space
        raise OSError(f"{output}: {str(error).splitlines()[-1]}") from error
    failures = json.loads(told.read_text())
    told.unlink()
    return [failures[track.label] for track in tracks if track.label in failures]
