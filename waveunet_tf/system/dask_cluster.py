"""A cluster of dask.distributed: one that is there, or one on this machine.

Needs requirements-dask.txt.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import types
from collections.abc import Iterator
from typing import TYPE_CHECKING

from waveunet_tf.errors import InputError
from waveunet_tf.system import cpus, processes

if TYPE_CHECKING:
    import distributed

LOCAL = "local"
"""The name of a scheduler that is started here, with workers on this machine."""
ALLOWED_DEATHS = 2
"""How often a job that killed its worker is tried again by a scheduler started here."""
# A scheduler that starts beside the command may load itself from a slow shared disk.
_CONNECT_SECONDS = 30
# For a scheduler and workers that are started here. The profiler would take some 50 MB
# more of each worker in its first quarter of an hour. At the threshold that dask sets,
# memory goes back to the system after each array, which takes an eighth of the time.
_LOCAL_CONFIG = {
    "distributed.scheduler.allowed-failures": ALLOWED_DEATHS,
    "distributed.worker.profile.enabled": False,
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**26,
    "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25,
}


def import_distributed() -> types.ModuleType:
    """Imports dask.distributed.

    Raises:
        InputError: It is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "A scheduler needs dask.distributed: pip install -r requirements-dask.txt"
        ) from error
    return distributed


@contextlib.contextmanager
def connect(
    scheduler: str, *, workers: int | None = None
) -> Iterator[distributed.Client]:
    """Connects to a scheduler, or starts one here with workers of one thread each.

    Args:
        scheduler: An address such as "tcp://host:8786", or LOCAL.
        workers: With LOCAL, the number of workers; None: one for each core.

    Yields:
        A `distributed.Client`.

    Raises:
        InputError: dask.distributed is not installed, no scheduler answers, or with
            LOCAL the working directory was removed.
    """
    distributed = import_distributed()
    import dask

    # What its parts tell of each other; what matters here is told by us.
    for name in ("distributed", "distributed.client", "asyncio", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as stack:
        target = scheduler
        if scheduler == LOCAL:
            processes.require_working_folder()
            stack.enter_context(dask.config.set(_LOCAL_CONFIG))
            target = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers or cpus.cores(),
                    threads_per_worker=1,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            if scheduler != LOCAL:
                asyncio.run(_check_is_scheduler(scheduler))
            client = distributed.Client(
                target, timeout=_CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError, TypeError, asyncio.TimeoutError) as error:
            reason = " ".join(str(error).split()) or "it gives no answer"
            raise InputError(
                f"{scheduler}: must be a scheduler that answers: {reason}"
            ) from error
        yield stack.enter_context(client)


async def _check_is_scheduler(address: str) -> None:
    """Asks what listens at an address.

    Of a wrong one, Client would leave threads behind; of another server, it would wait
    for ever.

    Raises:
        OSError, ValueError, TypeError, asyncio.TimeoutError: It is no scheduler.
    """
    from distributed import Security, comm

    scheme, _ = comm.parse_address(address)
    comm.registry.get_backend(scheme)

    async def ask() -> dict:
        security = Security().get_connection_args("client")
        other = await comm.connect(address, timeout=_CONNECT_SECONDS, **security)
        try:
            await other.write({"op": "identity", "reply": True})
            return await other.read()
        finally:
            other.abort()

    # A little more, so that `connect` may say what is wrong.
    answer = await asyncio.wait_for(ask(), _CONNECT_SECONDS + 1)
    if answer.get("type") != "Scheduler":
        raise ValueError(f"it is a {answer.get('type')}")
