"""Jobs on Apache Beam, for data sets of many machines. Needs requirements-beam.txt."""

from __future__ import annotations

import json
import pathlib
import types
from collections.abc import Callable, Sequence
from typing import Any

from waveunet_tf.errors import InputError
from waveunet_tf.system import files, part_folders


def import_beam() -> types.ModuleType:
    """Imports Apache Beam.

    Raises:
        InputError: Beam is not installed.
    """
    try:
        import apache_beam.options.pipeline_options
    except ImportError as error:
        raise InputError(
            "A pipeline runner needs Apache Beam: pip install -r requirements-beam.txt"
        ) from error
    return apache_beam


# Beam does not know this one by its short name.
_DASK_RUNNER = "DaskRunner"


def run_on_beam(
    function: Callable[[Any], Any],
    jobs: list,
    output: pathlib.Path,
    *,
    pipeline_runner: str,
    options: Sequence[str] = (),
    on_results: Callable[[list], None] | None = None,
) -> list:
    """Calls a function with each job on one of Beam's pipeline runners.

    Args:
        function: A function of a module. Its results must be values that JSON can hold.
        jobs: The arguments of the calls, one each.
        output: A folder that the workers and the caller see by the same absolute path.
        pipeline_runner: Beam's name of it: DirectRunner, DataflowRunner, FlinkRunner,
            DaskRunner, …
        options: Beam's own options, such as `--direct_num_workers=4`.
        on_results: Called with all results, on a worker, even if the caller has died.
            Beam must be able to pickle it.

    Returns:
        The results, in any order.

    Raises:
        InputError: Beam is not installed, or knows no such pipeline runner or option.
        OSError: A worker raised an error, for example because its disk is full.
    """
    beam = import_beam()
    output = pathlib.Path(output).absolute()
    pipeline = _pipeline(beam, pipeline_runner, list(options))
    with part_folders.part_folder(output) as folder:
        results_file = folder / "results.json"

        def hand_over(results: list) -> None:
            """Writes the results, on a worker, to the file that the caller reads."""
            if on_results:
                on_results(results)
            with files.atomic_file(results_file) as part:
                part.write_text(json.dumps(results), encoding="utf-8")

        _ = (
            pipeline
            | beam.Create(jobs)
            | beam.Reshuffle()  # Without it, all jobs may go to one worker.
            | beam.Map(function)
            | beam.combiners.ToList()
            | beam.Map(hand_over)
        )
        try:
            pipeline.run().wait_until_finish()
            return json.loads(results_file.read_text(encoding="utf-8"))
        except Exception as error:  # A worker raised it, or dask's workers died.
            reason = (str(error).splitlines() or [type(error).__name__])[-1]
            raise OSError(f"{output}: {reason}") from error


def _pipeline(beam: types.ModuleType, pipeline_runner: str, options: list[str]) -> Any:
    """Makes a pipeline.

    Raises:
        InputError: Beam knows no such pipeline runner or option.
    """
    if pipeline_runner == _DASK_RUNNER:
        pipeline_runner = "apache_beam.runners.dask.dask_runner.DaskRunner"
        if not any("partition" in option for option in options):
            # Else dask may put all jobs into one partition.
            options.append("--dask_partition_size=1")
    try:
        pipeline_options = beam.options.pipeline_options.PipelineOptions(options)
        return beam.Pipeline(pipeline_runner, pipeline_options)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"The pipeline runner must be one of Apache Beam's: {reason}. "
            f"Received: {pipeline_runner}"
        ) from error
