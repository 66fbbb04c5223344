"""A worker's separator, without a cluster; songs_on_dask_test.py has one."""

import types

import pytest

pytest.importorskip("distributed", reason="needs requirements-dask.txt")

from tests.separation.numpy_engine import share_separator
from waveunet_tf.errors import InputError
from waveunet_tf.separation import worker_separator
from waveunet_tf.separation.worker_separator import SeparatorPlugin
from waveunet_tf.system.dask_workers import UnfitWorkerError


class Source:
    sources, sha256 = ("accompaniment", "vocals"), "0123456789abcdef" * 4

    def __init__(self, error=None):
        self.error, self.loads = error, 0

    def load(self):
        self.loads += 1
        if self.error:
            raise self.error
        return share_separator()


@pytest.fixture
def worker(monkeypatch):
    """A worker that has no plugin yet."""
    worker = types.SimpleNamespace(plugins={})
    monkeypatch.setattr(worker_separator.distributed, "get_worker", lambda: worker)
    return worker


def test_the_separator_is_loaded_once_and_dropped_at_the_end(worker):
    source = Source()
    plugin = SeparatorPlugin(source)
    worker.plugins[plugin.name] = plugin
    plugin.setup(worker)
    first = worker_separator.separator_here(plugin.name)
    assert worker_separator.separator_here(plugin.name) is first
    assert source.loads == 1
    assert worker_separator.problem_here(plugin.name, worker) is None
    plugin.teardown(worker)
    with pytest.raises(UnfitWorkerError):
        worker_separator.separator_here(plugin.name)


@pytest.mark.parametrize("error", [InputError("no such\nmodel"), OSError(2, "none")])
def test_a_worker_that_cannot_load_it_stays_and_says_why(worker, error):
    plugin = SeparatorPlugin(Source(error))
    worker.plugins[plugin.name] = plugin
    plugin.setup(worker)
    problem = worker_separator.problem_here(plugin.name, worker)
    assert problem and "\n" not in problem
    with pytest.raises(UnfitWorkerError) as raised:
        worker_separator.separator_here(plugin.name)
    assert str(raised.value) == problem


def test_a_worker_that_has_heard_of_no_network_is_unfit(worker):
    assert worker_separator.problem_here("waveunet-x", worker)
    with pytest.raises(UnfitWorkerError, match="has not loaded a network"):
        worker_separator.separator_here("waveunet-x")
