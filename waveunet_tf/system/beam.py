"""Jobs on Apache Beam, for data sets of many machines. Needs requirements-beam.txt."""

from __future__ import annotations

import json
import os
import pathlib
import types
from collections.abc import Callable
from typing import Any

from waveunet_tf.errors import InputError
from waveunet_tf.system import files


def import_beam() -> types.ModuleType:
    """Imports Apache Beam.

    Raises:
        InputError: it is not installed.
    """
    try:
        import apache_beam.options.pipeline_options
    except ImportError as error:
        raise InputError(
            "`runner` needs Apache Beam: pip install -r requirements-beam.txt"
        ) from error
    return apache_beam


def run_on_beam(
    function: Callable[[Any], Any],
    jobs: list,
    output: pathlib.Path,
    *,
    runner: str,
    options: list[str] | None = None,
    note: Callable[[list], None] | None = None,
) -> list:
    """Calls a function with each job on one of Beam's runners.

    Args:
        function: of a module; what it gives must be what JSON can hold.
        jobs: its arguments.
        output: an absolute folder, which the workers and the caller see by this name.
        runner: Beam's name of it, such as DirectRunner, DataflowRunner or FlinkRunner.
        options: Beam's own, such as `--direct_num_workers=4`.
        note: takes all results, on a worker, as soon as they are there.

    Returns:
        The results, in any order.

    Raises:
        InputError: Beam is not installed, or knows no such runner or option.
        OSError: a worker raised an error, such as for want of space.
    """
    beam = import_beam()
    told = output / f".results-{os.getpid()}.json"

    def tell(results: list) -> None:
        """Writes what came, for the caller to read."""
        if note:
            note(results)
        with files.atomic_file(told) as part:
            part.write_text(json.dumps(results), encoding="utf-8")

    try:
        pipeline_options = beam.options.pipeline_options.PipelineOptions(options or [])
        pipeline = beam.Pipeline(runner, pipeline_options)
    except ValueError as error:
        raise InputError(f"`runner`: {str(error).splitlines()[0]}") from error
    _ = (
        pipeline
        | beam.Create(jobs)
        | beam.Reshuffle()  # lest all jobs go to one worker
        | beam.Map(function)
        | beam.combiners.ToList()
        | beam.Map(tell)
    )
    try:
        pipeline.run().wait_until_finish()
    except RuntimeError as error:  # what a worker raised
        raise OSError(f"{output}: {str(error).splitlines()[-1]}") from error
    results = json.loads(told.read_text(encoding="utf-8"))
    told.unlink()
    return results
