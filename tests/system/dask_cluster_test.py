import socket
import sys

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.system import dask_cluster


def test_a_scheduler_that_does_not_answer_is_bad_input(monkeypatch):
    pytest.importorskip("distributed", reason="needs requirements-dask.txt")
    monkeypatch.setattr(dask_cluster, "_CONNECT_SECONDS", 0.5)
    silent = socket.create_server(("127.0.0.1", 0))  # A dashboard's port, perhaps.
    port = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
    for address in ("tcp://127.0.0.1:1", "nonsense://x:1", "tls://x:1", port):
        with pytest.raises(InputError, match=f"^{address}: must be a scheduler") as e:
            with dask_cluster.connect(address):
                pass
        assert "\n" not in str(e.value)
    silent.close()


@pytest.mark.xdist_group("dask")
def test_a_worker_is_no_scheduler(dask_client):
    (address, *_) = dask_client.nthreads()
    with pytest.raises(InputError, match="must be a scheduler .*: it is a Worker"):
        with dask_cluster.connect(address):
            pass


def test_workers_that_would_start_in_a_removed_directory_are_refused(
    tmp_path, monkeypatch
):
    pytest.importorskip("distributed", reason="needs requirements-dask.txt")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="^the working directory must be there"):
        with dask_cluster.connect(dask_cluster.LOCAL, workers=1):
            pass


def test_without_dask_the_requirements_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="pip install -r requirements-dask.txt"):
        dask_cluster.import_distributed()
