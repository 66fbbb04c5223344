import sys

import pytest

from waveunet_tf.errors import InputError
from waveunet_tf.system import dask_cluster


def test_a_scheduler_that_does_not_answer_is_bad_input(monkeypatch):
    pytest.importorskip("distributed", reason="needs requirements-dask.txt")
    monkeypatch.setattr(dask_cluster, "_CONNECT_SECONDS", 0.5)
    for address in ("tcp://127.0.0.1:1", "nonsense://x:1"):
        with pytest.raises(InputError, match=f"^{address}: must be a scheduler") as e:
            with dask_cluster.connect(address):
                pass
        assert "\n" not in str(e.value)


def test_without_dask_the_requirements_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match="pip install -r requirements-dask.txt"):
        dask_cluster.import_distributed()
