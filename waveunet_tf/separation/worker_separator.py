"""The separator of one of dask's workers: loaded once, and the one that is meant."""

from __future__ import annotations

import distributed

from waveunet_tf.errors import InputError, one_line
from waveunet_tf.separation.separator import Separator
from waveunet_tf.separation.separator_source import SeparatorSource
from waveunet_tf.system.dask_workers import UnfitWorkerError


class SeparatorPlugin(distributed.WorkerPlugin):
    """Loads a separator when a worker starts, and drops it when the work is done.

    Attributes:
        name: The plugin's name, under which `separator_here` finds it.
        separator: The separator; None where it cannot be loaded.
        problem: Why it cannot; None if it can.
    """

    def __init__(self, source: SeparatorSource):
        """Takes what is to be loaded.

        Args:
            source: Where the separator comes from.
        """
        self.name = f"waveunet-{source.sha256[:16]}"
        self.separator: Separator | None = None
        self.problem: str | None = None
        self._source = source

    def setup(self, worker: distributed.Worker) -> None:
        """Loads the separator; what goes wrong is kept, so that the worker stays."""
        try:
            self.separator = self._source.load()
        except (InputError, OSError) as error:
            self.problem = one_line(error)

    def teardown(self, worker: distributed.Worker) -> None:
        """Drops the separator."""
        self.separator = None


def separator_here(name: str) -> Separator:
    """Returns the separator of this worker.

    Args:
        name: The plugin's name.

    Raises:
        UnfitWorkerError: This worker has none.
    """
    plugin = distributed.get_worker().plugins.get(name)
    if plugin is None or plugin.separator is None:
        raise UnfitWorkerError(plugin.problem if plugin else "has not loaded a network")
    return plugin.separator


def problem_here(name: str, dask_worker: distributed.Worker) -> str | None:
    """Says why a worker has no separator; None where it has one.

    Args:
        name: The plugin's name.
        dask_worker: The worker, which `Client.run` gives.
    """
    plugin = dask_worker.plugins.get(name)
    return plugin.problem if plugin else "has not loaded a network"
