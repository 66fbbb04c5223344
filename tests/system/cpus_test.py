import os

import pytest

from waveunet_tf.system import cpus


def test_the_processor_has_a_name_of_one_line():
    assert cpus.processor() == cpus.processor().strip() != ""
    assert "\n" not in cpus.processor()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux")
def test_only_cores_that_the_process_may_use_count():
    before = os.sched_getaffinity(0)
    assert cpus.cores() == len(before)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cpus.cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_without_affinity_all_cores_count(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert cpus.cores() == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpus.cores() == 1
