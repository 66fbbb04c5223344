import functools
import sys
import types

import pytest

from tests.system import jobs
from waveunet_tf.errors import InputError
from waveunet_tf.system import beam


class StandInPipeline:
    """As much of a pipeline of Beam's as run_on_beam uses, in this process."""

    def __init__(self, runner, options):
        if runner != "DirectRunner":
            raise ValueError(f"Unexpected pipeline runner: {runner}.\nMore lines.")
        self.steps = []

    def __or__(self, step):
        self.steps.append(step)
        return self

    def run(self):
        return self

    def wait_until_finish(self):
        values = []
        try:
            for step in self.steps:
                values = step(values)
        except Exception as error:  # as Beam, which shows a traceback's text
            raise RuntimeError(f"Traceback\n{type(error).__name__}: {error}") from error


def stand_in():
    """A module like apache_beam; its pipelines' options are kept in `options`."""
    module = types.ModuleType("apache_beam")
    module.options = types.ModuleType("apache_beam.options")
    module.options.pipeline_options = types.ModuleType(
        "apache_beam.options.pipeline_options"
    )
    module.options.pipeline_options.PipelineOptions = list
    module.Pipeline = StandInPipeline
    module.Create = lambda jobs: lambda _: list(jobs)
    module.Reshuffle = lambda: lambda values: values[::-1]
    module.Map = lambda function: lambda values: [function(value) for value in values]
    module.combiners = types.SimpleNamespace(ToList=lambda: lambda values: [values])
    return module


@pytest.fixture(params=["stand-in", "Beam"], autouse=True)
def apache_beam(request, monkeypatch):
    """A stand-in of Apache Beam, or Beam itself where it is installed."""
    if request.param == "Beam":
        pytest.importorskip("apache_beam", reason="needs requirements-beam.txt")
        return
    module = stand_in()
    for found in (module, module.options, module.options.pipeline_options):
        monkeypatch.setitem(sys.modules, found.__name__, found)


def run_direct(function, numbers, output, **arguments):
    return beam.run_on_beam(
        function, numbers, output, pipeline_runner="DirectRunner", **arguments
    )


def test_every_job_is_done_once(tmp_path):
    results = run_direct(jobs.square, [1, 2, 3], tmp_path)
    assert sorted(square for _, square in results) == [1, 4, 9]
    assert list(tmp_path.iterdir()) == []


def test_no_jobs_have_no_results(tmp_path):
    assert run_direct(jobs.square, [], tmp_path) == []


def test_all_results_are_noted_before_the_caller_has_them(tmp_path):
    noted = tmp_path / "noted"
    on_results = functools.partial(jobs.note, noted)
    results = run_direct(abs, [-1, -2], tmp_path, on_results=on_results)
    assert sorted(results) == [1, 2]
    assert noted.read_text() == "[1, 2]"


def test_a_relative_folder_is_the_callers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    assert run_direct(abs, [-1], "out") == [1]


def test_a_workers_error_is_an_os_error_and_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space left on device") as error:
        run_direct(jobs.fail_at_3, [1, 2, 3], tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: ")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_dask_is_known_by_its_short_name_with_a_job_in_each_partition(
    tmp_path, monkeypatch
):
    module = stand_in()
    made = []
    module.Pipeline = lambda runner, options: (
        made.append((runner, options)) or (StandInPipeline("DirectRunner", options))
    )
    monkeypatch.setattr(beam, "import_beam", lambda: module)
    for options in ([], ["--dask_npartitions=2"]):
        beam.run_on_beam(
            abs, [-1], tmp_path, pipeline_runner="DaskRunner", options=options
        )
    name = "apache_beam.runners.dask.dask_runner.DaskRunner"
    assert made == [
        (name, ["--dask_partition_size=1"]),
        (name, ["--dask_npartitions=2"]),
    ]


@pytest.mark.xdist_group("dask")
def test_jobs_are_spread_over_dasks_workers_which_may_die(tmp_path, request):
    if not hasattr(sys.modules["apache_beam"], "__path__"):
        pytest.skip("needs requirements-beam.txt")
    client = request.getfixturevalue("dask_client")
    run = functools.partial(
        beam.run_on_beam,
        output=tmp_path,
        pipeline_runner="DaskRunner",
        options=[f"--dask_client_address={client.scheduler.address}"],
    )
    results = run(jobs.square, list(range(40)))
    assert sorted(square for _, square in results) == [n**2 for n in range(40)]
    assert len({process for process, _ in results}) == 2
    with pytest.raises(OSError, match="died while running it") as error:
        run(jobs.kill_itself, [1])
    assert "\n" not in str(error.value)


def test_an_unknown_pipeline_runner_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="must be one of Apache .*: NoRunner") as error:
        beam.run_on_beam(abs, [1], tmp_path, pipeline_runner="NoRunner")
    assert "\n" not in str(error.value)


def test_without_beam_the_requirements_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(InputError, match="pip install -r requirements-beam.txt"):
        beam.import_beam()
